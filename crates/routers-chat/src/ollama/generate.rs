//! Requests to models on Ollama servers, in Ollama's own form and in those of OpenAI and Anthropic that Ollama speaks
//! too: passed on as they are, but for the parameters and the prompt of a workspace model.

use axum::Json;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use oui_chat::gateway::{self, Opened};
use oui_chat::quota::meter::Tone;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form};
use oui_providers::python::truthy;
use oui_providers::{ChatReply, params, strip_model_prefix};
use oui_web::body::{Body, ObjectBody};
use oui_web::{Caller, Verified};
use serde_json::{Map, Value, json};

use super::demand_enabled;
use crate::forms::{Either, Place, checked, filled};
use crate::request;

form! {
    pub(super) struct EmbedForm {
        model: String,
        input: Either<Vec<String>, String>,
        truncate: Option<bool>,
        options: Option<Map<String, Value>>,
        keep_alive: Option<Either<i64, String>>,
    }
}

form! {
    pub(super) struct EmbeddingsForm {
        model: String,
        prompt: String,
        options: Option<Map<String, Value>>,
        keep_alive: Option<Either<i64, String>>,
    }
}

form! {
    pub(super) struct GenerateForm {
        model: String,
        prompt: Option<String>,
        suffix: Option<String>,
        images: Option<Vec<String>>,
        format: Option<Either<Map<String, Value>, String>>,
        options: Option<Map<String, Value>>,
        system: Option<String>,
        template: Option<String>,
        context: Option<Vec<i64>>,
        stream: Option<bool>,
        raw: Option<bool>,
        keep_alive: Option<Either<i64, String>>,
    }
}

form! {
    struct ChatMessage {
        role: String,
        content: Option<String>,
        tool_calls: Option<Vec<Map<String, Value>>>,
        images: Option<Vec<String>>,
    }
}

form! {
    struct ChatForm {
        model: String,
        messages: Vec<ChatMessage>,
        format: Option<Either<Map<String, Value>, String>>,
        options: Option<Map<String, Value>>,
        template: Option<String>,
        stream: Option<bool>,
        keep_alive: Option<Either<i64, String>>,
        tools: Option<Vec<Map<String, Value>>>,
    }
}

/// The content of a message in OpenAI's form: a text, nothing, or a list of parts that say what they are.
#[derive(Debug, Clone)]
struct Content;

form! {
    struct ContentPart {
        kind as "type": String,
    }
}

impl Field for Content {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if input.is_string() || input.is_null() {
            return Some(Self);
        }
        if let Value::Array(_) = input {
            let mut found = Issues::default();
            if Vec::<ContentPart>::parse(input, &mut found).is_some() && found.is_empty() {
                return Some(Self);
            }
        }
        issues.inside("str", |issues| String::parse(input, issues).map(drop));
        issues.inside("list[OpenAIChatMessageContent]", |issues| {
            Vec::<ContentPart>::parse(input, issues).map(drop)
        });
        None
    }

    fn schema() -> Value {
        json!({})
    }
}

form! {
    struct OpenAiMessage {
        role: String,
        content: Content,
    }
}

form! {
    struct OpenAiChatForm {
        model: String,
        messages: Vec<OpenAiMessage>,
    }
}

form! {
    struct OpenAiCompletionForm {
        model: String,
        prompt: String,
    }
}

/// A value of any type that has to be there.
#[derive(Debug, Clone)]
struct Anything;

impl Field for Anything {
    fn parse(_: &Value, _: &mut Issues) -> Option<Self> {
        Some(Self)
    }

    fn schema() -> Value {
        json!({})
    }
}

form! {
    struct OpenAiEmbeddingsForm {
        model: String,
        input: Anything,
    }
}

form! {
    pub(super) struct ResponsesForm {
        model: String,
    }
}

/// What is passed on, and where to.
struct Pass<'a> {
    path: &'a str,
    place: Place,
    /// Whether the answer is passed on piece by piece.
    stream: bool,
    /// The type of a streamed answer, where it is not the server's to say.
    kind: Option<&'static str>,
    /// The chat that this is about, for the headers of the call.
    metadata: Option<Value>,
}

