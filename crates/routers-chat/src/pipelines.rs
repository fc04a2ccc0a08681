//! External pipelines servers, as the administrator manages them: which connections are such servers, their
//! pipelines and the settings (valves) of these. Every call is passed on to the server that `urlIdx` names.

use axum::Json;
use axum::extract::{Multipart, Path};
use http::{Method, StatusCode};
use oui_core::{ApiError, ApiResult, form};
use oui_providers::ProviderKind;
use oui_web::body::ObjectBody;
use oui_web::{Admin, Area, Body, Caller, Query, endpoints};
use serde_json::{Value, json};

form! {
    /// Which server.
    pub(crate) struct ServerQuery {
        /// Position in the list of connections.
        index as "urlIdx": Option<i64>,
    }
}

form! {
    /// Which server; it has to be named.
    pub(crate) struct NamedServerQuery {
        /// Position in the list of connections.
        index as "urlIdx": oui_core::form::Nullable<i64>,
    }
}

form! {
    /// A pipeline to be fetched by the server.
    pub(crate) struct AddForm {
        /// Address of its source.
        url: String,
        /// Position in the list of connections.
        index as "urlIdx": i64,
    }
}

form! {
    /// A pipeline to be removed.
    pub(crate) struct DeleteForm {
        /// Its id.
        id: String,
        /// Position in the list of connections.
        index as "urlIdx": i64,
    }
}

/// Pipelines servers.
pub(crate) fn area() -> Area {
    endpoints! { "pipelines" at "/api/v1/pipelines";
        GET    "/list"                        Admin => list,
        POST   "/upload"                      Admin => upload,
        POST   "/add"                         Admin => add,
        DELETE "/delete"                      Admin => delete,
        GET    "/"                            Admin => all,
        GET    "/{pipeline_id}/valves"        Admin => valves,
        GET    "/{pipeline_id}/valves/spec"   Admin => spec,
        POST   "/{pipeline_id}/valves/update" Admin => update,
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("Pipeline not found")
}

/// Address and key of a server.
fn server(caller: &Caller<Admin>, index: Option<i64>) -> ApiResult<(String, String)> {
    let index = index
        .and_then(|index| usize::try_from(index).ok())
        .ok_or_else(not_found)?;
    let settings = caller.app().chat.catalogue.connections();
    let connection = settings.get(ProviderKind::OpenAi, index).ok_or_else(not_found)?;
    Ok((connection.url.clone(), connection.key.expose().to_owned()))
}

/// Passes a call on. The server's refusals keep their status and words.
async fn pass(
    caller: &Caller<Admin>,
    index: Option<i64>,
    method: Method,
    path: &str,
    change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> ApiResult<Json<Value>> {
    let (url, key) = server(caller, index)?;
    let client = caller.app().chat.providers.http.client();
    let request = change(client.request(method, format!("{url}{path}")).bearer_auth(key));
    let response = request.send().await.map_err(|error| {
        tracing::error!(error = %error.without_url(), "a pipelines server cannot be reached");
        not_found()
    })?;
    let status = response.status();
    let answer: Option<Value> = response.json().await.ok();
    if status.is_client_error() || status.is_server_error() {
        let detail = answer.and_then(|answer| answer.get("detail").cloned());
        return Err(match detail {
            Some(Value::String(text)) => ApiError::new(status, text),
            Some(detail) if !detail.is_null() => ApiError::with_body(status, json!({ "detail": detail })),
            _ => ApiError::new(status, "Pipeline not found"),
        });
    }
    match answer.filter(Value::is_object) {
        Some(answer) => Ok(Json(answer)),
        None => Err(ApiError::new(StatusCode::OK, "Pipeline not found")),
    }
}

/// The connections whose list of models says that they are pipelines servers.
async fn list(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let settings = caller.app().chat.catalogue.connections();
    let mut index = 0;
    let mut asked = Vec::new();
    while let Some(connection) = settings.get(ProviderKind::OpenAi, index) {
        if connection.enabled() {
            let client = caller.app().chat.providers.http.client();
            let limit = caller.app().settings.upstream.model_list_timeout;
            let mut request = client
                .get(format!("{}/models", connection.url))
                .bearer_auth(connection.key.expose());
            if let Some(limit) = limit {
                request = request.timeout(limit);
            }
            let url = connection.url.clone();
            asked.push(async move {
                let answer: Value = request.send().await.ok()?.json().await.ok()?;
                answer
                    .get("pipelines")
                    .map(|_| json!({ "url": url, "idx": index }))
            });
        }
        index += 1;
    }
    let found = futures::future::join_all(asked).await;
    Ok(Json(
        json!({ "data": found.into_iter().flatten().collect::<Vec<_>>() }),
    ))
}

/// The id that the server gave a new pipeline, else what it was made of.
fn named(done: &Json<Value>, made_of: String) -> Value {
    match &done.0["id"] {
        Value::Null => made_of.into(),
        Value::String(id) if id.is_empty() => made_of.into(),
        id => id.clone(),
    }
}

async fn upload(caller: Caller<Admin>, mut form: Multipart) -> ApiResult<Json<Value>> {
    let unreadable =
        |error: axum::extract::multipart::MultipartError| ApiError::bad_request(error.body_text());
    let (mut index, mut file) = (None, None);
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        match field.name() {
            Some("urlIdx") => index = Some(field.text().await.map_err(unreadable)?),
            Some("file") => {
                let name = field.file_name().unwrap_or_default().to_owned();
                file = Some((name, field.bytes().await.map_err(unreadable)?));
            }
            _ => {}
        }
    }
    let missing = |name: &str| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": null });
    let issues: Vec<Value> = [("urlIdx", index.is_none()), ("file", file.is_none())]
        .iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(name, _)| missing(name))
        .collect();
    let (Some(index), Some((name, bytes))) = (index, file) else {
        return Err(ApiError::unprocessable(issues));
    };
    let index: i64 = index.trim().parse().map_err(|_| {
        ApiError::unprocessable(vec![json!({
            "type": "int_parsing", "loc": ["body", "urlIdx"], "input": index,
            "msg": "Input should be a valid integer, unable to parse string as an integer",
        })])
    })?;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    if !name.ends_with(".py") {
        return Err(ApiError::bad_request("Only Python (.py) files are allowed."));
    }
    let filename = name.clone();
    let part = reqwest::multipart::Part::stream(bytes).file_name(name);
    let part = part
        .mime_str("application/octet-stream")
        .map_err(ApiError::internal)?;
    let form = reqwest::multipart::Form::new().part("file", part);
    let send = |request: reqwest::RequestBuilder| request.multipart(form);
    let done = pass(&caller, Some(index), Method::POST, "/pipelines/upload", send).await?;
    let news = json!({ "url_idx": index, "filename": filename });
    caller.tell("pipeline.uploaded", named(&done, filename), news);
    Ok(done)
}

