//! What stands between the conversation and the model: filters that see the request before it goes out (`inlet`) and
//! the conversation when the reply is there (`outlet`). So far they are those of external pipelines servers; others
//! implement [`Filter`] and get their place in [`Filters::of`], after these, by priority and id.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use http::StatusCode;
use oui_core::{ApiError, ApiResult};
use oui_models::users::UserRow;
use oui_models::{chat_edits, history};
use oui_providers::{Http, ProviderKind};
use serde_json::{Map, Value, json};

use crate::catalogue::{Model, Models};
use crate::engine::Engine;
use crate::run::Run;
use crate::turn::{Object, RunUser, truthy};

/// How long a filter may take. A pipelines server that hangs must not hold a chat for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of a filter's answer.
const LIMIT: usize = 64 * 1024 * 1024;

/// One filter.
#[async_trait]
pub(crate) trait Filter: Send + Sync {
    /// Answers the request as it is to go on; an error ends the run.
    async fn inlet(&self, user: &UserRow, body: Value) -> ApiResult<Value>;

    /// Answers the conversation as it is to be shown and stored.
    async fn outlet(&self, user: &UserRow, body: Value) -> ApiResult<Value>;
}

/// The filters of a model, in the order in which requests pass them.
pub(crate) struct Filters(Vec<Arc<dyn Filter>>);

impl Filters {
    /// The filters of a model: those that are there for all models and for this one by their priority, then the model
    /// itself when it is a pipeline.
    pub(crate) fn of(engine: &Engine, model: &Arc<Model>, models: &Models) -> Self {
        let mut chosen: Vec<&Arc<Model>> = models
            .values()
            .filter(|other| filters(other, &model.id))
            .collect();
        chosen.sort_by_key(|filter| filter.json.pointer("/pipeline/priority").and_then(Value::as_i64));
        if model.json.get("pipeline").is_some() {
            chosen.push(model);
        }
        let stages = chosen.into_iter().filter_map(|filter| pipeline(engine, filter));
        Self(stages.map(|stage| Arc::new(stage) as Arc<dyn Filter>).collect())
    }

    /// Whether nothing stands in between.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Passes a request through.
    pub(crate) async fn inlet(&self, user: &UserRow, mut body: Value) -> ApiResult<Value> {
        for filter in &self.0 {
            body = filter.inlet(user, body).await?;
        }
        Ok(body)
    }

    /// Passes a conversation back: the model itself comes first here.
    pub(crate) async fn outlet(
        &self,
        user: &UserRow,
        mut body: Value,
        model_is_last: bool,
    ) -> ApiResult<Value> {
        let (last, before) = match self.0.split_last() {
            Some((last, before)) if model_is_last => (Some(last), before),
            _ => (None, &self.0[..]),
        };
        for filter in last.into_iter().chain(before) {
            body = filter.outlet(user, body).await?;
        }
        Ok(body)
    }
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

#[async_trait]
impl Filter for Pipeline {
    async fn inlet(&self, user: &UserRow, body: Value) -> ApiResult<Value> {
        self.pass("inlet", user, body).await
    }

    async fn outlet(&self, user: &UserRow, body: Value) -> ApiResult<Value> {
        self.pass("outlet", user, body).await
    }
}

impl Engine {
    /// Passes a conversation through the outlet filters of its model, as clients of older versions ask for it.
    pub async fn outlet(&self, user: &RunUser, model_id: &str, body: Value) -> ApiResult<Value> {
        let models = self.catalogue.known(&user.call).await?;
        let Some(model) = models.get(model_id) else {
            return Ok(body);
        };
        let filters = Filters::of(self, model, &models);
        let is_pipeline = model.json.get("pipeline").is_some();
        filters.outlet(&user.user, body, is_pipeline).await
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
    pub(crate) async fn outlet(&self) {
        let filters = Filters::of(&self.engine, &self.model, &self.models);
        let Some(chat_id) = self.turn.chat.saved().filter(|_| !filters.is_empty()) else {
            return;
        };
        let Ok(Some(stored)) = chat_edits::messages_map(&self.engine.db, chat_id).await else {
            return;
        };
        let path = history::path_to(&stored, &self.message_id);
        let body = json!({
            "model": self.model.id,
            "messages": path.iter().map(|message| seen(message)).collect::<Vec<_>>(),
            "filter_ids": self.turn.choices.filter_ids,
            "chat_id": chat_id,
            "session_id": self.turn.session_id,
            "id": self.message_id,
        });
        let is_pipeline = self.model.json.get("pipeline").is_some();
        let changed = match filters.outlet(&self.turn.user.user, body, is_pipeline).await {
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