async fn pass(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    opened: &Opened,
    mut body: Map<String, Value>,
    pass: Pass<'_>,
) -> ApiResult<Response> {
    let engine = &caller.app().chat;
    let mut context = request::call_context(caller, headers).await?;
    if let Some(metadata) = pass.metadata {
        context.metadata = metadata;
    }
    let settings = engine.catalogue.connections();
    let (_, connection) = engine
        .ollama_server(&settings, caller.user(), &opened.base, pass.place.0, &context)
        .await?;
    let model = strip_model_prefix(&opened.base, connection.prefix_id()).to_owned();
    body.insert("model".into(), json!(model));
    let named = opened
        .registered
        .as_ref()
        .map_or(&opened.base, |registered| &registered.row.id);
    let meter = match tone(pass.path) {
        Some(tone) => engine
            .meter(caller.id(), &[named, &opened.base], &body, true)
            .await?
            .map(|meter| (meter, tone)),
        None => None,
    };
    let body = Value::Object(body);
    let client = &engine.providers.ollama;
    let answer = client
        .request(
            connection,
            Method::POST,
            pass.path,
            Some(&body),
            pass.stream,
            &context,
        )
        .await;
    let mut reply = match meter {
        Some((meter, tone)) => meter.measure(answer, tone).await?,
        None => answer?,
    };
    if let (ChatReply::Stream(stream), Some(kind)) = (&mut reply, pass.kind) {
        stream
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok(request::reply(reply))
}

/// How the answers of a path say that a limit is reached; paths that generate nothing are not limited.
fn tone(path: &str) -> Option<Tone> {
    match path {
        "api/generate" | "api/chat" => Some(Tone::Lines),
        "v1/chat/completions" | "v1/completions" => Some(Tone::Chat),
        "v1/messages" => Some(Tone::Messages),
        "v1/responses" => Some(Tone::Responses),
        _ => None,
    }
}

fn model_of(body: &Map<String, Value>) -> &str {
    body.get("model").and_then(Value::as_str).unwrap_or_default()
}

fn streams(body: &Map<String, Value>) -> bool {
    body.get("stream").is_some_and(truthy)
}

/// Opens the model of a request that only runs while the connections are switched on.
async fn open_enabled(caller: &Caller<Verified>, model: &str) -> ApiResult<Opened> {
    let engine = &caller.app().chat;
    demand_enabled(&engine.catalogue.connections())?;
    engine.open(caller.user(), model).await
}

/// A request about the model that it names, without its workspace model's parameters.
async fn own_form(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    raw: Value,
    call: Pass<'_>,
) -> ApiResult<Response> {
    let body = filled(raw);
    let model = model_of(&body).to_owned();
    open_enabled(caller, &model).await?;
    let opened = Opened {
        registered: None,
        base: model,
    };
    pass(caller, headers, &opened, body, call).await
}

pub(super) async fn embed(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<EmbedForm>,
) -> ApiResult<Response> {
    let call = Pass {
        path: "api/embed",
        place,
        stream: false,
        kind: None,
        metadata: None,
    };
    own_form(&caller, &headers, raw, call).await
}

pub(super) async fn embeddings(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    Body { raw, .. }: Body<EmbeddingsForm>,
) -> ApiResult<Response> {
    let call = Pass {
        path: "api/embeddings",
        place,
        stream: false,
        kind: None,
        metadata: None,
    };
    own_form(&caller, &headers, raw, call).await
}

/// Streams unless told not to; the answer is passed on as it comes in either case.
pub(super) async fn generate(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    Body { mut raw, .. }: Body<GenerateForm>,
) -> ApiResult<Response> {
    if let Some(fields) = raw.as_object_mut() {
        fields.entry("stream").or_insert(json!(true));
    }
    let call = Pass {
        path: "api/generate",
        place,
        stream: true,
        kind: None,
        metadata: None,
    };
    own_form(&caller, &headers, raw, call).await
}

pub(super) async fn chat(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Response> {
    demand_enabled(&caller.app().chat.catalogue.connections())?;
    let metadata = body.shift_remove("metadata");
    let form: ChatForm = checked("GenerateChatCompletionForm", &body)?;
    check_messages(&body)?;
    let stream = form.stream.unwrap_or(!body.contains_key("stream"));
    let mut body = filled(Value::Object(body));
    for message in body
        .get_mut("messages")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        *message = Value::Object(filled(message.take()));
    }
    if stream {
        body.insert("stream".into(), json!(true));
    }
    let engine = &caller.app().chat;
    let opened = engine.open(caller.user(), &form.model).await?;
    if let Some(registered) = &opened.registered {
        let laid = registered.row.params_object();
        if !laid.is_empty() {
            params::apply_ollama(laid, &mut body);
        }
        engine.lay_prompt(caller.user(), &opened, &mut body).await?;
    }
    let call = Pass {
        path: "api/chat",
        place,
        stream,
        kind: Some("application/x-ndjson"),
        metadata,
    };
    pass(&caller, &headers, &opened, body, call).await
}

/// A message says something or calls a tool.
fn check_messages(body: &Map<String, Value>) -> ApiResult<()> {
    let messages = body.get("messages").and_then(Value::as_array);
    let silent = |message: &Value| {
        message.get("content").is_some_and(Value::is_null)
            && message.get("tool_calls").is_none_or(Value::is_null)
    };
    let issues: Vec<Value> = messages
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, message)| silent(message))
        .map(|(place, _)| {
            json!({
                "type": "value_error", "loc": ["body", "messages", place, "content"], "input": null,
                "msg": "Value error, At least one of 'content' or 'tool_calls' must be provided",
            })
        })
        .collect();
    if issues.is_empty() {
        Ok(())
    } else {
        Err(ApiError::bad_request(crate::forms::in_words(
            "GenerateChatCompletionForm",
            &issues,
        )))
    }
}

