//! The one trait behind every tool, and what a call gets to see of the run it belongs to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oui_access::Permissions;
use oui_config::{Config, Settings};
use oui_core::{CallError, Emitter, Notice, Notices};
use oui_models::groups::Membership;
use oui_models::shared::Reader;
use oui_models::users::UserRow;
use oui_models::{Db, DbError};
use oui_providers::CallContext;
use oui_retrieval::{Pages, Retrieval};
use oui_web_search::Web;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::python::{Python, Scene};

/// A JSON object.
pub type Object = Map<String, Value>;

/// What a tool answers: a text is given to the model as it is, everything else as JSON.
pub type Answer = Result<Value, ToolError>;

/// Why a call failed. The model reads the text, and may do better with its next call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError(pub Value);

impl ToolError {
    /// A failure with a text for the model.
    pub fn new(text: impl Into<String>) -> Self {
        Self(serde_json::json!({ "error": text.into() }))
    }
}

impl From<DbError> for ToolError {
    fn from(error: DbError) -> Self {
        tracing::error!(%error, "a tool could not reach the database");
        Self::new("The database could not be reached.")
    }
}

impl From<oui_core::ApiError> for ToolError {
    fn from(error: oui_core::ApiError) -> Self {
        match error.body().get("detail").unwrap_or(error.body()) {
            Value::String(text) => Self::new(text.clone()),
            other => Self::new(other.to_string()),
        }
    }
}

/// Where a tool comes from; decides how its arguments and results are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Part of the server.
    Builtin,
    /// An OpenAPI server that this server calls.
    Server,
    /// An OpenAPI server that the user's browser calls.
    Direct,
    /// A workspace tool, which is Python source.
    Python,
    /// An MCP server.
    Mcp,
}

/// Something that a model may call.
#[async_trait]
pub trait Callable: Send + Sync {
    /// Runs with these arguments, which hold nothing that the specification does not name.
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer;

    /// Whether it reads the conversation, which is then put into [`ToolContext::messages`].
    fn reads_messages(&self) -> bool {
        false
    }
}

/// A tool as a run offers it.
#[derive(Clone)]
pub struct Tool {
    /// Name under which the model calls it.
    pub name: String,
    /// Where it comes from, such as `builtin:search_notes` or `server:weather`.
    pub id: String,
    /// Kind of its origin.
    pub kind: Kind,
    /// `{name, description, parameters}`.
    pub spec: Arc<Value>,
    /// The implementation.
    pub callable: Arc<dyn Callable>,
}

impl Tool {
    /// The tool as Chat Completions requests list it.
    pub fn to_request(&self) -> Value {
        serde_json::json!({ "type": "function", "function": *self.spec })
    }

    /// Whether the specification names this parameter.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.spec
            .pointer("/parameters/properties")
            .is_some_and(|properties| properties.get(name).is_some())
    }
}

/// How a tool reaches the people who watch the run.
#[async_trait]
pub trait Reporter: Send + Sync {
    /// Sends an event about the message that is being written.
    async fn report(&self, kind: &str, data: Value);

    /// Passes on an event that a plugin made up, and keeps with the message what such events leave behind.
    async fn relay(&self, event: &Value);

    /// Asks the browser that started the run, and waits for its answer.
    async fn ask(&self, kind: &str, data: Value, timeout: Option<Duration>) -> Result<Value, CallError>;
}

/// Keeps files that come with results.
#[async_trait]
pub trait FileKeeper: Send + Sync {
    /// Keeps a file of the user and answers the path under which it is found. `about` says to what it belongs.
    async fn keep(
        &self,
        user: &UserRow,
        name: &str,
        content_type: &str,
        bytes: &[u8],
        about: Object,
    ) -> Option<String>;
}

/// Reaches people where they want to be told of things.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Sends a text to the target with this id, or to the default one. Answers the target's id, or what is wrong.
    async fn notify(
        &self,
        user: &UserRow,
        target: &str,
        message: &str,
        title: &str,
    ) -> Result<String, String>;
}

/// What tools know of recurring schedules. Times are nanoseconds; errors are for people.
pub trait Schedules: Send + Sync {
    /// Refuses schedules that can not be read or never come due again.
    fn check(&self, rule: &str, zone: Option<&str>, now: i64) -> Result<(), String>;

    /// The next times at which a schedule comes due.
    fn next(&self, rule: &str, zone: Option<&str>, now: i64, count: u16) -> Result<Vec<i64>, String>;

