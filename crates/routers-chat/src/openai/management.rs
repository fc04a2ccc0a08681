//! Model management of the servers behind OpenAI-compatible connections (llama.cpp, LM Studio).

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;
use oui_chat::gateway;
use oui_core::{ApiError, ApiResult, form};
use oui_providers::management::{ManagedServer, Operation};
use oui_providers::{ChatReply, ProviderKind, strip_model_prefix};
use oui_web::body::Body;
use oui_web::{Admin, Area, Caller, Query, endpoints};
use serde_json::{Map, Value, json};

use crate::forms::{Place, filled};
use crate::request;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "openai" at "/openai/models";
        GET    "/{url_idx}/catalog"                  Admin => catalog,
        POST   "/{url_idx}/download"                 Admin => download,
        GET    "/{url_idx}/download/status/{job_id}" Admin => download_status,
        POST   "/{url_idx}/load"                     Admin => load,
        POST   "/{url_idx}/unload"                   Admin => unload,
        GET    "/{url_idx}/sse"                      Admin => events,
        DELETE "/{url_idx}"                          Admin => delete,
    }
}

form! {
    struct ModelForm {
        model: String,
    }
}

/// What a server is asked, once the names of its models are known to it.
enum Ask {
    Plain(Operation),
    About(
        Map<String, Value>,
        fn(Map<String, Value>) -> Operation,
        Option<&'static str>,
    ),
    Delete(String),
}

async fn manage(caller: &Caller<Admin>, headers: &HeaderMap, place: Place, ask: Ask) -> ApiResult<ChatReply> {
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    if !settings.openai_enabled {
        return Err(gateway::openai_disabled());
    }
    let connection = place
        .0
        .and_then(|index| settings.get(ProviderKind::OpenAi, index));
    let connection = connection.ok_or_else(|| ApiError::not_found("Connection not found"))?;
    let server = ManagedServer::of(connection)?;
    let changes = !matches!(ask, Ask::Plain(_));
    // Which model, and what those who hear of events are told of it.
    let (mut about, mut told) = (Value::Null, None);
    let operation = match ask {
        Ask::Plain(operation) => operation,
        Ask::About(mut fields, operation, news) => {
            if let Some(model) = fields.get("model").and_then(Value::as_str) {
                let model = strip_model_prefix(model, connection.prefix_id()).to_owned();
                about = json!(model);
                fields.insert("model".into(), json!(model));
            }
            told = news;
            operation(fields)
        }
        Ask::Delete(model) => {
            let model = strip_model_prefix(&model, connection.prefix_id()).to_owned();
            about = json!(model);
            told = Some("model.provider_model.deleted");
            Operation::Delete(model)
        }
    };
    let context = request::call_context(caller, headers).await?;
    let answer = server.call(&engine.providers.http, &operation, &context).await?;
    if changes {
        engine.catalogue.invalidate();
    }
    if let Some(name) = told {
        let (provider, index) = (connection.provider(), place.0);
        let news = json!({ "provider": provider, "url_idx": index, "base_url": server.root() });
        caller.tell(name, about, news);
    }
    Ok(answer)
}

async fn plain(
    caller: &Caller<Admin>,
    headers: &HeaderMap,
    place: Place,
    operation: Operation,
) -> ApiResult<Response> {
    let answer = manage(caller, headers, place, Ask::Plain(operation)).await?;
    Ok(request::reply(answer))
}

async fn catalog(caller: Caller<Admin>, headers: HeaderMap, place: Place) -> ApiResult<Response> {
    plain(&caller, &headers, place, Operation::Catalog).await
}

async fn events(caller: Caller<Admin>, headers: HeaderMap, place: Place) -> ApiResult<Response> {
    plain(&caller, &headers, place, Operation::Events).await
}

async fn download_status(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Path((_, job)): Path<(String, String)>,
) -> ApiResult<Response> {
    plain(&caller, &headers, place, Operation::DownloadStatus(job)).await
}

async fn download(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<ModelForm>,
) -> ApiResult<Response> {
    let ask = Ask::About(
        filled(raw),
        Operation::Download,
        Some("model.provider_model.created"),
    );
    Ok(request::reply(manage(&caller, &headers, place, ask).await?))
}

async fn load(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<ModelForm>,
) -> ApiResult<Response> {
    let ask = Ask::About(filled(raw), Operation::Load, None);
    Ok(request::reply(manage(&caller, &headers, place, ask).await?))
}

async fn unload(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<ModelForm>,
) -> ApiResult<Response> {
    let ask = Ask::About(filled(raw), Operation::Unload, None);
    Ok(request::reply(manage(&caller, &headers, place, ask).await?))
}

async fn delete(
    caller: Caller<Admin>,
    headers: HeaderMap,
    place: Place,
    Query(form): Query<ModelForm>,
) -> ApiResult<Json<Value>> {
    match manage(&caller, &headers, place, Ask::Delete(form.model)).await? {
        ChatReply::Json(answer) => Ok(Json(answer)),
        ChatReply::Stream(_) => Err(ApiError::internal("a plain call was answered by a stream")),
    }
}
