//! What stands between the conversation and the model: filters that see the request before it goes out (`inlet`) and
//! the conversation when the reply is there (`outlet`). First come those of external pipelines servers, then functions
//! by priority and id; functions also see the finished request (`request`) and every event of a reply (`stream`).

use oui_core::boxed;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::StatusCode;
use oui_core::{ApiError, ApiResult};
use oui_models::users::UserRow;
use oui_models::{chat_edits, history};
use oui_plugins::ToolContext;
use oui_providers::{Http, ProviderKind};
use serde_json::{Map, Value, json};

use crate::catalogue::{Model, Models};
use crate::emit::ToolReporter;
use crate::engine::Engine;
use crate::functions::{self, Function, Stage};
use crate::payload::Payload;
use crate::run::Run;
use crate::scene;
use crate::turn::{Object, RunUser, truthy};

/// How long a filter may take. A pipelines server that hangs must not hold a chat for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of a filter's answer.
const LIMIT: usize = 64 * 1024 * 1024;

/// The filters of a model, in the order in which requests pass them.
pub(crate) struct Filters {
    pipelines: Vec<Pipeline>,
    functions: Vec<Function>,
}

/// What a request was made by its filters.
pub(crate) struct Filtered {
    /// The request.
    pub(crate) body: Value,
    /// Whether a filter takes care of the files itself.
    pub(crate) files_are_handled: bool,
}

impl Filters {
    /// The filters of a model: those of pipelines servers that are there for all models and for this one by their
    /// priority, then the model itself when it is a pipeline, then functions. `wanted` are functions that have to be
    /// asked for.
    pub(crate) async fn of(
        engine: &Engine,
        model: &Arc<Model>,
        models: &Models,
        wanted: &[String],
    ) -> ApiResult<Self> {
        let mut chosen: Vec<&Arc<Model>> = models
            .values()
            .filter(|other| filters(other, &model.id))
            .collect();
        chosen.sort_by_key(|filter| filter.json.pointer("/pipeline/priority").and_then(Value::as_i64));
        if model.json.get("pipeline").is_some() {
            chosen.push(model);
        }
        let pipelines = chosen.into_iter().filter_map(|filter| pipeline(engine, filter));
        Ok(Self {
            pipelines: pipelines.collect(),
            functions: of_model(engine, model, wanted).await?,
        })
    }

    /// Whether nothing stands in between.
    pub(crate) fn is_empty(&self) -> bool {
        self.pipelines.is_empty() && self.functions.is_empty()
    }

    /// Whether a function has this method.
    pub(crate) fn have(&self, method: &str) -> bool {
        self.functions.iter().any(|function| function.has(method))
    }

    /// Passes a request through. `metadata` is what functions are told of the run.
    pub(crate) async fn inlet(
        &self,
        stage: &Stage<'_>,
        mut body: Value,
        metadata: Value,
    ) -> ApiResult<Filtered> {
        for pipeline in &self.pipelines {
            body = pipeline.pass("inlet", stage.user, body).await?;
        }
        let mut files_are_handled = false;
        if self.have("inlet") {
            body["metadata"] = metadata;
            body = self.pass(stage, "inlet", body).await?;
            let takers = self.functions.iter().filter(|function| function.has("inlet"));
            files_are_handled = takers
                .map(|function| function.runner.facts())
                .any(|facts| facts.file_handler);
        }
        Ok(Filtered {
            body,
            files_are_handled,
        })
    }

    /// Passes a finished request through the functions that want to see it.
    pub(crate) async fn request(&self, stage: &Stage<'_>, body: Object) -> ApiResult<Object> {
        if !self.have("request") {
            return Ok(body);
        }
        let mut body = Value::Object(body);
        body["metadata"] = stage.scene.get("__metadata__").cloned().unwrap_or_default();
        let mut changed = self.pass(stage, "request", body).await?;
        let body = changed.as_object_mut().map(std::mem::take).unwrap_or_default();
        Ok(body.into_iter().filter(|(name, _)| name != "metadata").collect())
    }

    /// Passes an event of a reply through. Nothing: it is not to be shown. `request` is what the model was asked.
    pub(crate) async fn stream(
        &self,
        stage: &Stage<'_>,
        mut event: Value,
        request: &Object,
    ) -> ApiResult<Option<Value>> {
        for function in self.functions.iter().filter(|function| function.has("stream")) {
            let mut more = Object::new();
            if function.runner.facts().takes("stream", "__body__") {
                more.insert("__body__".into(), Value::Object(request.clone()));
            }
            event = function.call(stage, "stream", "event", event, more).await?;
        }
        Ok(Some(event).filter(truthy))
    }