    /// Seconds between the next two of them.
    fn interval(&self, rule: &str, now: i64) -> Result<Option<i64>, String>;
}

/// Work that is given away for later or to others: a model of a saved chat can do it, one in a sub-agent cannot.
#[async_trait]
pub trait Errands: Send + Sync {
    /// Has a sub-agent do a task. Answers its result or, for one in the background, how to know it again.
    async fn delegate(&self, errand: Errand) -> Value;

    /// Sets a prompt that comes back into the chat at a time. Answers when that is, or what is wrong.
    async fn set_timer(&self, prompt: &str, at: &str, cancel_on: &[String]) -> Value;
}

/// A task for a sub-agent.
#[derive(Debug, Clone)]
pub struct Errand {
    /// What is to be done.
    pub task: String,
    /// What has to be known for it.
    pub context: String,
    /// Attachments of the chat that it gets.
    pub file_ids: Vec<String>,
    /// Whether the chat goes on meanwhile.
    pub background: bool,
}

/// What a call gets to see of its run.
pub struct ToolContext {
    /// Database.
    pub db: Db,
    /// Configuration keys.
    pub config: Arc<Config>,
    /// Process settings.
    pub settings: Arc<Settings>,
    /// Reaches browsers besides those that watch the run.
    pub emitter: Arc<dyn Emitter>,
    /// Reaches those that do.
    pub reporter: Arc<dyn Reporter>,
    /// Knows recurring schedules.
    pub schedules: Arc<dyn Schedules>,
    /// Finds passages of documents, and memories.
    pub retrieval: Arc<Retrieval>,
    /// Search engines.
    pub web: Arc<Web>,
    /// Reads what lies at an address.
    pub pages: Arc<dyn Pages>,
    /// What is attached to the chat.
    pub attachments: Vec<Value>,
    /// For whom the model works; a tool may do what this account may do.
    pub user: UserRow,
    /// Permissions of the account.
    pub permissions: Permissions,
    /// Groups of the account.
    pub membership: Arc<Membership>,
    /// Id of the saved chat, if it is one.
    pub chat_id: Option<String>,
    /// The message that is being written.
    pub message_id: Option<String>,
    /// The browser session that asked, if one did.
    pub session_id: Option<String>,
    /// What servers may learn of the caller.
    pub call: CallContext,
    /// The model that calls.
    pub model_id: String,
    /// Keeps files that come with results.
    pub files: Option<Arc<dyn FileKeeper>>,
    /// Pictures that became files in this run: the path of each and what it was before, which models are sent.
    pub pictures: Mutex<HashMap<String, String>>,
    /// Runs plugins.
    pub python: Python,
    /// What plugins get to see of the run.
    pub scene: Arc<Scene>,
    /// The conversation as the model has it, while a tool that reads it is called.
    pub messages: Mutex<Value>,
    /// What the model was given to answer from: items of `meta.knowledge` and of the folder.
    pub knowledge: Vec<Value>,
    /// Reaches the user outside the chat.
    pub notifier: Option<Arc<dyn Notifier>>,
    /// Gives work away, where that is possible.
    pub errands: Option<Arc<dyn Errands>>,
    /// Hears of what tools change.
    pub notices: Option<Arc<dyn Notices>>,
}

impl ToolContext {
    /// Whether the account administrates the server.
    pub fn is_admin(&self) -> bool {
        self.user.role == oui_access::ADMIN
    }

    /// Whether a permission is granted; administrators have all of them.
    pub fn may(&self, permission: &str) -> bool {
        self.is_admin() || self.permissions.has(permission)
    }

    /// Tells those who hear of events what a tool did for the account, to which thing, and details.
    pub(crate) fn tell(&self, name: &'static str, id: &str, details: Value) {
        if let Some(notices) = &self.notices {
            notices.publish(
                Notice::new(name)
                    .by(self.user.actor_json())
                    .about(id)
                    .with(details),
            );
        }
    }

    /// The account as a reader of shared things, without an administrator's advantage.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            user_id: &self.user.id,
            membership: &self.membership,
            sees_all: false,
        }
    }

    /// The account as a reader of one named thing, which administrators may always see.
    pub fn named_reader(&self) -> Reader<'_> {
        Reader {
            sees_all: self.is_admin(),
            ..self.reader()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_api_keep_their_text() {
        let error = ToolError::from(oui_core::ApiError::bad_request("Name is taken"));
        assert_eq!(error.0, serde_json::json!({"error": "Name is taken"}));
    }
}
