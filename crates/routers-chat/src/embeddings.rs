//! Embeddings in OpenAI's form whatever the provider speaks, and the unloading of models from providers' memory.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use oui_chat::gateway;
use oui_core::{ApiError, ApiResult, form};
use oui_models::models;
use oui_providers::management::unload_llama_cpp;
use oui_providers::{PassedCall, ProviderKind, strip_model_prefix};
use oui_web::body::{Body, ObjectBody};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
use serde_json::{Value, json};

use crate::{ollama, request};

/// The tables.
pub(crate) fn areas() -> Vec<Area> {
    vec![
        endpoints! { "embeddings" at "/api/embeddings", "/api/v1/embeddings";
            POST "" Verified => embeddings,
        },
        endpoints! { "embeddings" at "/api/models";
            POST "/unload" Admin => unload,
        },
    ]
}

form! {
    struct UnloadForm {
        model: String,
    }
}

async fn embeddings(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Response> {
    let engine = &caller.app().chat;
    let context = request::call_context(&caller, &headers).await?;
    let known = engine.catalogue.known(&context).await?;
    let id = body.get("model").and_then(Value::as_str).unwrap_or_default();
    // The reference fails over models that it does not know or does not open.
    let model = known.get(id).ok_or_else(gateway::no_connection)?;
    if caller.user().role == "user" && !engine.catalogue.may_use(caller.user(), model).await? {
        return Err(gateway::no_connection());
    }
    if model.provider() == ProviderKind::Ollama {
        let answer = ollama::embed_openai(&caller, &headers, &body).await?;
        return Ok(answer.into_response());
    }
    let base = model
        .registered
        .as_ref()
        .and_then(|registered| registered.row.base_model_id.clone())
        .filter(|base| !base.is_empty())
        .unwrap_or_else(|| model.id.clone());
    let settings = engine.catalogue.connections();
    let index = engine.openai_index(&base, &context).await.unwrap_or(0);
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let name = strip_model_prefix(&base, connection.prefix_id());
    body.insert("model".into(), json!(name));
    body.shift_remove("metadata");
    let call = PassedCall {
        method: Method::POST,
        path: "embeddings",
        query: None,
        body: Some(Value::Object(body).to_string().into()),
        model: Some(name),
        stream: false,
    };
    let answer = engine.providers.openai.pass(connection, call, &context).await?;
    Ok(request::reply(answer))
}

/// Drops a model from the memory of whichever provider has it; workspace models stand for the model that answers.
async fn unload(
    caller: Caller<Admin>,
    headers: HeaderMap,
    Body { form, .. }: Body<UnloadForm>,
) -> ApiResult<Json<Value>> {
    let engine = &caller.app().chat;
    let context = request::call_context(&caller, &headers).await?;
    let settings = engine.catalogue.connections();
    let snapshot = engine.catalogue.snapshot();
    let mut model = form.model;
    let mut seen = Vec::new();
    let registry = models::registry(caller.db()).await?;
    while !snapshot.ollama.contains_key(&model)
        && !snapshot.openai.contains_key(&model)
        && !seen.contains(&model)
    {
        let row = registry.iter().find(|registered| registered.row.id == model);
        let base = row.and_then(|registered| registered.row.base_model_id.clone());
        let Some(base) = base.filter(|base| !base.is_empty()) else {
            break;
        };
        seen.push(std::mem::replace(&mut model, base));
    }
    let servers = snapshot.ollama_indices(&model);
    if !servers.is_empty() {
        ollama::unload_everywhere(caller.app(), &settings, &model, &servers, &context).await?;
        return Ok(Json(json!({ "status": true })));
    }
    let Some(index) = snapshot.openai_index(&model) else {
        return Err(ApiError::not_found(format!("Model \"{model}\" not found")));
    };
    let connection = settings.get(ProviderKind::OpenAi, index);
    let connection = connection.ok_or_else(gateway::no_connection)?;
    let provider = connection.provider();
    if provider != "llama.cpp" {
        let provider = if provider.is_empty() { "default" } else { provider };
        return Err(ApiError::bad_request(format!(
            "Provider \"{provider}\" does not support model unloading"
        )));
    }
    let name = strip_model_prefix(&model, connection.prefix_id());
    let answer = unload_llama_cpp(&engine.providers.http, connection, name, &context).await?;
    engine.catalogue.invalidate();
    Ok(Json(answer))
}
