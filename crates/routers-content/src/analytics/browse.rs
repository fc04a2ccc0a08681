//! What stands behind the statistics: messages, the chats in which a model answered, and what was thought of it.

use axum::Json;
use axum::extract::Path;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form, messages as texts};
use oui_models::analytics::browse::{self, ChatFilter, Of};
use oui_models::chat_messages::ChatMessageRow;
use oui_models::feedbacks;
use oui_web::{Admin, Caller, Query};
use serde_json::{Value, json};

use crate::common::given;
use crate::evaluations::leaderboard;

const DAY: i64 = 86_400;

/// How many tags an overview names.
const TAGS: usize = 10;

/// How many lines: a hundred at most.
#[derive(Debug, Clone, Copy)]
struct Lines(i64);

impl Field for Lines {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let number = i64::parse(input, issues)?;
        if number <= 100 {
            return Some(Self(number));
        }
        let text = "Input should be less than or equal to 100";
        issues.push_ctx("less_than_equal", text.to_owned(), input, json!({ "le": 100 }));
        None
    }

    fn schema() -> Value {
        json!({ "type": "integer", "maximum": 100 })
    }
}

form! {
    /// Which messages.
    pub(super) struct MessagesQuery {
        model_id: Option<String>,
        user_id: Option<String>,
        chat_id: Option<String>,
        start_date: Option<i64>,
        end_date: Option<i64>,
        skip: i64 = 0,
        limit: Lines = Lines(50),
    }
}

form! {
    /// Which chats of a model, or which days of its ratings.
    pub(super) struct ModelQuery {
        start_date: Option<i64>,
        end_date: Option<i64>,
        skip: i64 = 0,
        limit: Lines = Lines(50),
        order_by: Option<String>,
        direction: Option<String>,
        days: i64 = 30,
    }
}

fn message_json(row: &ChatMessageRow) -> Value {
    json!({
        "id": row.id, "chat_id": row.chat_id, "user_id": row.user_id, "role": row.role, "parent_id": row.parent_id,
        "content": row.content, "output": row.output, "model_id": row.model_id, "files": row.files,
        "sources": row.sources, "embeds": row.embeds, "meta": row.meta, "done": row.done.unwrap_or(true),
        "status_history": row.status_history, "error": row.error, "usage": row.usage,
        "context_summary": row.context_summary, "created_at": row.created_at, "updated_at": row.updated_at,
    })
}

pub(super) async fn messages(
    caller: Caller<Admin>,
    Query(query): Query<MessagesQuery>,
) -> ApiResult<Json<Value>> {
    super::check(&caller)?;
    let of = match (
        given(&query.chat_id),
        given(&query.model_id),
        given(&query.user_id),
    ) {
        (Some(chat), ..) => Of::Chat(chat),
        (_, Some(model), _) => Of::Model(model, query.start_date, query.end_date),
        (_, _, Some(user)) => Of::User(user),
        _ => return Ok(Json(json!([]))),
    };
    let rows = browse::messages(caller.db(), of, (query.limit.0, query.skip)).await?;
    Ok(Json(rows.iter().map(message_json).collect()))
}

/// `{model}/chats` and `{model}/overview`; ids of models may hold slashes, so the path comes whole.
pub(super) async fn of_model(
    caller: Caller<Admin>,
    Path(path): Path<String>,
    Query(query): Query<ModelQuery>,
) -> ApiResult<Json<Value>> {
    super::check(&caller)?;
    if let Some(model) = path.strip_suffix("/chats") {
        return chats(&caller, model, &query).await;
    }
    match path.strip_suffix("/overview") {
        Some(model) => overview(&caller, model, query.days.max(0)).await,
        None => Err(ApiError::not_found(texts::NOT_FOUND)),
    }
}

async fn chats(caller: &Caller<Admin>, model: &str, query: &ModelQuery) -> ApiResult<Json<Value>> {
    let filter = ChatFilter {
        start: query.start_date,
        end: query.end_date,
        order_by: given(&query.order_by),
        direction: given(&query.direction),
    };
    let (chats, total) = browse::chats(caller.db(), model, filter, (query.limit.0, query.skip)).await?;
    let chats: Vec<Value> = chats
        .iter()
        .map(|chat| {
            json!({
                "chat_id": chat.id, "user_id": chat.user_id, "user_name": chat.user_name,
                "first_message": chat.title, "updated_at": chat.updated_at,
            })
        })
        .collect();
    Ok(Json(json!({ "chats": chats, "total": total })))
}

async fn overview(caller: &Caller<Admin>, model: &str, days: i64) -> ApiResult<Json<Value>> {
    let now = caller.app().clock.seconds();
    let mut ratings = feedbacks::ratings(caller.db()).await?;
    // Both ends are in it: the day so many days ago, and today.
    let shown = if days == 0 { 0 } else { days + 1 };
    ratings.retain(|rating| days == 0 || rating.created_at >= now - days.saturating_mul(DAY));
    let history = leaderboard::by_day(&ratings, model, shown, now);
    let mut tags: Vec<(String, i64)> = browse::tags(caller.db(), model).await?.into_iter().collect();
    tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let tags: Vec<Value> = tags
        .into_iter()
        .take(TAGS)
        .map(|(tag, count)| json!({ "tag": tag, "count": count }))
        .collect();
    Ok(Json(json!({ "history": history, "tags": tags })))
}
