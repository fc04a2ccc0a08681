//! Functions that are models themselves: pipes, one model each, and those that stand for several. Their answers are
//! brought into the form of Chat Completions, whole or as a stream of events.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oui_config::Settings;
use oui_core::{ApiError, ApiResult, Clock, ids};
use oui_models::users::{self, UserRow};
use oui_models::{Db, DbResult, functions as rows};
use oui_plugin_host::{Call, HostProblem, Said};
use oui_plugins::python::{self, Helpers};
use oui_plugins::{Python, Reporter, Scene, ToolContext, Toolbox, call};
use oui_providers::{ByteStream, CallContext, ChatReply, UpstreamStream};
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::emit::ToolReporter;
use crate::engine::Engine;
use crate::functions::{self, Function};
use crate::payload::Payload;
use crate::quota::meter::Tone;
use crate::scene;
use crate::turn::{Object, RunUser};

/// The models that pipes are, as the list of models has them.
pub(crate) async fn models(db: &Db, python: &Python, settings: &Settings) -> DbResult<Vec<Value>> {
    if !settings.plugins.functions() {
        return Ok(Vec::new());
    }
    let mut models = Vec::new();
    for pipe in functions::active(db, python, "pipe").await? {
        let model = |id: String, name: &str| {
            json!({
                "id": id, "name": name, "object": "model", "created": pipe.row.created_at, "owned_by": "openai",
                "pipe": { "type": "pipe" }, "has_user_valves": pipe.runner.facts().has_user_valves,
            })
        };
        if !pipe.runner.facts().has_pipes {
            models.push(model(
                pipe.row.id.clone(),
                pipe.row.name.as_deref().unwrap_or_default(),
            ));
            continue;
        }
        let prefix = pipe.runner.facts().name.clone().unwrap_or_default();
        for one in members(&pipe, python).await {
            if let (Some(id), Some(name)) = (one["id"].as_str(), one["name"].as_str()) {
                models.push(model(format!("{}.{id}", pipe.row.id), &format!("{prefix}{name}")));
            }
        }
    }
    Ok(models)
}

/// Nobody hears what a pipe says while its models are listed.
struct Nobody;

#[async_trait]
impl Reporter for Nobody {
    async fn report(&self, _: &str, _: Value) {}

    async fn relay(&self, _: &Value) {}

    async fn ask(
        &self,
        _: &str,
        _: Value,
        _: Option<std::time::Duration>,
    ) -> Result<Value, oui_core::CallError> {
        Err(oui_core::CallError::NoSession)
    }
}

/// What a pipe stands for: `[{id, name}]`. One that fails stands for nothing.
async fn members(pipe: &Function, python: &Python) -> Vec<Value> {
    let valves = python.valves(pipe.row.valves.as_deref());
    let mut question = Object::new();
    if pipe.runner.facts().has_valves {
        question.insert("valves".into(), Value::Object(valves));
    }
    let call = pipe.runner.call("pipes", question);
    match python::answer(call, &Nobody).await.map(python::value_of) {
        Ok(Value::Array(members)) => members,
        Ok(_) => Vec::new(),
        Err(problem) => {
            tracing::error!(id = pipe.row.id, "a pipe does not tell its models: {problem}");
            Vec::new()
        }
    }
}

/// Whether a model is a pipe.
pub(crate) fn is_pipe(model: &Model) -> bool {
    model.json.get("pipe").is_some_and(crate::turn::truthy)
}

/// Calls the model of a payload: a pipe gets the tools of the run, everything else is a provider's.
pub(crate) async fn dispatch(
    engine: &Engine,
    payload: &Payload,
    body: Object,
    context: &CallContext,
) -> ApiResult<ChatReply> {
    let body = payload.complete(body);
    if !is_pipe(&payload.model) {
        return crate::dispatch::dispatch(engine, &payload.model, body, context).await;
    }
    let meter = engine.meter_run(&payload.model, &body, context).await?;
    let tools = RunTools {
        tools: payload.tooling.tools.clone(),
        context: payload.tooling.context.clone(),
    };
    let mut scene = (*payload.tooling.context.scene).clone();
    add_task(&mut scene, context);
    let asked = Asked {
        model: &payload.model,
        body,
        scene,
        user: (*payload.user).clone(),
        reporter: payload.tooling.context.reporter.clone(),
        tools: Some(tools),
    };
    let answer = asked.run(engine).await;
    match meter {
        Some(meter) => meter.measure(answer, Tone::Error).await,
        None => answer,
    }
}