    /// Passes a conversation back: a model that is a pipeline comes first here. A pipelines server that fails changes
    /// nothing unless it was `asked` for itself.
    pub(crate) async fn outlet(
        &self,
        stage: &Stage<'_>,
        mut body: Value,
        model_is_last: bool,
        asked: bool,
    ) -> ApiResult<Value> {
        let (last, before) = match self.pipelines.split_last() {
            Some((last, before)) if model_is_last => (Some(last), before),
            _ => (None, &self.pipelines[..]),
        };
        for pipeline in last.into_iter().chain(before) {
            match pipeline.pass("outlet", stage.user, body.clone()).await {
                Ok(changed) => body = changed,
                Err(error) if asked => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "an outlet filter of a pipelines server failed");
                    break;
                }
            }
        }
        self.pass(stage, "outlet", body).await
    }

    async fn pass(&self, stage: &Stage<'_>, method: &str, mut body: Value) -> ApiResult<Value> {
        for function in self.functions.iter().filter(|function| function.has(method)) {
            body = function.call(stage, method, "body", body, Object::new()).await?;
        }
        Ok(body)
    }
}

/// Functions that see every event of a reply.
pub(crate) struct Sieve {
    filters: Arc<Filters>,
    tools: Arc<ToolContext>,
    user: Arc<UserRow>,
    request: Object,
}

impl Sieve {
    /// The filters of a payload.
    pub(crate) fn of(payload: &Payload) -> Self {
        Self {
            filters: payload.filters.clone(),
            tools: payload.tooling.context.clone(),
            user: payload.user.clone(),
            request: payload.body.clone(),
        }
    }

    /// Where the functions are called.
    pub(crate) fn stage(&self) -> Stage<'_> {
        Stage {
            python: &self.tools.python,
            user: &self.user,
            scene: &self.tools.scene,
            reporter: &*self.tools.reporter,
        }
    }

    /// The event as it is to be shown, if it is. One on which a filter fails is left out, as in the reference.
    pub(crate) async fn pass(&self, event: Value) -> Option<Value> {
        match self.filters.stream(&self.stage(), event, &self.request).await {
            Ok(event) => event.filter(Value::is_object),
            Err(error) => {
                tracing::warn!(%error, "a stream filter failed");
                None
            }
        }
    }
}

/// Filter functions for a model, by priority and id: those for all models, and those that its settings name. Some have
/// to be asked for, too.
async fn of_model(engine: &Engine, model: &Model, wanted: &[String]) -> ApiResult<Vec<Function>> {
    if !engine.settings.plugins.functions() {
        return Ok(Vec::new());
    }
    let named = model.meta().and_then(|meta| meta.get("filterIds")?.as_array());
    let named: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut found = Vec::new();
    for row in functions::rows_of(&engine.db, "filter").await? {
        if !row.is_global.unwrap_or(false) && !named.contains(&row.id.as_str()) {
            continue;
        }
        let Some(function) = functions::load(&engine.db, &engine.python, row).await? else {
            continue;
        };
        if !function.runner.facts().toggle || wanted.contains(&function.row.id) {
            found.push((function.priority(&engine.python), function));
        }
    }
    found.sort_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| first.row.id.cmp(&second.row.id)));
    Ok(found.into_iter().map(|(_, function)| function).collect())
}

/// Whether a model of the list is a filter for a model.
fn filters(filter: &Model, model_id: &str) -> bool {
    let Some(pipeline) = filter
        .json
        .get("pipeline")
        .filter(|pipeline| pipeline["type"] == "filter")
    else {
        return false;
    };
    let targets = pipeline.get("pipelines").and_then(Value::as_array);
    targets
        .is_some_and(|targets| targets[..] == [json!("*")] || targets.iter().any(|target| target == model_id))
}

/// A filter on an external pipelines server.
struct Pipeline {
    http: Http,
    base: String,
    key: String,
}

