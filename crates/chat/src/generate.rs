//! The small jobs around a reply: title, tags, follow-ups, and the others that the client asks for by
//! themselves. Each is one row of a table: its switch, its prompt, and how its answer is read. The prompt texts
//! are in `prompts`.

mod after;
mod prompts;
mod review;

use oui_core::boxed;
use std::sync::Arc;

use oui_config::Key;
use oui_config::task as keys;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::groups;
use oui_providers::{ChatReply, ProviderKind, params};
use serde_json::{Value, json};

use crate::catalogue::{Model, Models};
use crate::dispatch::dispatch;
use crate::engine::Engine;
use crate::template;
use crate::turn::{Object, RunUser};

/// A small job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Title of a chat.
    Title,
    /// Tags of a chat.
    Tags,
    /// Questions that the user may ask next.
    FollowUps,
    /// Search queries for the web or for documents.
    Queries,
    /// The rest of a line that is being typed.
    Autocomplete,
    /// A prompt for an image model.
    ImagePrompt,
    /// One emoji for a text.
    Emoji,
    /// One answer made from several.
    Merge,
}

struct Job {
    template: Option<&'static Key<String>>,
    default: &'static str,
    max_tokens: Option<i64>,
}

impl TaskKind {
    /// Name in the metadata that provider pipelines see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Title => "title_generation",
            Self::Tags => "tags_generation",
            Self::FollowUps => "follow_up_generation",
            Self::Queries => "query_generation",
            Self::Autocomplete => "autocomplete_generation",
            Self::ImagePrompt => "image_prompt_generation",
            Self::Emoji => "emoji_generation",
            Self::Merge => "moa_response_generation",
        }
    }

    fn job(self) -> Job {
        let (template, default, max_tokens) = match self {
            Self::Title => (
                Some(&keys::TITLE_GENERATION_PROMPT_TEMPLATE),
                prompts::TITLE,
                Some(1000),
            ),
            Self::Tags => (Some(&keys::TAGS_GENERATION_PROMPT_TEMPLATE), prompts::TAGS, None),
            Self::FollowUps => (
                Some(&keys::FOLLOW_UP_GENERATION_PROMPT_TEMPLATE),
                prompts::FOLLOW_UPS,
                None,
            ),
            Self::Queries => (
                Some(&keys::QUERY_GENERATION_PROMPT_TEMPLATE),
                prompts::QUERIES,
                None,
            ),
            Self::Autocomplete => (
                Some(&keys::AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE),
                prompts::AUTOCOMPLETE,
                None,
            ),
            Self::ImagePrompt => (
                Some(&keys::IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE),
                prompts::IMAGE_PROMPT,
                None,
            ),
            Self::Emoji => (None, prompts::EMOJI, Some(4)),
            Self::Merge => (None, prompts::MERGE, None),
        };
        Job {
            template,
            default,
            max_tokens,
        }
    }
}

impl Engine {
    /// Runs a small job. `form` is the client's request: `model`, `messages`, `prompt`, `type`, `chat_id`,
    /// `responses`, `stream`. The answer is the provider's, whole or streamed.
    #[boxed]
    pub async fn generate(&self, kind: TaskKind, user: &RunUser, form: &Object) -> ApiResult<ChatReply> {
        let models = self.catalogue.known(&user.call).await?;
        let wanted = form.get("model").and_then(Value::as_str).unwrap_or_default();
        let direct = form.get("model_item").and_then(Model::direct);
        let model = direct
            .as_ref()
            .filter(|direct| direct.id == wanted)
            .or_else(|| models.get(wanted));
        let model = model.ok_or_else(|| ApiError::not_found(messages::model_not_found("")))?;
        let model = if kind == TaskKind::Merge {
            model.clone()
        } else {
            self.task_model(model, &models)
        };
        if !model.is_direct() && !self.catalogue.may_use(&user.user, &model).await? {
            return Err(ApiError::bad_request("An internal error has occurred."));
        }
        let content = self.task_prompt(kind, user, form).await?;
        let mut body = Object::new();
        body.insert("model".into(), json!(model.id));
        body.insert("messages".into(), json!([{ "role": "user", "content": content }]));
        let streams = kind == TaskKind::Merge && form.get("stream").and_then(Value::as_bool).unwrap_or(false);
        body.insert("stream".into(), json!(streams));
        if kind != TaskKind::Merge {
            self.task_params(kind, &model, &mut body);
        }
        self.own_params(user, &model, &mut body).await?;
        let mut context = user.call.clone();
        context.metadata = json!({
            "task": kind.name(), "task_body": form, "chat_id": form.get("chat_id"),
            "session_id": form.get("session_id"),
        });
        dispatch(self, &model, body, &context).await
    }

    /// The configured model for small jobs, one for local and one for other models; else the chat's own.
    pub(crate) fn task_model(&self, model: &Arc<Model>, models: &Models) -> Arc<Model> {
        let local = model.json.get("connection_type").and_then(Value::as_str) == Some("local");
        let key = if local {
            &keys::TASK_MODEL
        } else {
            &keys::TASK_MODEL_EXTERNAL
        };
        let configured = self.config.get(key);
        models.get(configured.as_str()).unwrap_or(model).clone()
    }