/// Calls a pipe outside a chat: for titles and other small jobs.
pub(crate) async fn complete(
    engine: &Engine,
    model: &Model,
    body: Object,
    context: &CallContext,
) -> ApiResult<ChatReply> {
    let user_id = context
        .user
        .as_ref()
        .map(|user| user.id.as_str())
        .unwrap_or_default();
    let user = users::by_id(&engine.db, user_id).await?;
    let user = user.ok_or_else(|| ApiError::bad_request("A pipe needs somebody who asks"))?;
    let run_user = RunUser {
        user: user.clone(),
        call: context.clone(),
    };
    let text = |name: &str| context.metadata.get(name).and_then(Value::as_str);
    let mut scene = scene::of_user(engine, &run_user, Some(model));
    scene.set("__metadata__", context.metadata.clone());
    for (parameter, name) in [
        ("__chat_id__", "chat_id"),
        ("__message_id__", "message_id"),
        ("__session_id__", "session_id"),
    ] {
        scene.set(parameter, json!(text(name)));
    }
    scene.set("__files__", json!([]));
    add_task(&mut scene, context);
    let reporter: ToolReporter =
        engine.reporter(&user.id, text("chat_id"), text("message_id"), text("session_id"));
    let asked = Asked {
        model,
        body,
        scene,
        user,
        reporter: Arc::new(reporter),
        tools: None,
    };
    asked.run(engine).await
}

fn add_task(scene: &mut Scene, context: &CallContext) {
    for (parameter, name) in [("__task__", "task"), ("__task_body__", "task_body")] {
        scene.set(parameter, context.metadata.get(name).cloned().unwrap_or_default());
    }
}

/// The tools of a run, as a pipe may call them.
struct RunTools {
    tools: Toolbox,
    context: Arc<ToolContext>,
}

#[async_trait]
impl Helpers for RunTools {
    fn described(&self) -> Value {
        let tools = self.tools.iter().map(|tool| {
            let about = json!({ "tool_id": tool.id, "spec": tool.spec });
            (tool.name.clone(), about)
        });
        Value::Object(tools.collect())
    }

    async fn call(&self, name: &str, arguments: Value) -> Value {
        let call = call::Call {
            id: String::new(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
            written: None,
        };
        let outcome = call::run(&self.tools, &self.context, &call).await;
        json!(outcome.text)
    }
}

/// What is asked of a pipe.
struct Asked<'m> {
    model: &'m Model,
    body: Object,
    scene: Scene,
    user: UserRow,
    reporter: Arc<dyn Reporter>,
    tools: Option<RunTools>,
}

/// Turns what a pipe says into Chat Completions.
struct Form {
    model: String,
    clock: Clock,
}

impl Form {
    fn frame(&self, object: &str) -> Value {
        json!({
            "id": format!("{}-{}", self.model, ids::uuid()), "created": self.clock.seconds(), "model": self.model,
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": null }], "object": object,
        })
    }

    /// One piece of a stream; without text it is the end.
    fn chunk(&self, text: &str) -> Value {
        let mut chunk = self.frame("chat.completion.chunk");
        let choice = &mut chunk["choices"][0];
        choice["delta"] = if text.is_empty() {
            json!({})
        } else {
            json!({ "content": text })
        };
        if text.is_empty() {
            choice["finish_reason"] = json!("stop");
        }
        chunk
    }

    fn whole(&self, text: Option<&str>) -> Value {
        let mut whole = self.frame("chat.completion");
        let choice = &mut whole["choices"][0];
        if let Some(text) = text {
            choice["message"] = json!({ "role": "assistant", "content": text });
        }
        choice["finish_reason"] = json!("stop");
        whole
    }

    /// An event for a piece: texts that are events already stay as they are.
    fn event(&self, piece: &Value) -> Bytes {
        let text = match piece {
            Value::String(text) if text.starts_with("data:") => format!("{text}\n\n"),
            Value::String(text) => data(&self.chunk(text)),
            other => data(other.get("data").unwrap_or(other)),
        };
        Bytes::from(text)
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn refused(problem: &HostProblem) -> Value {
    json!({ "error": { "detail": problem.to_string() } })
}

impl Asked<'_> {
    async fn run(self, engine: &Engine) -> ApiResult<ChatReply> {
        let base = self
            .model
            .registered
            .as_ref()
            .and_then(|registered| registered.row.base_model_id.clone());
        let id = base
            .filter(|base| !base.is_empty())
            .unwrap_or_else(|| self.model.id.clone());
        let function_id = id.split('.').next().unwrap_or_default();
        let row = rows::by_id(&engine.db, function_id).await?;
        let row = row.ok_or_else(|| ApiError::bad_request(format!("Function not found: {function_id}")))?;
        let mut body = self.body;
        body.insert("model".into(), json!(id));
        let streams = body.get("stream").is_some_and(crate::turn::truthy);
        let mut given = Object::new();
        given.insert("body".into(), Value::Object(body));
        let target = functions::target(&row, &self.user);
        let tools = self.tools;
        let begun = match &tools {
            Some(tools) => {
                engine
                    .python
                    .begin_with(&target, "pipe", given, &self.scene, tools)
                    .await
            }
            None => {
                let none = Object::new();
                engine
                    .python
                    .begin(&target, "pipe", given, &self.scene, &none)
                    .await
            }
        };
        let call = begun.map_err(|problem| ApiError::bad_request(problem.to_string()))?;
        let talk = Talk {
            call,
            reporter: self.reporter,
            tools,
            form: Form {
                model: id,
                clock: engine.clock.clone(),
            },
        };
        Ok(if streams {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream; charset=utf-8"),
            );
            ChatReply::Stream(UpstreamStream {
                status: StatusCode::OK,
                headers,
                body: talk.stream(),
            })
        } else {
            ChatReply::Json(talk.whole().await)
        })
    }
}

