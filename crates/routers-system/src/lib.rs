//! HTTP areas about the server itself: configuration, health, version, manifest.

mod client_config;
mod root;

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    vec![root::area()]
}