/// A request in OpenAI's form about a model that may be a workspace model.
async fn openai_form(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    mut body: Map<String, Value>,
    place: Place,
    path: &str,
    prompted: bool,
) -> ApiResult<Response> {
    let metadata = body.shift_remove("metadata");
    let mut body = filled(Value::Object(body));
    let engine = &caller.app().chat;
    let opened = engine.open(caller.user(), model_of(&body)).await?;
    if let Some(registered) = &opened.registered {
        params::apply_openai(registered.row.params_object(), &mut body);
        if prompted {
            engine.lay_prompt(caller.user(), &opened, &mut body).await?;
        }
    }
    let call = Pass {
        path,
        place,
        stream: streams(&body),
        kind: None,
        metadata,
    };
    pass(caller, headers, &opened, body, call).await
}

pub(super) async fn openai_chat(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    checked::<OpenAiChatForm>("OpenAIChatCompletionForm", &body)?;
    openai_form(&caller, &headers, body, place, "v1/chat/completions", true).await
}

pub(super) async fn openai_completion(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    checked::<OpenAiCompletionForm>("OpenAICompletionForm", &body)?;
    openai_form(&caller, &headers, body, place, "v1/completions", false).await
}

pub(super) async fn openai_embeddings(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    ObjectBody(mut body): ObjectBody,
) -> ApiResult<Response> {
    demand_enabled(&caller.app().chat.catalogue.connections())?;
    let metadata = body.shift_remove("metadata");
    checked::<OpenAiEmbeddingsForm>("OpenAIEmbeddingsForm", &body)?;
    let body = filled(Value::Object(body));
    let opened = caller.app().chat.open(caller.user(), model_of(&body)).await?;
    let call = Pass {
        path: "v1/embeddings",
        place,
        stream: false,
        kind: None,
        metadata,
    };
    pass(&caller, &headers, &opened, body, call).await
}

pub(super) async fn messages(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    ObjectBody(body): ObjectBody,
) -> ApiResult<Response> {
    let opened = open_enabled(&caller, model_of(&body)).await?;
    if !body.contains_key("model") {
        return Err(gateway::no_connection());
    }
    let stream = streams(&body);
    let call = Pass {
        path: "v1/messages",
        place,
        stream,
        kind: Some("text/event-stream"),
        metadata: None,
    };
    pass(&caller, &headers, &opened, body, call).await
}

pub(super) async fn responses(
    caller: Caller<Verified>,
    headers: HeaderMap,
    place: Place,
    Body { form, raw }: Body<ResponsesForm>,
) -> ApiResult<Response> {
    let opened = open_enabled(&caller, &form.model).await?;
    let body = raw.as_object().cloned().unwrap_or_default();
    let stream = streams(&body);
    let call = Pass {
        path: "v1/responses",
        place,
        stream,
        kind: Some("text/event-stream"),
        metadata: None,
    };
    pass(&caller, &headers, &opened, body, call).await
}

/// An OpenAI-compatible request for embeddings, answered by an Ollama server.
pub(crate) async fn embed_openai(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    request_body: &Map<String, Value>,
) -> ApiResult<Json<Value>> {
    let engine = &caller.app().chat;
    let settings = engine.catalogue.connections();
    demand_enabled(&settings)?;
    let opened = engine.open(caller.user(), model_of(request_body)).await?;
    let context = request::call_context(caller, headers).await?;
    let (_, connection) = engine
        .ollama_server(&settings, caller.user(), &opened.base, None, &context)
        .await?;
    let mut body = oui_providers::ollama::embed_request(request_body);
    let model = strip_model_prefix(&opened.base, connection.prefix_id());
    body.insert("model".into(), json!(model));
    let body = Value::Object(body);
    let answer = super::ask(
        caller,
        connection,
        Method::POST,
        "api/embed",
        Some(&body),
        &context,
    )
    .await?;
    Ok(Json(oui_providers::ollama::embed_reply(answer)))
}
