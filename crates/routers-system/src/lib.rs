//! HTTP areas about the server itself: configuration, health, version, manifest.

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    Vec::new()
}
