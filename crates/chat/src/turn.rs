//! A completion request, read: what the client asks for, apart from what is passed on to the provider.

use std::sync::Arc;

use oui_core::{ApiError, ApiResult, ids};
use oui_models::users::UserRow;
use oui_providers::CallContext;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

mod choices;

pub use choices::{Choices, Resume};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Who asks, and what of the request travels on to the provider.
#[derive(Clone)]
pub struct RunUser {
    /// The account.
    pub user: UserRow,
    /// User agent, cookies, tokens, groups.
    pub call: CallContext,
}

/// Where a conversation lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatKind {
    /// Nowhere: a plain API call.
    None,
    /// In the database.
    Saved(String),
    /// With the browser tab whose socket id it names; nothing is stored.
    Temporary {
        /// The whole id, for example `temporary:abc`.
        id: String,
        /// Socket id.
        sid: String,
    },
}

impl ChatKind {
    /// Reads a chat id with its reserved prefixes.
    pub fn read(id: &str) -> Self {
        let temporary = id
            .strip_prefix("temporary:")
            .or_else(|| id.strip_prefix("local:"));
        match temporary {
            Some(sid) => Self::Temporary {
                id: id.to_owned(),
                sid: sid.to_owned(),
            },
            None if id == "local" => Self::Temporary {
                id: id.to_owned(),
                sid: String::new(),
            },
            None if id.is_empty() => Self::None,
            None => Self::Saved(id.to_owned()),
        }
    }

    /// The id; empty for plain calls.
    pub fn id(&self) -> &str {
        match self {
            Self::None => "",
            Self::Saved(id) | Self::Temporary { id, .. } => id,
        }
    }

    /// The id of a chat in the database.
    pub fn saved(&self) -> Option<&str> {
        match self {
            Self::Saved(id) => Some(id),
            _ => None,
        }
    }
}

/// One reply to be written.
#[derive(Debug, Clone)]
pub struct Target {
    /// Model that writes it.
    pub model_id: String,
    /// Id of the reply; absent for plain calls.
    pub message_id: Option<String>,
    /// Column of the reply where several models stand side by side.
    pub model_idx: Option<Value>,
}

/// What is to happen after the reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AfterTasks {
    /// `None`: not asked for. `Some(false)`: the first message becomes the title.
    pub title: Option<bool>,
    /// Tags.
    pub tags: bool,
    /// Follow-up suggestions.
    pub follow_ups: bool,
}

impl AfterTasks {
    fn read(value: Option<&Value>) -> Self {
        let flag = |name: &str| value.and_then(|tasks| tasks.get(name)).map(truthy);
        Self {
            title: flag("title_generation"),
            tags: flag("tags_generation").unwrap_or(false),
            follow_ups: flag("follow_up_generation").unwrap_or(false),
        }
    }

    /// Only what concerns the reply itself, for replies after the first and for guests in a chat.
    pub fn without_chat_tasks(self) -> Self {
        Self {
            title: None,
            tags: false,
            ..self
        }
    }
}

/// Whether a JSON value counts as true in the reference's sense.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// What is different about the run of a sub-agent: no page shows it as a chat, nobody looks on, and it starts no others.
#[derive(Debug, Clone, Copy)]
pub struct Internal {
    /// Rounds of tool calls.
    pub rounds: usize,
}

/// A request, read.
#[derive(Clone)]
pub struct Turn {
    /// Who asks.
    pub user: RunUser,
    /// Where the conversation lives.
    pub chat: ChatKind,
    /// Whether the chat is to be made.
    pub is_new_chat: bool,
    /// Replies to write.
    pub targets: Vec<Target>,
    /// The user's message to store.
    pub user_message: Option<Object>,
    /// Id of the user's message, also of one that is stored already.
    pub user_message_id: Option<String>,
    /// Reply that is continued.
    pub assistant_message_id: Option<String>,
    /// Reply that is to be revised, and how.
    pub regeneration: Option<(String, Option<String>)>,
    /// Socket of the tab that asks.
    pub session_id: Option<String>,
    /// Folder that the request names.
    pub folder_id: Option<String>,
    /// Folder in which the chat was found, once it was looked up.
    pub(crate) folder: Arc<OnceCell<Option<String>>>,
    /// Values of `{{chat.variables.*}}`.
    pub chat_variables: Option<Object>,
    /// The client's variables.
    pub variables: Option<Object>,
    /// Attachments of the chat.
    pub files: Option<Value>,
    /// Parameters of the request.
    pub params: Object,
    /// What is to happen after the reply.
    pub tasks: AfterTasks,
    /// Tools and features that were chosen.
    pub choices: Choices,
    /// What a resolved tool call lets go on.
    pub resume: Option<Resume>,
    /// Set for the run of a sub-agent.
    pub internal: Option<Internal>,
    /// Whether messages wait in the chat until nothing runs in it any more.
    pub has_inbox: bool,
    /// The rest: what is passed on.
    pub body: Object,
}

/// Fields of the request that the pipeline uses up or that later areas read; none goes to a provider.
const CONSUMED: &[&str] = &[
    "model_item",
    "background_tasks",
    "parent_id",
    "new_chat",
    "message_ids",
    "id",
    "user_message",
    "parent_message",
    "chat_id",
    "chat_variables",
    "tool_servers",
    "automation_id",
    "assistant_message_id",
    "regeneration_message_id",
    "regeneration_prompt",
    "session_id",
    "folder_id",
    "filter_ids",
    "tool_ids",
    "skill_ids",
    "terminal_id",
    "features",
    "variables",
    "files",
    "params",
    "metadata",
];

