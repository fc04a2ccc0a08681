//! Running tasks: which there are, and how to stop them. Replies that wait for an answer of the user have no
//! task; stopping a chat completes them here.

use axum::Json;
use axum::extract::Path;
use oui_access::is_verified;
use oui_chat::turn::ChatKind;
use oui_core::{ApiError, ApiResult, Room, messages};
use oui_models::chats::ChatRow;
use oui_models::{chat_access, chat_edits, chats};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

/// States of a tool call that nobody will answer any more.
const WAITING: &[&str] = &["pending", "queued", "requires_approval"];

/// Running tasks.
pub(crate) fn area() -> Area {
    endpoints! { "running" at "/api/tasks";
        GET "" Admin => all,
        POST "/stop/{task_id}" Admin => stop,
        GET "/chat/{chat_id}" Verified => of_chat,
        POST "/chat/{chat_id}/stop" Verified => stop_chat,
    }
}

async fn all(caller: Caller<Admin>) -> Json<Value> {
    Json(json!({ "tasks": caller.app().chat.tasks.all() }))
}

async fn stop(caller: Caller<Admin>, Path(id): Path<String>) -> Json<Value> {
    let stopped = stop_task(&caller.app().chat.tasks, &id).await;
    if stopped["status"] == false && caller.app().peers.stop_task(&id) {
        // It may run at another server, which says nothing back; the reference with Redis answers the same.
        return Json(json!({ "status": true, "message": format!("Task {id} stopped.") }));
    }
    Json(stopped)
}

async fn stop_task(tasks: &oui_chat::TaskRegistry, id: &str) -> Value {
    if tasks.stop(id).await {
        json!({ "status": true, "message": format!("Task {id} successfully stopped.") })
    } else {
        json!({ "status": false, "message": format!("Task with ID {id} not found.") })
    }
}

/// What the caller may do with a chat's tasks.
enum Reach {
    /// A temporary chat of the caller's own tab: everything.
    Temporary,
    /// A saved chat: the tasks that the caller started.
    Saved(Box<ChatRow>),
}

async fn reach(caller: &Caller<Verified>, chat_id: &str) -> ApiResult<Option<Reach>> {
    if let ChatKind::Temporary { sid, .. } = ChatKind::read(chat_id)
        && !sid.is_empty()
    {
        let app = caller.app();
        let sees_all = caller.is_admin() && app.settings.access.admin_chats;
        let is_own = sees_all || app.live.sessions_of(caller.id()).contains(&sid);
        return Ok(is_own.then_some(Reach::Temporary));
    }
    let Some(chat) = chats::by_id(caller.db(), chat_id).await? else {
        return Ok(None);
    };
    let may_write = is_verified(&caller.user().role)
        && (chat.is_owned_by(caller.id())
            || chat_access::may_continue(caller.db(), &chat, caller.id()).await?);
    Ok(may_write.then(|| Reach::Saved(Box::new(chat))))
}

fn tasks_of(caller: &Caller<Verified>, chat_id: &str, reach: &Reach) -> Vec<String> {
    let starter = match reach {
        Reach::Temporary => None,
        Reach::Saved(_) => Some(caller.id()),
    };
    caller.app().chat.tasks.of(chat_id, starter)
}

async fn of_chat(caller: Caller<Verified>, Path(chat_id): Path<String>) -> ApiResult<Json<Value>> {
    let reach = reach(&caller, &chat_id).await?;
    let ids = reach
        .map(|reach| tasks_of(&caller, &chat_id, &reach))
        .unwrap_or_default();
    Ok(Json(json!({ "task_ids": ids })))
}

async fn stop_chat(caller: Caller<Verified>, Path(chat_id): Path<String>) -> ApiResult<Json<Value>> {
    let reach = reach(&caller, &chat_id)
        .await?
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))?;
    let ids = tasks_of(&caller, &chat_id, &reach);
    let tasks = &caller.app().chat.tasks;
    let mut result = Value::Null;
    for id in &ids {
        result = stop_task(tasks, id).await;
    }
    let result = match reach {
        Reach::Temporary if ids.is_empty() => {
            json!({ "status": true, "message": format!("No tasks found for item {chat_id}.") })
        }
        Reach::Temporary => {
            json!({ "status": true, "message": format!("All tasks for item {chat_id} stopped.") })
        }
        Reach::Saved(chat) if ids.is_empty() => finish_waiting(&caller, &chat).await?,
        Reach::Saved(_) => result,
    };
    Ok(Json(result))
}

/// Completes the caller's replies that no task is writing: their waiting tool calls count as refused.
async fn finish_waiting(caller: &Caller<Verified>, chat: &ChatRow) -> ApiResult<Value> {
    let all = chat_edits::messages_map(caller.db(), &chat.id)
        .await?
        .unwrap_or_default();
    let mut finished = 0;
    for (message_id, message) in &all {
        let author = message["user_id"].as_str().filter(|id| !id.is_empty());
        let is_own = author.map_or_else(|| chat.is_owned_by(caller.id()), |author| author == caller.id());
        if !is_own || message["role"] != "assistant" || message["done"] != false {
            continue;
        }
        finished += 1;
        finish(caller, chat, message_id, message).await?;
    }
    let message = if finished > 0 {
        "Finalized pending approval message."
    } else {
        "No tasks found."
    };
    Ok(json!({ "status": true, "message": message }))
}

async fn finish(
    caller: &Caller<Verified>,
    chat: &ChatRow,
    message_id: &str,
    message: &Value,
) -> ApiResult<()> {
    let mut fields = Map::new();
    fields.insert("done".into(), json!(true));
    let output = refused(message.get("output").unwrap_or(&Value::Null));
    if output.is_array() {
        fields.insert("output".into(), output.clone());
    }
    chat_edits::finish_reply(caller.db(), &chat.id, message_id, fields).await?;
    let room = Room::User(caller.id().to_owned());
    for event in [
        json!({ "type": "chat:completion", "data": { "done": true, "output": output } }),
        json!({ "type": "chat:tasks:cancel" }),
    ] {
        let payload = json!({ "chat_id": chat.id, "message_id": message_id, "data": event });
        caller.app().emitter.emit(&room, "events", &payload, None).await;
    }
    Ok(())
}

/// Output items with every waiting tool call marked as refused.
fn refused(output: &Value) -> Value {
    let mut output = output.clone();
    for item in output.as_array_mut().into_iter().flatten() {
        let waits = item["type"] == "function_call"
            && item["status"]
                .as_str()
                .is_some_and(|status| WAITING.contains(&status));
        if let (true, Some(item)) = (waits, item.as_object_mut()) {
            item.insert("status".into(), json!("rejected"));
            item.shift_remove("approved");
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_calls_are_refused() {
        let output = refused(&json!([
            {"type": "function_call", "status": "requires_approval", "approved": null},
            {"type": "function_call", "status": "completed", "approved": true},
            {"type": "message", "status": "pending"},
        ]));
        assert_eq!(output[0], json!({"type": "function_call", "status": "rejected"}));
        assert_eq!(output[1]["status"], "completed");
        assert_eq!(output[2]["status"], "pending");
        assert_eq!(refused(&Value::Null), Value::Null);
    }
}
