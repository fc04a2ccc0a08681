//! Numbers about chats: for the usage page, and for the export that people may give to the community.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::chat_export::{self, Scope};
use oui_models::chats::ChatRow;
use oui_models::history::{self, Object};
use oui_web::{Caller, Query, Verified};
use serde_json::{Map, Value, json};

use super::export::{NDJSON, body};
use super::loaded::{LoadedChat, Missing, StatsReader, demand_community};

/// Chats on a page of the export.
const EXPORT_PAGE: i64 = 10;

/// What is counted in one chat.
#[derive(Default)]
struct Tally {
    branch: Vec<Value>,
    branch_models: Map<String, Value>,
    models: Map<String, Value>,
    messages: usize,
    questions: Vec<usize>,
    replies: Vec<usize>,
    times: Vec<f64>,
}

fn count(models: &mut Map<String, Value>, message: &Value) {
    if let Some(model) = history::text(message, "model").filter(|model| !model.is_empty()) {
        let next = models.get(model).and_then(Value::as_i64).unwrap_or(0) + 1;
        models.insert(model.to_owned(), next.into());
    }
}

fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 {
        0.0
    } else {
        values.sum::<f64>() / count as f64
    }
}

fn lengths(values: &[usize]) -> f64 {
    average(values.iter().map(|length| *length as f64))
}

/// Characters of a message; `None` when its content is none.
fn length(message: &Value) -> Option<usize> {
    match message.get("content") {
        None => Some(0),
        Some(Value::String(text)) => Some(text.chars().count()),
        Some(Value::Array(parts)) => {
            let texts = parts
                .iter()
                .filter(|part| history::text(part, "type") == Some("text"));
            Some(
                texts
                    .filter_map(|part| history::text(part, "text"))
                    .map(|text| text.chars().count())
                    .sum(),
            )
        }
        Some(_) => None,
    }
}

impl Tally {
    /// Counts the messages of a tree; `shown` is the leaf of the branch that is shown.
    fn of(messages: &Object, shown: &str) -> Self {
        let mut tally = Self {
            messages: messages.len(),
            ..Self::default()
        };
        let time = |message: &Value| {
            message
                .get("timestamp")
                .and_then(Value::as_f64)
                .filter(|time| *time != 0.0)
        };
        for message in messages.values() {
            let length = length(message).unwrap_or(0);
            match history::text(message, "role") {
                Some("user") => tally.questions.push(length),
                Some("assistant") => {
                    tally.replies.push(length);
                    count(&mut tally.models, message);
                    let question = history::text(message, "parentId").and_then(|id| messages.get(id));
                    if let (Some(asked), Some(answered)) = (question.and_then(time), time(message)) {
                        tally.times.push(answered - asked);
                    }
                }
                _ => {}
            }
        }
        tally.branch = history::path_to(messages, shown).into_iter().cloned().collect();
        for message in tally.branch.iter().rev() {
            if history::text(message, "role") == Some("assistant") {
                count(&mut tally.branch_models, message);
            }
        }
        tally
    }

    fn response_time(&self) -> f64 {
        average(self.times.iter().copied())
    }
}

fn tree(document: &Object) -> (Object, Option<String>) {
    let part = document.get("history");
    let messages = part
        .and_then(|part| part.get("messages")?.as_object())
        .cloned()
        .unwrap_or_default();
    let shown = part
        .and_then(|part| part.get("currentId")?.as_str())
        .map(str::to_owned);
    (messages, shown)
}

form! {
    /// Which part of the usage list.
    pub(crate) struct UsageQuery {
        /// Chats on a page.
        items_per_page: Option<i64> = Some(50),
        /// Page from 1.
        page: Option<i64> = Some(1),
    }
}

/// The ids on a page.
fn page(ids: &[String], page: i64, size: i64) -> &[String] {
    let size = usize::try_from(size).unwrap_or(0);
    let start = usize::try_from(page.max(1) - 1)
        .unwrap_or(0)
        .saturating_mul(size)
        .min(ids.len());
    &ids[start..start.saturating_add(size).min(ids.len())]
}

pub(super) async fn usage(
    caller: Caller<Verified>,
    Query(query): Query<UsageQuery>,
) -> ApiResult<Json<Value>> {
    let ids = chat_export::ids(caller.db(), Scope::Of(caller.id())).await?;
    let wanted = page(&ids, query.page.unwrap_or(1), query.items_per_page.unwrap_or(50));
    let mut items = Vec::new();
    for batch in wanted.chunks(chat_export::BATCH) {
        let rows = chat_export::rows(caller.db(), batch).await?;
        items.extend(rows.iter().filter_map(usage_of));
    }
    Ok(Json(json!({ "items": items, "total": ids.len() })))
}

/// The usage of one chat; chats without messages have none.
fn usage_of(row: &ChatRow) -> Option<Value> {
    let (messages, shown) = tree(row.chat.as_ref()?.as_object()?);
    let shown = shown.filter(|id| !id.is_empty() && !messages.is_empty())?;
    let tally = Tally::of(&messages, &shown);
    let last = tally.branch.last()?;
    Some(json!({
        "id": row.id,
        "models": tally.branch_models,
        "message_count": tally.branch.len(),
        "history_models": tally.models,
        "history_message_count": tally.messages,
        "history_user_message_count": tally.questions.len(),
        "history_assistant_message_count": tally.replies.len(),
        "average_response_time": tally.response_time(),
        "average_user_message_content_length": lengths(&tally.questions),
        "average_assistant_message_content_length": lengths(&tally.replies),
        "tags": row.tag_ids(),
        "last_message_at": last.get("timestamp").and_then(Value::as_i64).or(row.updated_at),
        "updated_at": row.updated_at,
        "created_at": row.created_at,
    }))
}

