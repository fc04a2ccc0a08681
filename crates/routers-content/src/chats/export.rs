//! Whole chats in bulk, streamed: lines of JSON for the caller's own export, one array where the reference sends one.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::chat_export::{self, BATCH, Scope};
use oui_models::chats::ChatRow;
use oui_models::{Db, DbError, folders};
use oui_web::{Admin, Caller, Verified};
use serde_json::Value;

/// Type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Streams something about each of the chats, a batch at a time; `render` adds it to the text.
pub(super) fn body<F>(db: Db, ids: Vec<String>, start: &'static str, end: &'static str, render: F) -> Body
where
    F: Fn(&mut String, ChatRow) + Send + Sync + 'static,
{
    let mut batches: Vec<Vec<String>> = ids.chunks(BATCH).map(<[String]>::to_vec).collect();
    batches.reverse();
    let state = (db, batches, render, Some(start), false);
    Body::from_stream(stream::try_unfold(
        state,
        move |(db, mut batches, render, start, ended)| async move {
            if ended {
                return Ok::<_, DbError>(None);
            }
            let mut text = start.unwrap_or_default().to_owned();
            let ended = match batches.pop() {
                Some(ids) => {
                    for row in chat_export::rows(&db, &ids).await? {
                        render(&mut text, row);
                    }
                    false
                }
                None => {
                    text.push_str(end);
                    true
                }
            };
            Ok(Some((Bytes::from(text), (db, batches, render, None, ended))))
        },
    ))
}

fn typed(kind: &'static str, body: Body) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn array(db: &Db, ids: Vec<String>) -> Response {
    let first = std::sync::atomic::AtomicBool::new(true);
    let render = move |text: &mut String, row: ChatRow| {
        if !first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            text.push(',');
        }
        text.push_str(&row.into_json().to_string());
    };
    typed("application/json", body(db.clone(), ids, "[", "]", render))
}

pub(super) async fn all(caller: Caller<Verified>) -> ApiResult<Response> {
    let ids = chat_export::ids(caller.db(), Scope::Of(caller.id())).await?;
    let render = |text: &mut String, row: ChatRow| {
        text.push_str(&row.into_json().to_string());
        text.push('\n');
    };
    Ok(typed(NDJSON, body(caller.db().clone(), ids, "", "", render)))
}

pub(super) async fn archived(caller: Caller<Verified>) -> ApiResult<Response> {
    Ok(array(
        caller.db(),
        chat_export::ids(caller.db(), Scope::ArchiveOf(caller.id())).await?,
    ))
}

pub(super) async fn everybody(caller: Caller<Admin>) -> ApiResult<Response> {
    if !caller.app().settings.access.admin_export {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    Ok(array(
        caller.db(),
        chat_export::ids(caller.db(), Scope::Everybody).await?,
    ))
}

pub(super) async fn of_folder(
    caller: Caller<Verified>,
    Path(folder_id): Path<String>,
) -> ApiResult<Response> {
    let db = caller.db();
    let folder = folders::by_id(db, &folder_id)
        .await?
        .filter(|folder| folder.user_id == caller.id());
    let folder_ids = match folder {
        Some(folder) => folders::subtree(db, &folder).await?,
        None => vec![folder_id],
    };
    let ids = chat_export::ids(db, Scope::InFolders(caller.id(), &folder_ids)).await?;
    if ids.is_empty() {
        return Ok(Json(Value::Array(Vec::new())).into_response());
    }
    Ok(array(db, ids))
}
