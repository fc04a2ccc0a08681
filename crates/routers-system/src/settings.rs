//! Pages of the administration about audio, images and documents. Each is a list of configuration keys; what uses
//! them lives elsewhere.

mod audio;
mod documents;
mod images;
mod web_search;

use oui_web::{Admin, Area, endpoints};

/// The tables.
pub(crate) fn areas() -> Vec<Area> {
    vec![
        endpoints! { "audio" at "/api/v1/audio";
            GET  "/config"        Admin => audio::show,
            POST "/config/update" Admin => audio::save,
        },
        endpoints! { "images" at "/api/v1/images";
            GET  "/config"        Admin => images::show,
            POST "/config/update" Admin => images::save,
        },
        endpoints! { "retrieval" at "/api/v1/retrieval";
            GET  "/config"           Admin => documents::show,
            POST "/config/update"    Admin => documents::save,
            GET  "/embedding"        Admin => documents::show_embedding,
            POST "/embedding/update" Admin => documents::save_embedding,
        },
    ]
}