/// The exported numbers of one message; `None` when it is too broken to count.
fn message_stats(message: &Value) -> Option<Value> {
    let (id, role) = (history::text(message, "id")?, history::text(message, "role")?);
    let annotation = match message.get("annotation") {
        None => &Value::Null,
        Some(annotation) if annotation.is_object() => annotation,
        Some(_) => return None,
    };
    let whole = |value: Option<&Value>| value.and_then(Value::as_i64);
    Some(json!({
        "id": id,
        "role": role,
        "model": history::text(message, "model"),
        "content_length": length(message).unwrap_or(0),
        "token_count": null,
        "timestamp": whole(message.get("timestamp")),
        "rating": whole(annotation.get("rating")),
        "tags": annotation.get("tags").filter(|tags| tags.is_array()),
    }))
}

fn export_of(row: &ChatRow) -> Value {
    let (all, shown) = row
        .chat
        .as_ref()
        .and_then(Value::as_object)
        .map(tree)
        .unwrap_or_default();
    let mut counted = Object::new();
    let mut stats = Object::new();
    for (id, message) in all {
        if let Some(numbers) = message_stats(&message) {
            stats.insert(id.clone(), numbers);
            counted.insert(id, message);
        }
    }
    let tally = Tally::of(&counted, shown.as_deref().unwrap_or_default());
    json!({
        "id": row.id,
        "user_id": row.user_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "tags": row.tag_ids(),
        "stats": {
            "average_response_time": tally.response_time(),
            "average_user_message_content_length": lengths(&tally.questions),
            "average_assistant_message_content_length": lengths(&tally.replies),
            "models": tally.branch_models,
            "message_count": tally.branch.len(),
            "history_models": tally.models,
            "history_message_count": tally.messages,
            "history_user_message_count": tally.questions.len(),
            "history_assistant_message_count": tally.replies.len(),
        },
        "chat": { "history": { "messages": stats, "currentId": shown } },
    })
}

form! {
    /// Which part of the export.
    pub(crate) struct ExportQuery {
        /// Only chats that changed after this time, in seconds.
        updated_at: Option<i64>,
        /// Page from 1.
        page: Option<i64> = Some(1),
        /// All pages at once, as lines.
        stream: bool = false,
    }
}

pub(super) async fn export(
    caller: Caller<Verified>,
    Query(query): Query<ExportQuery>,
) -> ApiResult<Response> {
    demand_community(&caller)?;
    let after = query.updated_at.filter(|time| *time != 0).unwrap_or(i64::MIN);
    let ids = chat_export::ids(caller.db(), Scope::ChangedAfter(caller.id(), after)).await?;
    if query.stream {
        let name = format!("attachment; filename=chat-stats-export-{}.jsonl", caller.id());
        let render = |text: &mut String, row: ChatRow| {
            text.push_str(&export_of(&row).to_string());
            text.push('\n');
        };
        let lines = body(caller.db().clone(), ids, "", "", render);
        let headers = [
            (header::CONTENT_TYPE, NDJSON.to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ];
        return Ok((headers, lines).into_response());
    }
    let number = query
        .page
        .ok_or_else(|| ApiError::bad_request(messages::DEFAULT))?;
    let rows = chat_export::rows(caller.db(), page(&ids, number, EXPORT_PAGE)).await?;
    let items: Vec<Value> = rows.iter().map(export_of).collect();
    let answer = json!({ "type": "chats", "items": items, "total": ids.len(), "page": number });
    Ok(Json(answer).into_response())
}

pub(super) async fn export_one(loaded: LoadedChat<StatsReader, Missing>) -> ApiResult<Json<Value>> {
    Ok(Json(export_of(&loaded.row().await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_branches_and_the_one_shown() {
        let messages = json!({
            "a": {"id": "a", "role": "user", "parentId": null, "content": "four", "timestamp": 10},
            "b": {"id": "b", "role": "assistant", "parentId": "a", "content": "ab", "model": "m", "timestamp": 12},
            "c": {"id": "c", "role": "assistant", "parentId": "a", "content": [{"type": "text", "text": "abcd"}],
                  "model": "n", "timestamp": 14},
        });
        let tally = Tally::of(messages.as_object().unwrap(), "c");
        assert_eq!((tally.branch.len(), tally.messages), (2, 3));
        assert_eq!(json!(tally.models), json!({"m": 1, "n": 1}));
        assert_eq!(json!(tally.branch_models), json!({"n": 1}));
        assert_eq!(
            (
                tally.response_time(),
                lengths(&tally.questions),
                lengths(&tally.replies)
            ),
            (3.0, 4.0, 3.0)
        );
    }

    #[test]
    fn broken_messages_are_not_exported() {
        assert!(message_stats(&json!({"id": "a"})).is_none());
        assert!(message_stats(&json!({"id": "a", "role": "user", "annotation": null})).is_none());
        assert_eq!(
            message_stats(&json!({"id": "a", "role": "user"})).unwrap()["content_length"],
            0
        );
    }

    #[test]
    fn pages_end_with_the_list() {
        let ids: Vec<String> = (0..5).map(|id| id.to_string()).collect();
        assert_eq!(page(&ids, 2, 2), ["2", "3"]);
        assert_eq!(page(&ids, 3, 2), ["4"]);
        assert!(page(&ids, 9, 2).is_empty() && page(&ids, 1, -1).is_empty());
    }
}
