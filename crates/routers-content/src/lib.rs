//! HTTP areas about what people make and keep: chats, folders, workspace models, prompts, tools, notes, ...

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    Vec::new()
}
