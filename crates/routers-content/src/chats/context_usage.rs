//! How full the context of a chat is, for the ring in the client. The counting is in the chat crate.

use oui_chat::context_size;
use oui_config::chat as keys;
use oui_core::ApiResult;
use oui_models::history::{self, Object};
use oui_models::{Db, chat_edits, chat_messages};
use oui_web::App;
use serde_json::Value;

/// `{tokens, estimated_tokens, threshold, percent, source}`; null while compaction is off and for empty chats.
pub(super) async fn of(
    app: &App,
    db: &Db,
    chat_id: &str,
    document: &Object,
    current_id: Option<&str>,
) -> ApiResult<Value> {
    if !app.config.get(&keys::ENABLE_CONTEXT_COMPACTION) {
        return Ok(Value::Null);
    }
    let Some(current_id) = current_id
        .map(str::to_owned)
        .or_else(|| history::current_id(document))
    else {
        return Ok(Value::Null);
    };
    let messages = match chat_messages::map_from_document(db, chat_id, document).await? {
        Some(messages) => messages,
        None => chat_edits::messages_map(db, chat_id).await?.unwrap_or_default(),
    };
    let path: Vec<Value> = history::path_to(&messages, &current_id)
        .into_iter()
        .cloned()
        .collect();
    if path.is_empty() {
        return Ok(Value::Null);
    }
    let params = document.get("params").and_then(Value::as_object);
    let threshold = context_size::threshold(&app.config, params);
    Ok(context_size::usage_json(context_size::tokens(path), threshold))
}
