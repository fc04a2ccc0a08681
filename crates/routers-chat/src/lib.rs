//! HTTP areas that reach models: chat completions, running tasks, the provider proxies and their connections.

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    Vec::new()
}
