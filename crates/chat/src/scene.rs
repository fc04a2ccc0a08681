//! What plugins get to see of a run, under the names that the parameters of their methods have.

use oui_plugins::Scene;
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::turn::{Object, RunUser, Turn};

/// A scene without a chat: the account, its request and the model.
pub(crate) fn of_user(engine: &Engine, user: &RunUser, model: Option<&Model>) -> Scene {
    let base_url = engine.config.get(&oui_config::ui::WEBUI_URL);
    let mut scene = Scene::new(&user.user, &user.call, &base_url);
    if let Some(model) = model {
        scene.set("__model__", model.json.clone());
    }
    scene
}

/// The scene of a run.
pub(crate) fn of_run(
    engine: &Engine,
    turn: &Turn,
    model: &Model,
    params: &Object,
    message_id: Option<&str>,
) -> Scene {
    let mut scene = of_user(engine, &turn.user, Some(model));
    scene.set("__metadata__", metadata(turn, model, params, message_id));
    scene.set("__chat_id__", json!(turn.chat.id()));
    scene.set("__message_id__", json!(message_id));
    scene.set("__session_id__", json!(turn.session_id));
    scene.set("__files__", turn.files.clone().unwrap_or_else(|| json!([])));
    scene.set("__features__", json!(turn.choices.features));
    scene
}

/// What a run is about, as filters and tools know it.
pub(crate) fn metadata(turn: &Turn, model: &Model, params: &Object, message_id: Option<&str>) -> Value {
    let given = |name: &str| params.get(name).cloned().unwrap_or_default();
    let choices = &turn.choices;
    json!({
        "user_id": turn.user.user.id,
        "user_agent": turn.user.call.user_agent,
        "internal": turn.internal.is_some(),
        "chat_id": turn.chat.id(),
        "message_id": message_id,
        "user_message": turn.user_message,
        "user_message_id": turn.user_message_id,
        "assistant_message_id": turn.assistant_message_id,
        "regeneration_message_id": turn.regeneration.as_ref().map(|(id, _)| id),
        "session_id": turn.session_id,
        "folder_id": turn.folder_id,
        "filter_ids": choices.filter_ids,
        "tool_ids": choices.tool_ids,
        "tool_servers": choices.tool_servers,
        "skill_ids": choices.skill_ids,
        "terminal_id": choices.terminal_id,
        "files": turn.files.clone().unwrap_or_else(|| json!([])),
        "features": choices.features,
        "variables": turn.variables.clone().unwrap_or_default(),
        "chat_variables": turn.chat_variables.clone().unwrap_or_default(),
        "model": model.json,
        "model_id": model.id,
        "direct": model.is_direct(),
        "params": {
            "stream_delta_chunk_size": given("stream_delta_chunk_size"),
            "reasoning_tags": given("reasoning_tags"),
            "compact_token_threshold": given("compact_token_threshold"),
            "function_calling": given("function_calling").as_str().unwrap_or("native"),
            "tool_approval_mode": given("tool_approval_mode").as_str().unwrap_or("full"),
            "model_controls": choices.model_controls,
        },
    })
}
