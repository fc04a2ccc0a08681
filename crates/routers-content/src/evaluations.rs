//! Ratings of answers and the leaderboard computed from them: `/api/v1/evaluations`. The switches of arena models
//! are a settings page.

pub(crate) mod leaderboard;

use axum::Json;
use axum::extract::Path;
use oui_config::models as model_keys;
use oui_core::form::{Extra, Field, Issues};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::feedbacks::{self, FeedbackData, FeedbackFilter, FeedbackRow};
use oui_models::users::UserRow;
use oui_web::body::AnyJson;
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints, pages};
use serde_json::{Map, Value, json};

use crate::common::{PAGE, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "evaluations" at "/api/v1/evaluations";
        GET    "/config"                Admin    => config,
        POST   "/config"                Admin    => set_config,
        GET    "/leaderboard"           Admin    => leaderboard::all,
        GET    "/leaderboard/{*path}"   Admin    => leaderboard::history,
        GET    "/feedbacks/models"      Admin    => models,
        GET    "/feedbacks/all/ids"     Admin    => ids,
        GET    "/feedbacks/all/export"  Admin    => export,
        DELETE "/feedbacks/all"         Admin    => delete_all,
        GET    "/feedbacks/user"        Verified => own,
        DELETE "/feedbacks"             Verified => delete_own,
        GET    "/feedbacks/list"        Admin    => list,
        POST   "/feedback"              Verified => create,
        GET    "/feedback/{id}"         Verified => get,
        POST   "/feedback/{id}"         Verified => update,
        DELETE "/feedback/{id}"         Verified => delete,
    }
}

pages! {
    /// Whether and which arena models there are.
    static ARENA = {
        ENABLE_EVALUATION_ARENA_MODELS~: bool => model_keys::ENABLE_EVALUATION_ARENA_MODELS,
        EVALUATION_ARENA_MODELS~: Vec<Map<String, Value>> => model_keys::EVALUATION_ARENA_MODELS,
    };
}

async fn config(caller: Caller<Admin>) -> Json<Value> {
    Json(Value::Object(ARENA.show(&caller.app().config.snapshot())))
}

async fn set_config(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let changes = ARENA.body(&body)?;
    let keys: Vec<String> = changes.keys().cloned().collect();
    caller.app().save_config(changes).await?;
    let page = ARENA.show(&caller.app().config.snapshot());
    let models = page["EVALUATION_ARENA_MODELS"].as_array().map_or(0, Vec::len);
    let news = json!({
        "keys": keys, "arena_enabled": page["ENABLE_EVALUATION_ARENA_MODELS"], "arena_model_count": models,
    });
    caller.tell("config.updated", "evaluation", news);
    Ok(Json(Value::Object(page)))
}

form! {
    /// Which ratings.
    struct ListQuery {
        /// `username`, `model_id`, `rating` or `updated_at`.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
        /// From 1.
        page: i64 = 1,
        /// Only about this model.
        model_id: Option<String>,
    }
}

/// A thumb, as number or text.
#[derive(Debug, Clone)]
struct Thumb(Value);

impl Field for Thumb {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if input.is_string() || input.as_i64().is_some() || input.is_boolean() {
            return Some(Self(input.clone()));
        }
        issues.inside("str", |issues| {
            issues.push("string_type", "Input should be a valid string", input)
        });
        issues.inside("int", |issues| i64::parse(input, issues));
        None
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })
    }
}

form! {
    /// The rating itself; further fields are kept.
    struct RatingForm {
        /// `1` or `-1`.
        rating: Option<Thumb>,
        /// Model that was rated.
        model_id: Option<String>,
        /// Models that it was compared with.
        sibling_model_ids: Option<Vec<String>>,
        /// Why.
        reason: Option<String>,
        /// Free text.
        comment: Option<String>,
        ; .. rest
    }
}

impl RatingForm {
    fn into_json(self) -> Value {
        let mut data = Map::new();
        for (name, value) in [
            ("rating", json!(self.rating.map(|thumb| thumb.0))),
            ("model_id", json!(self.model_id)),
            ("sibling_model_ids", json!(self.sibling_model_ids)),
            ("reason", json!(self.reason)),
            ("comment", json!(self.comment)),
        ] {
            data.insert(name.to_owned(), value);
        }
        data.extend(self.rest);
        Value::Object(data)
    }
}

form! {
    /// The chat as it was rated; further fields are kept.
    struct SnapshotForm {
        /// The chat.
        chat: Option<Map<String, Value>>,
        ; .. rest
    }
}

impl SnapshotForm {
    fn into_json(self) -> Value {
        let mut snapshot: Extra = Map::new();
        snapshot.insert("chat".into(), json!(self.chat));
        snapshot.extend(self.rest);
        Value::Object(snapshot)
    }
}

form! {
    /// A rating with its surroundings.
    struct FeedbackForm {
        /// `rating`.
        kind as "type": String,
        /// The rating itself.
        data: Option<RatingForm>,
        /// Chat, message, ...
        meta: Option<Map<String, Value>>,
        /// The chat as it was rated.
        snapshot: Option<SnapshotForm>,
    }
}