/// The filter that a model stands for; none without a key, as in the reference.
fn pipeline(engine: &Engine, model: &Model) -> Option<Pipeline> {
    let index = model.json.get("urlIdx")?;
    let index = index.as_u64().or_else(|| index.as_str()?.parse().ok())?;
    let settings = engine.catalogue.connections();
    let connection = settings.get(ProviderKind::OpenAi, usize::try_from(index).ok()?)?;
    let key = connection.key.expose();
    (!key.is_empty()).then(|| Pipeline {
        http: engine.providers.http.clone(),
        base: format!("{}/{}", connection.url, model.id),
        key: key.to_owned(),
    })
}

impl Pipeline {
    async fn pass(&self, way: &str, user: &UserRow, body: Value) -> ApiResult<Value> {
        let person = json!({ "id": user.id, "email": user.email, "name": user.name, "role": user.role });
        let request = json!({ "user": person, "body": body });
        let url = format!("{}/filter/{way}", self.base);
        let sent = self
            .http
            .client()
            .post(url)
            .bearer_auth(&self.key)
            .json(&request)
            .timeout(PATIENCE)
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                // A server that is away does not keep people from chatting.
                tracing::error!(error = %error.without_url(), "a pipelines server cannot be reached");
                return Ok(request["body"].clone());
            }
        };
        let status = response.status();
        let answer = read(response).await;
        if status.is_client_error() || status.is_server_error() {
            return Err(refusal(status, answer.ok().as_ref()));
        }
        Ok(answer.unwrap_or_else(|error| {
            tracing::error!(error, "a pipelines server answers no JSON");
            request["body"].clone()
        }))
    }
}

/// The JSON of an answer.
async fn read(response: reqwest::Response) -> Result<Value, String> {
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| error.without_url().to_string())?;
        if bytes.len() + piece.len() > LIMIT {
            return Err("the answer is too long".into());
        }
        bytes.extend_from_slice(&piece);
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

/// What a filter refuses with: its own words, else those of the status.
fn refusal(status: StatusCode, answer: Option<&Value>) -> ApiError {
    let own = answer
        .and_then(|answer| answer.get("detail"))
        .filter(|detail| !detail.is_null());
    match own {
        Some(Value::String(text)) => ApiError::new(status, text.clone()),
        Some(detail) => ApiError::with_body(status, json!({ "detail": detail })),
        None => ApiError::new(status, status.canonical_reason().unwrap_or_default()),
    }
}

impl Engine {
    /// Passes a conversation through the outlet filters of its model, as clients of older versions ask for it.
    #[boxed]
    pub async fn outlet(&self, user: &RunUser, model_id: &str, body: Value) -> ApiResult<Value> {
        let models = self.catalogue.known(&user.call).await?;
        let Some(model) = models.get(model_id) else {
            return Ok(body);
        };
        let texts = |name: &str| {
            let list = body.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let given = |name: &str| body.get(name).cloned().unwrap_or_default();
        let wanted = texts("filter_ids");
        let filters = Filters::of(self, model, &models, &wanted).await?;
        let is_pipeline = model.json.get("pipeline").is_some();
        let mut scene = scene::of_user(self, user, Some(model));
        let metadata = json!({
            "chat_id": given("chat_id"), "message_id": given("id"), "filter_ids": wanted,
            "session_id": given("session_id"), "user_id": user.user.id,
        });
        scene.set("__metadata__", metadata);
        let reporter = self.reporter(
            &user.user.id,
            given("chat_id").as_str(),
            given("id").as_str(),
            given("session_id").as_str(),
        );
        let stage = Stage {
            python: &self.python,
            user: &user.user,
            scene: &scene,
            reporter: &reporter,
        };
        filters.outlet(&stage, body, is_pipeline, true).await
    }
}

fn text(message: &Value) -> String {
    let content = message.get("content").filter(|content| truthy(content));
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => message
            .get("output")
            .map(history::output_text)
            .unwrap_or_default(),
    }
}

/// A message as filters see it.
fn seen(message: &Value) -> Value {
    let mut shown = Map::new();
    for name in ["id", "role"] {
        shown.insert(name.into(), message.get(name).cloned().unwrap_or_default());
    }
    shown.insert("content".into(), json!(text(message)));
    for name in ["info", "timestamp"] {
        shown.insert(name.into(), message.get(name).cloned().unwrap_or_default());
    }
    for name in ["output", "usage", "sources"] {
        if let Some(value) = message.get(name).filter(|value| truthy(value)) {
            shown.insert(name.into(), value.clone());
        }
    }
    Value::Object(shown)
}

