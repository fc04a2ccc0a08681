//! How far the work on a file is: the present state, or a stream of states until the work ends.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header;
use oui_core::{ApiError, ApiResult, form};
use oui_models::files;
use oui_web::Query;
use serde_json::json;

use super::loaded::File;

/// States sent at most, one a second.
const MAX_STATES: u32 = 2 * 3600;

form! {
    pub(crate) struct StatusQuery {
        stream: bool = false,
    }
}

pub(crate) async fn status(file: File, Query(query): Query<StatusQuery>) -> ApiResult<Response> {
    if !query.stream {
        let status = file.row.data_text("status").unwrap_or("pending");
        return Ok(Json(json!({ "status": status })).into_response());
    }
    let (db, id) = (file.caller.db().clone(), file.row.id);
    let states = async_stream::stream! {
        for _ in 0..MAX_STATES {
            let event = match files::status(&db, &id).await {
                Err(error) => {
                    yield Err(ApiError::from(error));
                    return;
                }
                Ok(None) => json!({ "status": "not_found" }),
                // Rows from before there were states have none.
                Ok(Some((None, _))) => return,
                Ok(Some((Some(status), error))) if status == "failed" => json!({ "status": status, "error": error }),
                Ok(Some((Some(status), _))) => json!({ "status": status }),
            };
            let ended = matches!(event["status"].as_str(), Some("completed" | "failed" | "not_found"));
            yield Ok(format!("data: {event}\n\n"));
            if ended {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let kind = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    Ok((kind, Body::from_stream(states)).into_response())
}
