//! Earlier chats of the user: search and reading.

use oui_models::chat_lists::Window;
use oui_models::chat_search::{self, Search};
use oui_models::{chats as rows, history};
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "search_chats"
        "Searches the user's other chats by title and text. Finds the exact phrase first, then all the words."
        [
            required("query", Shape::Text, "Phrase or words to look for."),
            default("count", Shape::Int, "5", "How many chats at most."),
            optional("start_timestamp", Shape::Int, "Only chats changed at or after this Unix timestamp in seconds."),
            optional("end_timestamp", Shape::Int, "Only chats changed at or before this Unix timestamp in seconds."),
        ] => search;

        "view_chat"
        "Reads a whole chat of the user: the messages of the branch that is shown."
        [required("chat_id", Shape::Text, "Id of the chat, as search_chats gives it.")] => view;
    }
}

/// Whether a time lies in the period that the arguments name; 0 means no limit.
pub(super) fn in_period(time: Option<i64>, args: &Args, unit: i64) -> bool {
    let limit = |name: &str| args.optional_int(name).filter(|limit| *limit != 0);
    let time = time.unwrap_or_default();
    limit("start_timestamp").is_none_or(|start| time >= start.saturating_mul(unit))
        && limit("end_timestamp").is_none_or(|end| time <= end.saturating_mul(unit))
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let count = args.count("count", 5);
    let search = Search::parse(&query);
    let window = Window {
        skip: 0,
        limit: count.saturating_mul(3),
    };
    let hits = chat_search::run(&context.db, &context.user.id, &search, window).await?;
    let mut found = Vec::new();
    for hit in hits {
        let chat = &hit.listed;
        if Some(&chat.id) == context.chat_id.as_ref() || !in_period(chat.updated_at, &args, 1) {
            continue;
        }
        let title = chat.title.clone().unwrap_or_default();
        let snippet = hit.snippet.clone().filter(|snippet| !snippet.is_empty());
        found.push(json!({
            "id": chat.id,
            "title": title,
            "snippet": snippet.unwrap_or_else(|| format!("Title match: {title}")),
            "updated_at": chat.updated_at,
        }));
        if found.len() as i64 >= count {
            break;
        }
    }
    Ok(Value::Array(found))
}

async fn view(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("chat_id")?;
    let chat = rows::owned(&context.db, &id, &context.user.id).await?;
    let chat = chat.ok_or_else(|| ToolError::new("There is no such chat of this user."))?;
    let document = chat.document();
    let messages = document
        .get("history")
        .and_then(|history| history.get("messages")?.as_object())
        .cloned()
        .unwrap_or_default();
    let leaf = history::current_id(&document).unwrap_or_default();
    let path: Vec<Value> = history::path_to(&messages, &leaf)
        .into_iter()
        .map(|message| json!({ "role": message["role"], "content": message["content"] }))
        .collect();
    Ok(json!({
        "id": chat.id, "title": chat.title, "messages": path, "updated_at": chat.updated_at,
        "created_at": chat.created_at,
    }))
}