async fn add(caller: Caller<Admin>, body: Body<AddForm>) -> ApiResult<Json<Value>> {
    let AddForm { url, index } = body.form;
    let send = |request: reqwest::RequestBuilder| request.json(&json!({ "url": url }));
    let done = pass(&caller, Some(index), Method::POST, "/pipelines/add", send).await?;
    let news = json!({ "url_idx": index, "url": url });
    caller.tell("pipeline.added", named(&done, url), news);
    Ok(done)
}

async fn delete(caller: Caller<Admin>, body: Body<DeleteForm>) -> ApiResult<Json<Value>> {
    let DeleteForm { id, index } = body.form;
    let send = |request: reqwest::RequestBuilder| request.json(&json!({ "id": id }));
    let done = pass(&caller, Some(index), Method::DELETE, "/pipelines/delete", send).await?;
    caller.tell("pipeline.deleted", id, json!({ "url_idx": index }));
    Ok(done)
}

async fn all(caller: Caller<Admin>, Query(query): Query<ServerQuery>) -> ApiResult<Json<Value>> {
    pass(&caller, query.index, Method::GET, "/pipelines", |request| request).await
}

async fn valves(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<NamedServerQuery>,
) -> ApiResult<Json<Value>> {
    pass(
        &caller,
        query.index.0,
        Method::GET,
        &format!("/{id}/valves"),
        |request| request,
    )
    .await
}

async fn spec(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<NamedServerQuery>,
) -> ApiResult<Json<Value>> {
    pass(
        &caller,
        query.index.0,
        Method::GET,
        &format!("/{id}/valves/spec"),
        |request| request,
    )
    .await
}

async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<NamedServerQuery>,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Json<Value>> {
    let path = format!("/{id}/valves/update");
    let done = pass(&caller, query.index.0, Method::POST, &path, |request| {
        request.json(&body)
    })
    .await?;
    caller.tell("pipeline.valves_updated", id, json!({ "url_idx": query.index.0 }));
    Ok(done)
}
