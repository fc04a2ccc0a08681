//! HTTP areas that reach models: chat completions, running tasks, the provider proxies and their connections.

mod approvals;
mod compaction;
mod completions;
mod embeddings;
mod forms;
mod messages;
mod models_list;
mod ollama;
mod openai;
mod pipelines;
mod quotas;
mod request;
mod running;
mod task_jobs;
mod tool_servers;

use oui_web::Area;

/// The tables of this crate.
pub fn areas() -> Vec<Area> {
    let mut areas = completions::areas();
    areas.extend(models_list::areas());
    areas.extend(embeddings::areas());
    areas.extend(messages::areas());
    areas.extend(tool_servers::areas());
    areas.extend([
        approvals::area(),
        pipelines::area(),
        quotas::area(),
        quotas::page_area(),
        compaction::area(),
        running::area(),
        task_jobs::area(),
        openai::area(),
        openai::management_area(),
        ollama::area(),
    ]);
    areas
}