fn take_text(body: &mut Object, name: &str) -> Option<String> {
    match body.shift_remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn take_object(body: &mut Object, name: &str) -> Option<Object> {
    match body.shift_remove(name) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

impl Turn {
    /// Reads a request. The answer names the first problem, with the reference's status.
    pub fn read(user: RunUser, mut body: Object) -> ApiResult<Self> {
        let model_id = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if body
            .get("messages")
            .is_some_and(|messages| !messages.is_array() && !messages.is_null())
        {
            return Err(ApiError::bad_request("messages must be a list"));
        }
        let chat_id = take_text(&mut body, "chat_id").unwrap_or_default();
        let is_new_chat = body.get("parent_id").is_some_and(Value::is_null) && chat_id.is_empty();
        let targets = targets(&mut body, &model_id)?;
        let user_message =
            take_object(&mut body, "user_message").or_else(|| take_object(&mut body, "parent_message"));
        let user_message_id = user_message
            .as_ref()
            .and_then(|message| message.get("id")?.as_str())
            .map(str::to_owned);
        let prompt = take_text(&mut body, "regeneration_prompt");
        let mut params = take_object(&mut body, "params").unwrap_or_default();
        params.retain(|_, value| !value.is_null());
        let controls = params.shift_remove("model_controls");
        if controls.as_ref().is_some_and(|controls| !controls.is_object()) {
            return Err(ApiError::bad_request(
                "Model control options must be keyed by model.",
            ));
        }
        let tasks = AfterTasks::read(body.get("background_tasks"));
        let choices = Choices::read(&body, controls);
        let turn = Self {
            user,
            chat: if is_new_chat {
                ChatKind::Saved(ids::uuid())
            } else {
                ChatKind::read(&chat_id)
            },
            is_new_chat,
            targets,
            user_message,
            user_message_id,
            assistant_message_id: take_text(&mut body, "assistant_message_id"),
            regeneration: take_text(&mut body, "regeneration_message_id").map(|id| (id, prompt)),
            session_id: take_text(&mut body, "session_id"),
            folder_id: take_text(&mut body, "folder_id"),
            folder: Arc::default(),
            chat_variables: take_object(&mut body, "chat_variables"),
            variables: take_object(&mut body, "variables"),
            files: body.get("files").filter(|files| !files.is_null()).cloned(),
            params,
            tasks,
            choices,
            resume: None,
            internal: None,
            has_inbox: false,
            body: Object::new(),
        };
        body.retain(|name, _| !CONSUMED.contains(&name.as_str()));
        Ok(Self { body, ..turn })
    }

    /// The model that the request names.
    pub(crate) fn requested_model(&self) -> &str {
        self.body.get("model").and_then(Value::as_str).unwrap_or_default()
    }

    /// The metadata object that providers' headers are made from.
    pub fn call_context(&self, message_id: Option<&str>) -> CallContext {
        let mut call = self.user.call.clone();
        call.metadata = json!({
            "chat_id": self.chat.id(),
            "session_id": self.session_id,
            "message_id": message_id,
            "user_message": self.user_message,
            "user_message_id": self.user_message_id,
            "assistant_message_id": self.assistant_message_id,
        });
        call
    }
}

fn targets(body: &mut Object, model_id: &str) -> ApiResult<Vec<Target>> {
    let single = take_text(body, "id");
    let entry = |model_id: &str, message_id: Option<String>, model_idx: Option<Value>| Target {
        model_id: model_id.to_owned(),
        message_id,
        model_idx,
    };
    Ok(match body.shift_remove("message_ids") {
        Some(Value::Array(list)) => {
            let mut targets = Vec::with_capacity(list.len());
            for item in &list {
                let model = item.get("model_id").and_then(Value::as_str);
                let model = model.ok_or_else(|| ApiError::bad_request("'model_id'"))?;
                let message_id = item.get("message_id").and_then(Value::as_str).map(str::to_owned);
                let model_idx = item.get("modelIdx").filter(|index| !index.is_null()).cloned();
                targets.push(entry(model, message_id, model_idx));
            }
            targets
        }
        Some(Value::Object(map)) => map
            .iter()
            .map(|(model, id)| entry(model, id.as_str().map(str::to_owned), None))
            .collect(),
        _ => vec![entry(model_id, single, None)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_ids_have_kinds() {
        assert_eq!(ChatKind::read(""), ChatKind::None);
        assert_eq!(ChatKind::read("abc").saved(), Some("abc"));
        assert_eq!(
            ChatKind::read("temporary:s1"),
            ChatKind::Temporary {
                id: "temporary:s1".into(),
                sid: "s1".into()
            }
        );
        assert_eq!(ChatKind::read("local:s1").saved(), None);
    }

    #[test]
    fn message_ids_come_in_three_forms() {
        let read = |value: Value| targets(value.as_object().cloned().as_mut().unwrap(), "m").unwrap();
        let list = read(json!({"message_ids": [{"model_id": "a", "message_id": "1", "modelIdx": 0}]}));
        assert_eq!(
            (list[0].model_id.as_str(), list[0].message_id.as_deref()),
            ("a", Some("1"))
        );
        assert_eq!(read(json!({"message_ids": {"a": "1", "b": "2"}})).len(), 2);
        let single = read(json!({"id": "1"}));
        assert_eq!(
            (single[0].model_id.as_str(), single[0].message_id.as_deref()),
            ("m", Some("1"))
        );
    }
}
