//! Work that a model gives away: what the run leaves to those that go on for it later, and the requests that are made
//! of it. [`delegation`](crate::delegation) has sub-agents, [`timers`] what happens at a time,
//! [`inbox`](crate::inbox) what waits until a chat is idle.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use oui_access::tokens::Claims;
use oui_core::ApiResult;
use oui_models::groups;
use oui_models::users::Account;
use oui_plugins::{Errand, Errands};
use oui_providers::{CallContext, CallUser, GroupName, Secret};
use serde_json::{Value, json};

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::turn::{ChatKind, Object, RunUser, Turn};
use crate::{delegation, timers};

/// What of a run may give work away. Kept by the tools of the run.
pub(crate) struct OfRun {
    pub(crate) engine: Weak<Engine>,
    pub(crate) user: RunUser,
    pub(crate) chat_id: String,
    pub(crate) message_id: Option<String>,
    /// Whether the model is the browser's own, so that nobody can ask it later.
    pub(crate) direct: bool,
    /// See [`record`].
    pub(crate) run: Object,
    pub(crate) folder_id: Option<String>,
    /// Tool servers that only the browser reaches.
    pub(crate) tool_servers: Vec<Value>,
}

/// The errands of a run; none for sub-agents, calls without a chat and temporary chats.
pub(crate) fn of_run(
    engine: &Engine,
    turn: &Turn,
    model: &Model,
    message_id: Option<&str>,
) -> Option<Arc<dyn Errands>> {
    let ChatKind::Saved(chat_id) = &turn.chat else {
        return None;
    };
    if turn.internal.is_some() {
        return None;
    }
    Some(Arc::new(OfRun {
        engine: engine.me.clone(),
        user: turn.user.clone(),
        chat_id: chat_id.clone(),
        message_id: message_id.map(str::to_owned),
        direct: model.is_direct(),
        run: record(turn, &model.id),
        folder_id: turn.folder_id.clone(),
        tool_servers: turn.choices.tool_servers.clone(),
    }))
}

#[async_trait]
impl Errands for OfRun {
    async fn delegate(&self, errand: Errand) -> Value {
        match self.engine.upgrade() {
            Some(engine) => delegation::delegate(engine, self, errand).await,
            None => json!("Error: the server is stopping."),
        }
    }

    async fn set_timer(&self, prompt: &str, at: &str, cancel_on: &[String]) -> Value {
        match self.engine.upgrade() {
            Some(engine) => timers::set(&engine, self, prompt, at, cancel_on).await,
            None => json!("Error: the server is stopping."),
        }
    }
}

/// What those that go on for a run have to know of it: its choices, and the prompts it was given.
pub(crate) fn record(turn: &Turn, model_id: &str) -> Object {
    let choices = &turn.choices;
    let messages = turn.body.get("messages").and_then(Value::as_array);
    let system: Vec<&Value> = messages
        .into_iter()
        .flatten()
        .filter(|message| message["role"] == "system")
        .collect();
    let params = match turn.params.get("system") {
        Some(system) => json!({ "system": system }),
        None => json!({}),
    };
    let run = json!({
        "model_id": model_id,
        "session_id": turn.session_id,
        "tool_ids": choices.tool_ids,
        "skill_ids": choices.skill_ids,
        "chat_context": { "messages": system, "params": params, "chat_variables": turn.chat_variables },
        "filter_ids": choices.filter_ids,
        "terminal_id": choices.terminal_id,
        "features": choices.features,
        "files": turn.files.clone().unwrap_or_else(|| json!([])),
        "variables": turn.variables.clone().unwrap_or_default(),
    });
    run.as_object().cloned().unwrap_or_default()
}

/// Where a later run finds its place in the chat, which is made already.
pub(crate) struct Seat<'a> {
    pub(crate) chat_id: &'a str,
    pub(crate) reply_id: &'a str,
    pub(crate) user_message: &'a Value,
    /// Stands for the tab where the run had none.
    pub(crate) session: String,
}

/// The request of a later run.
pub(crate) fn request(run: &Object, model_id: &str, seat: &Seat<'_>) -> Object {
    let context = run.get("chat_context").cloned().unwrap_or_default();
    let filled = |value: Option<&Value>, empty: Value| match value {
        Some(value) if !value.is_null() => value.clone(),
        _ => empty,
    };
    let of_run = |name: &str, empty: Value| filled(run.get(name), empty);
    let mut messages = context["messages"].as_array().cloned().unwrap_or_default();
    messages.push(json!({ "role": "user", "content": seat.user_message["content"] }));
    let body = json!({
        "model": model_id,
        "params": filled(context.get("params"), json!({})),
        "messages": messages,
        "stream": true,
        "chat_id": seat.chat_id,
        "id": seat.reply_id,
        "parent_id": seat.user_message["parentId"],
        "user_message": seat.user_message,
        "session_id": of_run("session_id", json!(seat.session)),
        "background_tasks": {},
        "tool_ids": of_run("tool_ids", json!([])),
        "skill_ids": of_run("skill_ids", json!([])),
        "filter_ids": of_run("filter_ids", json!([])),
        "features": of_run("features", json!({})),
        "files": of_run("files", json!([])),
        "variables": of_run("variables", json!({})),
        "chat_variables": context["chat_variables"],
        "tool_servers": of_run("tool_servers", json!([])),
        "folder_id": run.get("folder_id"),
        "terminal_id": run.get("terminal_id"),
    });
    body.as_object().cloned().unwrap_or_default()
}

/// The account as caller of a later run. With `token` (its kind and its seconds) it can also prove itself to servers
/// that take the session's token.
pub(crate) async fn caller(
    engine: &Engine,
    account: &Account,
    token: Option<(&str, i64)>,
) -> ApiResult<RunUser> {
    let user = &account.user;
    let token = match token {
        Some((kind, seconds)) => {
            let claims = Claims {
                id: user.id.clone(),
                typ: Some(kind.to_owned()),
                auth_method: None,
                auth_time: None,
                session_stamp: account.session_stamp.clone(),
                mfa_verified: None,
                exp: None,
                jti: None,
                iat: None,
            };
            Some(engine.auth.tokens.sign(claims, Some(seconds))?)
        }
        None => None,
    };
    let membership = groups::membership(&engine.db, &user.id).await?;
    let caller = CallUser {
        id: user.id.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        role: user.role.clone(),
        created_at: user.created_at,
        updated_at: user.updated_at,
    };
    let groups = membership.groups.iter().map(|group| GroupName {
        id: group.id.clone(),
        name: group.name.clone().unwrap_or_default(),
    });
    Ok(RunUser {
        user: user.clone(),
        call: CallContext {
            groups: groups.collect(),
            auth_type: Some("jwt"),
            session_token: token.as_deref().map(Secret::new),
            ..CallContext::for_user(caller)
        },
    })
}
