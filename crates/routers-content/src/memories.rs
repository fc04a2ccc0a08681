//! What users let models remember of them: `/api/v1/memories`. Here they are listed; writing and finding them by
//! meaning needs the retrieval.

use axum::Json;
use oui_config::features;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::memories::{self, MemoryRow};
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::Value;

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "memories" at "/api/v1/memories";
        GET "/" Verified => list,
    }
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    if !caller.app().config.get(&features::ENABLE_MEMORIES) {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    if !caller.may("features.memories").await? {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    let memories = memories::of_user(caller.db(), caller.id()).await?;
    Ok(Json(memories.iter().map(MemoryRow::to_json).collect()))
}