impl FeedbackForm {
    fn into_data(self) -> FeedbackData {
        FeedbackData {
            kind: self.kind,
            data: self.data.map(RatingForm::into_json),
            meta: self.meta.filter(|meta| !meta.is_empty()).map(Value::Object),
            snapshot: self.snapshot.map(SnapshotForm::into_json),
        }
    }
}

async fn models(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let ratings = feedbacks::ratings(caller.db()).await?;
    let mut ids: Vec<&str> = ratings.iter().filter_map(feedbacks::Rating::model_id).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Json(json!(ids)))
}

async fn ids(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let ratings = feedbacks::newest_ratings(caller.db()).await?;
    let item = |rating: &feedbacks::Rating| {
        json!({
            "id": rating.id, "user_id": rating.user_id, "created_at": rating.created_at,
            "updated_at": rating.updated_at,
        })
    };
    Ok(Json(ratings.iter().map(item).collect()))
}

form! {
    /// Which ratings to export.
    struct ExportQuery {
        /// Only about this model.
        model_id: Option<String>,
    }
}

async fn export(caller: Caller<Admin>, Query(query): Query<ExportQuery>) -> ApiResult<Json<Value>> {
    let wanted = given(&query.model_id);
    let about = |row: &&FeedbackRow| {
        let model = row
            .data
            .as_ref()
            .and_then(|data| data.get("model_id"))
            .and_then(Value::as_str);
        wanted.is_none_or(|wanted| model == Some(wanted))
    };
    let rows = feedbacks::all(caller.db()).await?;
    Ok(Json(
        rows.iter().filter(about).map(FeedbackRow::to_full_json).collect(),
    ))
}

async fn delete_all(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let any = feedbacks::delete_all(caller.db(), None).await?;
    caller.tell("feedback.deleted_all", "all", Value::Null);
    Ok(Json(json!(any)))
}

async fn delete_own(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let any = feedbacks::delete_all(caller.db(), Some(caller.id())).await?;
    caller.publish(
        caller
            .notice("feedback.deleted_all")
            .about_kind("user", caller.id()),
    );
    Ok(Json(json!(any)))
}

fn page_json((rows, total): (Vec<(FeedbackRow, UserRow)>, i64)) -> Json<Value> {
    let item = |(row, user): &(FeedbackRow, UserRow)| {
        let mut item = row.to_json();
        let user = json!({
            "id": user.id, "name": user.name, "email": user.email, "role": user.role,
            "last_active_at": user.last_active_at, "updated_at": user.updated_at, "created_at": user.created_at,
        });
        item.insert("user".into(), user);
        Value::Object(item)
    };
    Json(json!({ "items": rows.iter().map(item).collect::<Vec<_>>(), "total": total }))
}

fn window(page: i64) -> (i64, i64) {
    ((page.max(1) - 1).saturating_mul(PAGE), PAGE)
}

async fn list(caller: Caller<Admin>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let filter = FeedbackFilter {
        model_id: given(&query.model_id),
        order_by: given(&query.order_by),
        direction: given(&query.direction),
        otherwise: "f.created_at DESC",
        ..FeedbackFilter::default()
    };
    Ok(page_json(
        feedbacks::search(caller.db(), filter, window(query.page)).await?,
    ))
}

async fn own(caller: Caller<Verified>, Query(query): Query<ListQuery>) -> ApiResult<Json<Value>> {
    let filter = FeedbackFilter {
        user_id: Some(caller.id()),
        otherwise: "f.updated_at DESC",
        ..FeedbackFilter::default()
    };
    Ok(page_json(
        feedbacks::search(caller.db(), filter, window(query.page)).await?,
    ))
}

async fn create(caller: Caller<Verified>, body: Body<FeedbackForm>) -> ApiResult<Json<Value>> {
    let meta = body.form.meta.clone().map(Value::Object);
    let new = FeedbackData {
        meta,
        ..body.form.into_data()
    };
    let row = feedbacks::create(caller.db(), caller.id(), new).await?;
    caller.tell("feedback.created", row.id.as_str(), about(&row));
    Ok(Json(row.to_full_json()))
}

/// What those who hear of events learn of a rating.
fn about(row: &FeedbackRow) -> Value {
    json!({ "rating": row.data.as_ref().and_then(|data| data.get("rating")) })
}

/// Administrators reach the ratings of all, others their own.
fn scope(caller: &Caller<Verified>) -> Option<&str> {
    (!caller.is_admin()).then(|| caller.id())
}

fn missing() -> ApiError {
    ApiError::not_found(messages::NOT_FOUND)
}

async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = feedbacks::get(caller.db(), &id, scope(&caller))
        .await?
        .ok_or_else(missing)?;
    Ok(Json(row.to_full_json()))
}

async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<FeedbackForm>,
) -> ApiResult<Json<Value>> {
    let row = feedbacks::update(caller.db(), &id, scope(&caller), body.form.into_data()).await?;
    let row = row.ok_or_else(missing)?;
    caller.tell("feedback.updated", row.id.as_str(), about(&row));
    Ok(Json(row.to_full_json()))
}

async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    if feedbacks::delete(caller.db(), &id, scope(&caller)).await? {
        caller.tell("feedback.deleted", id, Value::Null);
        Ok(Json(json!(true)))
    } else {
        Err(missing())
    }
}