    fn task_params(&self, kind: TaskKind, model: &Model, body: &mut Object) {
        let configured = self.config.get(&keys::TASK_MODEL_PARAMS);
        let configured = configured.as_object().cloned().unwrap_or_default();
        if configured.is_empty() || kind == TaskKind::Emoji {
            if let Some(limit) = kind.job().max_tokens {
                let own = model.params().get("max_tokens").and_then(Value::as_i64);
                let limit = if kind == TaskKind::Emoji {
                    limit
                } else {
                    own.unwrap_or(limit)
                };
                body.insert("max_tokens".into(), json!(limit));
            }
        } else {
            // As they are: they are the administrator's own words.
            let given = params::for_provider(configured).into_iter();
            body.extend(given.filter(|(_, value)| !value.is_null() && *value != json!("")));
        }
    }

    /// Parameters and system prompt of a workspace model hold for small jobs too.
    async fn own_params(&self, user: &RunUser, model: &Model, body: &mut Object) -> ApiResult<()> {
        let mut own = model.params();
        if own.is_empty() || model.is_direct() {
            return Ok(());
        }
        let system = match own.shift_remove("system") {
            Some(Value::String(system)) if !system.is_empty() => Some(system),
            _ => None,
        };
        match model.provider() {
            ProviderKind::Ollama => params::into_options(own, body),
            ProviderKind::OpenAi => params::apply_openai(own, body),
        }
        let Some(system) = system else { return Ok(()) };
        let membership = groups::membership(&self.db, &user.user.id).await?;
        let names: Vec<String> = membership
            .groups
            .iter()
            .filter_map(|group| group.name.clone())
            .collect();
        let context = template::Context {
            user: Some(&user.user),
            groups: &names,
            variables: None,
            chat_variables: None,
            clock: &self.clock,
        };
        let system = template::render(&system, &context);
        if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
            messages.insert(0, json!({ "role": "system", "content": system }));
        }
        Ok(())
    }

    async fn task_prompt(&self, kind: TaskKind, user: &RunUser, form: &Object) -> ApiResult<String> {
        let job = kind.job();
        let configured = job.template.map(|key| self.config.get(key)).unwrap_or_default();
        let is_default = configured.trim().is_empty();
        let text = if is_default {
            job.default
        } else {
            configured.as_str()
        };
        let sent = form
            .get("messages")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let prompt = form.get("prompt").and_then(Value::as_str).map(str::to_owned);
        let prompt = prompt.unwrap_or_else(|| last_user_text(&sent));
        let text = template::with_prompt(text, &prompt);
        let text = match kind {
            TaskKind::Autocomplete => {
                let about = form.get("type").and_then(Value::as_str).unwrap_or_default();
                text.replace("{{TYPE}}", about)
            }
            TaskKind::Merge => text.replace("{{responses}}", &numbered(form.get("responses"))),
            _ => text,
        };
        let text = template::with_messages(&text, &sent, transcript);
        let membership = groups::membership(&self.db, &user.user.id).await?;
        let names: Vec<String> = membership
            .groups
            .iter()
            .filter_map(|group| group.name.clone())
            .collect();
        let context = template::Context {
            user: Some(&user.user),
            groups: &names,
            variables: None,
            chat_variables: None,
            clock: &self.clock,
        };
        Ok(template::render(&text, &context))
    }
}

/// Text of a message, whatever its form.
pub(crate) fn text_of(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts
                .iter()
                .filter(|part| part["type"] == "text")
                .filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => message
            .get("output")
            .map(oui_models::history::output_text)
            .unwrap_or_default(),
    }
}

/// The last question.
pub(crate) fn last_user_text(messages: &[Value]) -> String {
    messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")
        .map(text_of)
        .unwrap_or_default()
}

fn transcript(messages: &[Value]) -> String {
    let line = |message: &Value| {
        format!(
            "{}: {}",
            message["role"].as_str().unwrap_or("user").to_uppercase(),
            text_of(message)
        )
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn numbered(responses: Option<&Value>) -> String {
    let texts = responses
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    texts
        .map(|text| format!("\"\"\"{text}\"\"\""))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// The text of a provider's whole answer.
pub(crate) fn answer_text(answer: &Value) -> String {
    let message = &answer["choices"][0]["message"];
    ["content", "reasoning_content"]
        .iter()
        .filter_map(|name| message[*name].as_str())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// The JSON object in a model's answer, between its first `{` and its last `}`.
pub(crate) fn object_in(text: &str) -> Option<Value> {
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    serde_json::from_str(text.get(start..=end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_out_of_their_wrapping() {
        let answer = json!({"choices": [{"message": {"content": "```json\n{\"title\": \"T\"}\n```"}}]});
        assert_eq!(object_in(&answer_text(&answer)).unwrap()["title"], "T");
        assert!(object_in("no object } here {").is_none());
    }

    #[test]
    fn every_default_prompt_asks_for_what_is_read() {
        for (text, key) in [
            (prompts::TITLE, "\"title\""),
            (prompts::TAGS, "\"tags\""),
            (prompts::FOLLOW_UPS, "\"follow_ups\""),
            (prompts::QUERIES, "\"queries\""),
            (prompts::AUTOCOMPLETE, "\"text\""),
            (prompts::IMAGE_PROMPT, "\"prompt\""),
        ] {
            assert!(text.contains(key) && text.contains("JSON"), "{key}");
        }
    }
}
