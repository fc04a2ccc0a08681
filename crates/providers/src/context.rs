//! Who calls a provider and on behalf of what: the data that request headers are made from.

use std::fmt;

use serde_json::{Value, json};

use crate::secret::Secret;

/// The person a call is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallUser {
    /// Row id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Address.
    pub email: String,
    /// `admin`, `user` or `pending`.
    pub role: String,
    /// When the account was made, in seconds.
    pub created_at: Option<i64>,
    /// When it was changed last, in seconds.
    pub updated_at: Option<i64>,
}

impl CallUser {
    /// What those who hear of events learn of the person.
    pub fn actor_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "email": self.email, "role": self.role,
            "created_at": self.created_at, "updated_at": self.updated_at,
        })
    }
}

/// A group of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName {
    /// Row id.
    pub id: String,
    /// Display name.
    pub name: String,
}

/// Everything about the caller that may travel to a provider. Empty by default: a call of the server's own.
#[derive(Clone, Default)]
pub struct CallContext {
    /// The person; none for calls of the server's own.
    pub user: Option<CallUser>,
    /// The caller's groups, inherited ones included; needed when
    /// [`Connection::needs_user_groups`](crate::Connection::needs_user_groups) says so.
    pub groups: Vec<GroupName>,
    /// The run's metadata object; read are `chat_id`, `message_id`, `user_message`, `user_message_id`,
    /// `assistant_message_id`, `file_id`, `file_name`, `file_content_type`, `task`, `model_id`, `user_agent`.
    pub metadata: Value,
    /// `User-Agent` of the live request.
    pub user_agent: Option<String>,
    /// How the caller signed in: `api_key` or `jwt`.
    pub auth_type: Option<&'static str>,
    /// Cookies of the live request, sent only where a connection asks for them.
    pub cookies: Vec<(String, String)>,
    /// The token that the caller came with, for connections of auth type `session`.
    pub session_token: Option<Secret>,
    /// The caller's access token at the identity provider, for auth type `system_oauth`.
    pub oauth_token: Option<Secret>,
    /// A Microsoft Entra access token, for auth types `azure_ad` and `microsoft_entra_id`.
    pub entra_token: Option<Secret>,
    /// Whether the model is a pipeline: such payloads carry the caller as `user`.
    pub pipeline: bool,
}

impl CallContext {
    /// A call for `user` without a chat.
    pub fn for_user(user: CallUser) -> Self {
        Self {
            user: Some(user),
            ..Self::default()
        }
    }

    /// A text of the metadata, empty when absent.
    pub(crate) fn meta(&self, name: &str) -> &str {
        self.metadata
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A text of the metadata's `user_message`.
    pub(crate) fn user_message(&self, name: &str) -> &str {
        let message = self.metadata.get("user_message");
        message
            .and_then(|message| message.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("user", &self.user.as_ref().map(|user| &user.id))
            .field("chat_id", &self.meta("chat_id"))
            .finish_non_exhaustive()
    }
}
