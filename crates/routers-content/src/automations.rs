//! Prompts that run on a schedule: `/api/v1/automations`. Here they and their runs are listed; making and starting
//! them is in `changes`.

mod changes;

use axum::Json;
use axum::extract::Path;
use oui_config::features;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::automations::{self, AutomationFilter, RunRow};
use oui_web::{Area, Caller, Query, Verified, endpoints};
use serde_json::{Value, json};

use crate::common::{PAGE, given};

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "automations" at "/api/v1/automations";
        GET    "/list"        Verified => list,
        POST   "/create"      Verified => changes::create,
        GET    "/{id}"        Verified => changes::get,
        POST   "/{id}/update" Verified => changes::update,
        POST   "/{id}/toggle" Verified => changes::toggle,
        POST   "/{id}/run"    Verified => changes::run,
        DELETE "/{id}/delete" Verified => changes::delete,
        GET    "/{id}/runs"   Verified => runs,
    }
}

form! {
    /// Which automations.
    struct AutomationsQuery {
        /// Text in name or prompt.
        query: Option<String>,
        /// `active` or `paused`.
        status: Option<String>,
        /// Folder of the chats.
        folder_id: Option<String>,
        /// From 1.
        page: i64 = 1,
    }
}

form! {
    /// Which runs.
    struct RunsQuery {
        /// Runs to leave out.
        skip: i64 = 0,
        /// Runs at most.
        limit: i64 = 50,
    }
}

/// Whether automations are switched on and for the caller.
pub(crate) async fn allowed(caller: &Caller<Verified>) -> ApiResult<bool> {
    Ok(caller.app().config.get(&features::ENABLE_AUTOMATIONS) && caller.may("features.automations").await?)
}

async fn check(caller: &Caller<Verified>) -> ApiResult<()> {
    if allowed(caller).await? {
        Ok(())
    } else {
        Err(ApiError::forbidden(messages::UNAUTHORIZED))
    }
}

async fn list(caller: Caller<Verified>, Query(query): Query<AutomationsQuery>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let filter = AutomationFilter {
        query: given(&query.query),
        status: given(&query.status),
        folder_id: given(&query.folder_id),
    };
    let window = ((query.page.max(1) - 1).saturating_mul(PAGE), PAGE);
    let (rows, total) = automations::search(caller.db(), caller.id(), filter, window).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let runs = automations::latest_runs(caller.db(), &ids).await?;
    let items: Vec<Value> = rows
        .iter()
        .map(|row| {
            let last = runs.iter().find(|run| run.automation_id == row.id);
            let mut item = row.to_json();
            item.insert("last_run".into(), last.map_or(Value::Null, RunRow::to_json));
            item.insert("next_runs".into(), Value::Null);
            Value::Object(item)
        })
        .collect();
    Ok(Json(json!({ "items": items, "total": total })))
}

async fn runs(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Query(query): Query<RunsQuery>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let owner = automations::owner(caller.db(), &id).await?;
    if owner.as_deref() != Some(caller.id()) {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    let runs = automations::runs(caller.db(), &id, (query.skip.max(0), query.limit.max(0))).await?;
    Ok(Json(runs.iter().map(RunRow::to_json).collect()))
}