impl Run {
    /// Passes the conversation through the outlet filters, stores what they changed and tells the client. A filter
    /// that fails changes nothing.
    pub(crate) async fn outlet(&self, finish: Option<&str>) {
        let choices = &self.turn.choices;
        let filters = Filters::of(&self.engine, &self.model, &self.models, &choices.filter_ids).await;
        let filters = match filters {
            Ok(filters) => filters,
            Err(error) => {
                tracing::error!(%error, "the filters of a reply could not be found");
                return;
            }
        };
        let Some(chat_id) = self.turn.chat.saved().filter(|_| !filters.is_empty()) else {
            return;
        };
        let Ok(Some(stored)) = chat_edits::messages_map(&self.engine.db, chat_id).await else {
            return;
        };
        let path = history::path_to(&stored, &self.message_id);
        let mut messages: Vec<Value> = path.iter().map(|message| seen(message)).collect();
        if let (Some(finish), Some(reply)) = (finish, messages.last_mut()) {
            reply["finish_reason"] = json!(finish);
        }
        let body = json!({
            "model": self.model.id,
            "messages": messages,
            "filter_ids": self.turn.choices.filter_ids,
            "chat_id": chat_id,
            "session_id": self.turn.session_id,
            "id": self.message_id,
        });
        let is_pipeline = self.model.json.get("pipeline").is_some();
        let message_id = Some(self.message_id.as_str());
        let scene = scene::of_run(
            &self.engine,
            &self.turn,
            &self.model,
            &self.turn.params,
            message_id,
        );
        let reporter = ToolReporter {
            emitter: self.emitter.clone(),
            db: self.engine.db.clone(),
            limit: self.engine.settings.websocket.call_timeout,
        };
        let stage = Stage {
            python: &self.engine.python,
            user: &self.turn.user.user,
            scene: &scene,
            reporter: &reporter,
        };
        let changed = match filters.outlet(&stage, body, is_pipeline, false).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(%error, "an outlet filter failed");
                return;
            }
        };
        let Some(messages) = changed.get("messages").filter(|messages| truthy(messages)) else {
            return;
        };
        for message in messages.as_array().into_iter().flatten() {
            self.store_filtered(chat_id, message, &stored).await;
        }
        self.emitter
            .send("chat:outlet", json!({ "messages": messages }))
            .await;
    }

    async fn store_filtered(&self, chat_id: &str, message: &Value, stored: &Object) {
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(original) = stored.get(id) else { return };
        let (before, after) = (text(original), text(message));
        let output = message.get("output").filter(|output| truthy(output));
        let output = output.filter(|output| Some(*output) != original.get("output"));
        if before == after && output.is_none() {
            return;
        }
        let mut fields = Object::new();
        fields.insert("originalContent".into(), json!(before));
        if let Some(output) = output {
            fields.insert("output".into(), output.clone());
        }
        if before != after {
            fields.insert("content".into(), json!(after));
        }
        if let Err(error) = chat_edits::upsert_message(&self.engine.db, chat_id, id, fields, true).await {
            tracing::error!(%error, chat_id, "could not store what a filter changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(json: Value) -> Model {
        Model {
            id: "m".into(),
            json,
            registered: None,
        }
    }

    #[test]
    fn filters_name_their_models() {
        let filter = |targets: Value| model(json!({"pipeline": {"type": "filter", "pipelines": targets}}));
        assert!(filters(&filter(json!(["*"])), "echo") && filters(&filter(json!(["a", "echo"])), "echo"));
        assert!(!filters(&filter(json!(["a"])), "echo") && !filters(&filter(json!(["*", "a"])), "echo"));
        assert!(
            !filters(&model(json!({"pipeline": {"type": "pipe"}})), "echo")
                && !filters(&model(json!({})), "echo")
        );
    }

    #[test]
    fn refusals_keep_their_words() {
        let error = refusal(StatusCode::FORBIDDEN, Some(&json!({"detail": "Not today"})));
        assert_eq!(
            (error.status().as_u16(), &error.body()["detail"]),
            (403, &json!("Not today"))
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, None).body()["detail"],
            "Bad Gateway"
        );
    }

    #[test]
    fn replies_are_seen_as_text() {
        let message = json!({"id": "1", "role": "assistant", "content": "", "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]});
        assert_eq!(seen(&message)["content"], "Hi");
        assert_eq!(seen(&message)["timestamp"], Value::Null);
    }
}
