//! HTTP areas about what people make and keep: chats, folders, workspace models, prompts, tools, notes, ...

mod analytics;
mod automations;
mod calendars;
mod channels;
mod chats;
mod common;
mod diff;
mod evaluations;
mod folders;
mod functions;
mod knowledge;
mod memories;
mod models;
mod notes;
mod picture;
mod plugins;
mod prompts;
mod retrieval;
mod search;
mod skills;
mod terminals;
mod tools;
mod variables;

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    vec![
        analytics::area(),
        automations::area(),
        calendars::area(),
        channels::area(),
        chats::area(),
        evaluations::area(),
        folders::area(),
        functions::area(),
        knowledge::area(),
        memories::area(),
        models::area(),
        notes::area(),
        prompts::area(),
        retrieval::area(),
        search::area(),
        skills::area(),
        terminals::area(),
        tools::area(),
    ]
}
