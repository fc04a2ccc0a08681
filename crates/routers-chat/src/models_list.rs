//! The list of models that a client may choose from, and the base models for administrators.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use oui_core::{ApiResult, form};
use oui_web::{Admin, Area, Caller, Query, Verified, endpoints};
use serde_json::{Value, json};

use crate::request::call_context;

/// The model lists.
pub(crate) fn areas() -> Vec<Area> {
    vec![
        endpoints! { "models-list" at "/api/models", "/api/v1/models";
            GET "" Verified => list,
        },
        endpoints! { "models-list" at "/api/models";
            GET "/base" Admin => base,
        },
    ]
}

form! {
    struct ListQuery {
        refresh: bool = false,
    }
}

async fn list(
    caller: Caller<Verified>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    let catalogue = &caller.app().chat.catalogue;
    let context = call_context(&caller, &headers).await?;
    let models = catalogue.all(query.refresh, &context).await?;
    let body = catalogue.listing(caller.user(), &models).await?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([kind], body).into_response())
}

async fn base(caller: Caller<Admin>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let context = call_context(&caller, &headers).await?;
    let models = caller.app().chat.catalogue.base(&context).await?;
    Ok(Json(json!({ "data": models })))
}
