//! Model files for Ollama servers: uploaded by an administrator, or fetched from one of two known hosts. How it is
//! getting on is a stream of server-sent events.

use std::path::{Path, PathBuf};

use axum::body::Body as ResponseBody;
use axum::extract::Multipart;
use axum::response::{IntoResponse, Response};
use axum::{Json, http::header};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use oui_core::{ApiError, ApiResult, form, ids};
use oui_providers::ollama_blobs::{Progress, Target};
use oui_web::body::Body;
use oui_web::{Admin, Caller};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::server;
use crate::forms::Place;
use crate::request;

/// Where model files may come from.
const HOSTS: [&str; 2] = ["https://huggingface.co/", "https://github.com/"];

form! {
    pub(super) struct UrlForm {
        url: String,
    }
}

async fn target(caller: &Caller<Admin>, headers: &HeaderMap, place: Place) -> ApiResult<Target> {
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    Ok(Target {
        http: engine.providers.http.clone(),
        connection: server(&settings, place.0.unwrap_or(0))?.clone(),
        context: request::call_context(caller, headers).await?,
    })
}

/// The response of a transfer; the lists of models are asked for anew after it.
fn events(
    caller: &Caller<Admin>,
    transfer: impl Future<Output = ()> + Send + 'static,
    progress: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let engine = caller.app().chat.clone();
    tokio::spawn(async move {
        transfer.await;
        engine.catalogue.invalidate();
    });
    let body = ResponseBody::from_stream(progress.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}

/// The last part of an address or of a path, if it can be a file's name.
fn file_name(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let usable = !name.is_empty() && name != "." && name != ".." && !name.contains('\0');
    usable.then_some(name)
}

/// The path of an address, without its query.
fn path_of(url: &str) -> &str {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    &url[..end]
}

async fn folder(caller: &Caller<Admin>) -> ApiResult<PathBuf> {
    let folder = caller.app().settings.server.upload_dir();
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(ApiError::internal)?;
    Ok(folder)
}

pub(super) async fn download(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { form, .. }: Body<UrlForm>,
) -> ApiResult<Response> {
    if !HOSTS.iter().any(|host| form.url.starts_with(host)) {
        return Err(ApiError::bad_request(
            "Invalid file_url. Only URLs from allowed hosts are permitted.",
        ));
    }
    let target = target(&caller, &headers, place).await?;
    let Some(name) = file_name(path_of(&form.url)).map(str::to_owned) else {
        return Ok(Json(Value::Null).into_response());
    };
    let file = folder(&caller).await?.join(&name);
    let (progress, told) = Progress::channel();
    Ok(events(
        &caller,
        target.download(form.url, file, name, progress),
        told,
    ))
}

pub(super) async fn upload(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    mut form: Multipart,
) -> ApiResult<Response> {
    let target = target(&caller, &headers, place).await?;
    let file = folder(&caller).await?.join(format!("model-{}.part", ids::uuid()));
    let name = match receive(&mut form, &file).await {
        Ok(Some(name)) => name,
        refused => {
            let _ = tokio::fs::remove_file(&file).await;
            refused?;
            return Err(ApiError::unprocessable(vec![json!({
                "type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": null,
            })]));
        }
    };
    let (progress, told) = Progress::channel();
    Ok(events(&caller, target.upload(file, name, progress), told))
}

/// Writes the field `file` of a form to the disk; answers its name, `None` when there is no such field.
async fn receive(form: &mut Multipart, file: &Path) -> ApiResult<Option<String>> {
    let unreadable =
        |error: axum::extract::multipart::MultipartError| ApiError::bad_request(error.body_text());
    while let Some(mut field) = form.next_field().await.map_err(unreadable)? {
        if field.name() != Some("file") {
            continue;
        }
        let Some(name) = field.file_name().and_then(file_name).map(str::to_owned) else {
            continue;
        };
        let mut target = tokio::fs::File::create(file).await.map_err(ApiError::internal)?;
        while let Some(piece) = field.chunk().await.map_err(unreadable)? {
            target.write_all(&piece).await.map_err(ApiError::internal)?;
        }
        target.flush().await.map_err(ApiError::internal)?;
        return Ok(Some(name));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let of = |url: &str| file_name(path_of(url)).map(str::to_owned);
        assert_eq!(
            of("https://github.com/a/b/m.gguf?download=true").as_deref(),
            Some("m.gguf")
        );
        assert_eq!(of("https://github.com/a/.."), None);
        assert_eq!(of("https://github.com/"), None);
        assert_eq!(file_name("..\\..\\x.gguf"), Some("x.gguf"));
    }
}