/// A pipe that answers.
struct Talk {
    call: Call,
    reporter: Arc<dyn Reporter>,
    tools: Option<RunTools>,
    form: Form,
}

impl Talk {
    async fn next(&mut self) -> Result<Said, HostProblem> {
        let helpers = self.tools.as_ref().map(|tools| tools as &dyn Helpers);
        python::listen(&mut self.call, &*self.reporter, helpers).await
    }

    async fn whole(mut self) -> Value {
        let mut text = String::new();
        loop {
            match self.next().await {
                Err(problem) => return refused(&problem),
                Ok(Said::Piece(piece)) => text.push_str(piece.as_str().unwrap_or_default()),
                Ok(Said::Answer(answer)) if answer["kind"] == "stream" => {
                    return self.form.whole(Some(&text));
                }
                Ok(Said::Answer(answer)) => {
                    return match python::value_of(answer) {
                        Value::String(text) => self.form.whole(Some(&text)),
                        answer @ Value::Object(_) => answer,
                        _ => self.form.whole(None),
                    };
                }
                Ok(_) => {}
            }
        }
    }

    fn stream(self) -> ByteStream {
        Box::pin(stream::unfold(Some(self), |talk| async move {
            let mut talk = talk?;
            loop {
                match talk.next().await {
                    Err(problem) => return Some((Ok(Bytes::from(data(&refused(&problem)))), None)),
                    Ok(Said::Piece(piece)) => {
                        let event = talk.form.event(&piece);
                        return Some((Ok(event), Some(talk)));
                    }
                    Ok(Said::Answer(answer)) => return Some((Ok(talk.form.end(answer)), None)),
                    Ok(_) => {}
                }
            }
        }))
    }
}

impl Form {
    /// The end of a stream, with what was answered at once.
    fn end(&self, answer: Value) -> Bytes {
        // A stream of the web framework brings its own end.
        if answer["kind"] == "stream" && answer["raw"] == true {
            return Bytes::new();
        }
        let value = match answer["kind"].as_str() {
            Some("stream") => Value::Null,
            _ => python::value_of(answer),
        };
        let mut text = match &value {
            Value::Object(_) => return Bytes::from(data(&value)),
            Value::String(text) => data(&self.chunk(text)),
            _ => String::new(),
        };
        text.push_str(&data(&self.chunk("")));
        text.push_str("data: [DONE]");
        Bytes::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        Form {
            model: "p".into(),
            clock: Clock::system(),
        }
    }

    #[test]
    fn pieces_become_events() {
        let event = |piece: Value| String::from_utf8(form().event(&piece).to_vec()).unwrap();
        assert_eq!(event(json!("data: {}")), "data: {}\n\n");
        assert_eq!(event(json!({"data": {"a": 1}})), "data: {\"a\":1}\n\n");
        let chunk: Value = serde_json::from_str(event(json!("word")).trim_start_matches("data: ")).unwrap();
        assert_eq!(chunk["choices"][0]["delta"], json!({"content": "word"}));
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
    }

    #[test]
    fn streams_end_once() {
        let end = |answer: Value| String::from_utf8(form().end(answer).to_vec()).unwrap();
        assert_eq!(end(json!({"kind": "stream", "raw": true})), "");
        assert_eq!(
            end(json!({"kind": "value", "value": {"a": 1}})),
            "data: {\"a\":1}\n\n"
        );
        let text = end(json!({"kind": "value", "value": "all"}));
        assert!(text.contains("\"content\":\"all\"") && text.ends_with("data: [DONE]"));
        assert!(!end(json!({"kind": "stream", "raw": false})).contains("content"));
    }
}
