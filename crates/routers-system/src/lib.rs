//! HTTP areas about the server itself: configuration, health, version, manifest.

// The longest page has eighty rows, each of which is a few steps of the macro.
#![recursion_limit = "512"]

mod client_config;
mod configs;
mod docs;
mod events;
mod root;
mod settings;
mod terminal_servers;
mod utils;

use oui_web::Area;

pub use events::adopt_legacy_webhook;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    let mut areas = vec![
        root::area(),
        events::area(),
        utils::area(),
        docs::area(),
        terminal_servers::area(),
    ];
    areas.extend(configs::areas());
    areas.extend(settings::areas());
    areas
}
