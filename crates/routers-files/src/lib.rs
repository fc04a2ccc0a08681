//! HTTP areas about uploaded files and about turning them and other texts into something that can be found.

mod files;
mod process;
mod web;

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    vec![files::area(), process::area(), web::area()]
}

pub use files::upload::{Upload, UploadOptions, keep_upload, store};
