//! HTTP areas about the server itself: configuration, health, version, manifest.

mod client_config;
mod configs;
mod root;

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    let mut areas = vec![root::area()];
    areas.extend(configs::areas());
    areas
}
