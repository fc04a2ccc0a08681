//! Messages that the server puts into a chat for its model: prompts of timers, results of sub-agents. While replies
//! are being written they wait in the chat itself, so nothing is lost with the process; when nothing runs any more
//! they are answered.

use std::sync::Arc;
use std::time::Duration;

use oui_access::is_verified;
use oui_core::{ApiError, ApiResult, ids};
use oui_models::chat_edits::{self, Edit};
use oui_models::users::{self, Account};
use oui_models::{chats, history, stream_journal};
use serde_json::{Value, json};

use crate::emit::ChatEmitter;
use crate::engine::Engine;
use crate::errands::{self, Seat};
use crate::turn::{ChatKind, Object};

/// Seconds that the token of such a run is good for.
const TOKEN: i64 = 3_600;

/// How long to wait before looking again whether another server still writes in a chat.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The messages of a history that wait for an answer of the model.
pub(crate) fn waiting(history: &mut Object) -> Vec<Value> {
    let waits = |message: &&Value| {
        let meta = &message["meta"];
        let is_ready = match meta["type"].as_str() {
            Some("timer") => true,
            Some("subagent") => meta["status"].is_null() || meta["status"] == "pending",
            _ => false,
        };
        is_ready
            && meta["internal"] == true
            && message["role"] == "user"
            && history::children(message).is_empty()
    };
    history::messages(history)
        .values()
        .filter(waits)
        .cloned()
        .collect()
}

/// Whether replies are being written in the chat, here or on another server. Asked inside the transaction that holds
/// the chat, nobody can begin one before it ends.
pub(crate) async fn is_busy(engine: &Engine, edit: &mut Edit) -> ApiResult<bool> {
    let chat_id = edit.row.id.clone();
    Ok(!engine.tasks.of(&chat_id, None).is_empty() || stream_journal::any_in(edit.tx(), &chat_id).await?)
}

/// Answers what waits in the chat as soon as nothing runs in it. `run` is what the request is made from.
pub(crate) fn watch(engine: Arc<Engine>, chat_id: String, run: Object) {
    tokio::spawn(async move {
        loop {
            for task in engine.tasks.of(&chat_id, None) {
                engine.tasks.finished(&task).await;
            }
            match answer(&engine, &chat_id, &run).await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => {
                    let error = error.detail_text();
                    tracing::error!(error, chat_id, "what waits in a chat could not be answered");
                    return;
                }
            }
        }
    });
}

/// Answers what waits in the chat. `false` when replies are still being written in it.
async fn answer(engine: &Arc<Engine>, chat_id: &str, run: &Object) -> ApiResult<bool> {
    let Some(owner) = chats::head(&engine.db, chat_id)
        .await?
        .and_then(|chat| chat.user_id)
    else {
        return Ok(true);
    };
    let Some(account) = users::account(&engine.db, &owner).await? else {
        return Ok(true);
    };
    if !is_verified(&account.user.role) {
        return Ok(true);
    }
    let Some(mut edit) = chat_edits::edit(&engine.db, chat_id).await? else {
        return Ok(true);
    };
    let all = waiting(edit.history());
    let Some(first) = all.first().cloned() else {
        return Ok(true);
    };
    if is_busy(engine, &mut edit).await? {
        return Ok(false);
    }
    let mut run = run.clone();
    let is_timer = first["meta"]["type"] == "timer";
    if is_timer && let Some(timer_id) = history::text(&first["meta"], "timer_id") {
        let timer = chats::by_id(edit.tx(), timer_id).await?;
        let of_timer = timer.and_then(|timer| timer.meta_object().get("run")?.as_object().cloned());
        run.extend(of_timer.unwrap_or_default());
    }
    let model_of = |message: &Value| {
        let named = history::text(message, "model").or_else(|| run.get("model_id")?.as_str());
        named.map(str::to_owned)
    };
    let model_id = model_of(&first).ok_or_else(|| ApiError::bad_request("Model not found"))?;
    let batch: Vec<&Value> = if is_timer {
        vec![&first]
    } else {
        let belongs = |message: &&Value| {
            message["meta"]["type"] == "subagent"
                && message["parentId"] == first["parentId"]
                && model_of(message).as_ref() == Some(&model_id)
        };
        all.iter().filter(belongs).collect()
    };
    let (user_message, gone) = joined(&batch, &model_id, engine.clock.seconds());
    for id in &gone {
        edit.delete_message(id);
    }
    let reply_id = open_turn(&mut edit, &user_message, &model_id).await?;
    edit.save(true).await?;
    begin(
        engine,
        chat_id,
        &account,
        &run,
        &model_id,
        &user_message,
        &reply_id,
        true,
    )
    .await;
    Ok(true)
}

/// One message in place of those that waited, and the ids of those that it stands for.
fn joined(batch: &[&Value], model_id: &str, now: i64) -> (Value, Vec<String>) {
    let first = batch[0];
    let texts = batch
        .iter()
        .filter_map(|message| history::text(message, "content"));
    let content = texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n");
    let mut meta = json!({ "internal": true, "type": first["meta"]["type"] });
    for (one, several) in [
        ("timer_id", "timer_ids"),
        ("delegation_id", "delegation_ids"),
        ("subagent_chat_id", "subagent_chat_ids"),
    ] {
        let ids: Vec<&str> = batch
            .iter()
            .filter_map(|message| history::text(&message["meta"], one))
            .collect();
        match ids.as_slice() {
            [] => {}
            [id] => meta[one] = json!(id),
            ids => meta[several] = json!(ids),
        }
    }
    let stays = batch.len() == 1 && first["meta"]["status"] != "pending";
    let id = if stays {
        first["id"].clone()
    } else {
        json!(ids::uuid())
    };
    let gone = batch
        .iter()
        .filter_map(|message| history::text(message, "id").map(str::to_owned));
    let gone = if stays { Vec::new() } else { gone.collect() };
    let message = json!({
        "id": id, "parentId": first["parentId"], "childrenIds": [], "role": "user", "content": content,
        "model": model_id, "meta": meta, "timestamp": now,
    });
    (message, gone)
}

/// Puts a message and an empty reply to it at the end of the branch. Answers the id of the reply.
pub(crate) async fn open_turn(edit: &mut Edit, user_message: &Value, model_id: &str) -> ApiResult<String> {
    let reply_id = ids::uuid();
    let id = history::text(user_message, "id").unwrap_or_default().to_owned();
    let reply = json!({
        "id": reply_id, "parentId": id, "childrenIds": [], "role": "assistant", "content": "", "done": false,
        "model": model_id, "timestamp": user_message["timestamp"],
    });
    for (id, message) in [(&id, user_message), (&reply_id, &reply)] {
        edit.upsert(id, message.as_object().cloned().unwrap_or_default());
    }
    edit.history().insert("currentId".into(), json!(reply_id));
    let owner = edit.row.user_id.clone().unwrap_or_default();
    // If the process ends before the run begins, the next start marks the reply.
    edit.begin_reply(&reply_id, &owner, &ids::uuid()).await?;
    Ok(reply_id)
}

/// Has the opened turn answered. A failure to begin is shown on the reply; its text is answered.
#[expect(clippy::too_many_arguments, reason = "everything that a run begins with")]
pub(crate) async fn begin(
    engine: &Arc<Engine>,
    chat_id: &str,
    account: &Account,
    run: &Object,
    model_id: &str,
    user_message: &Value,
    reply_id: &str,
    with_token: bool,
) -> Option<String> {
    let kind = ChatKind::Saved(chat_id.to_owned());
    let emitter = ChatEmitter::new(
        engine.emitter.clone(),
        &account.user.id,
        &kind,
        Some(reply_id),
        None,
    );
    emitter.signal("chat:reload").await;
    let what = if user_message["meta"]["type"] == "timer" {
        "timer"
    } else {
        "subagent"
    };
    let seat = Seat {
        chat_id,
        reply_id,
        user_message,
        session: format!("{what}-result:{chat_id}"),
    };
    let request = errands::request(run, model_id, &seat);
    let started = async {
        let token = with_token.then_some(("subagent", TOKEN));
        let caller = errands::caller(engine, account, token).await?;
        engine.complete(caller, request).await
    };
    let error = started.await.err()?.detail_text();
    tracing::warn!(error, chat_id, "what waited in a chat could not be answered");
    let mut fields = Object::new();
    fields.insert("error".into(), json!({ "content": error }));
    fields.insert("done".into(), json!(true));
    if let Err(error) = chat_edits::finish_reply(&engine.db, chat_id, reply_id, fields).await {
        tracing::error!(%error, chat_id, "a reply could not be marked as failed");
    }
    let shown = json!({ "error": { "content": error }, "done": true });
    emitter.send("chat:message:error", shown).await;
    Some(error)
}

/// The finished reply that a message of the server is put under: the latest one, of those below `ancestor` if that is
/// there.
pub(crate) fn last_reply(edit: &mut Edit, ancestor: Option<&str>) -> Option<String> {
    let messages = history::messages(edit.history());
    let ancestor = ancestor.filter(|id| messages.contains_key(*id));
    let below = |id: &str| match ancestor {
        Some(ancestor) => history::path_to(messages, id)
            .iter()
            .any(|message| history::text(message, "id") == Some(ancestor)),
        None => true,
    };
    let replies = messages.iter().filter(|(id, message)| {
        message["role"] == "assistant" && message["done"] != Value::Bool(false) && below(id)
    });
    let last = replies.max_by_key(|(_, message)| message["timestamp"].as_i64().unwrap_or(0));
    last.map(|(id, _)| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unanswered_messages_of_the_server_wait() {
        let message =
            |meta: Value, children: Value| json!({"role": "user", "meta": meta, "childrenIds": children});
        let history = json!({"messages": {
            "a": message(json!({"internal": true, "type": "timer"}), json!([])),
            "b": message(json!({"internal": true, "type": "subagent", "status": "pending"}), json!([])),
            "c": message(json!({"internal": true, "type": "subagent"}), json!(["x"])),
            "d": message(json!({"type": "timer"}), json!([])),
            "e": message(json!({}), json!([])),
        }});
        assert_eq!(waiting(&mut history.as_object().cloned().unwrap()).len(), 2);
    }

    #[test]
    fn several_results_become_one_message() {
        let result = |id: &str, status: Value| {
            json!({"id": id, "parentId": "p", "content": id, "meta": {
                "internal": true, "type": "subagent", "delegation_id": format!("deleg_{id}"), "status": status}})
        };
        let (one, two) = (result("1", Value::Null), result("2", json!("pending")));
        let (message, gone) = joined(&[&one, &two], "m", 5);
        assert_eq!((message["content"].as_str(), gone.len()), (Some("1\n\n2"), 2));
        assert_eq!(message["meta"]["delegation_ids"], json!(["deleg_1", "deleg_2"]));
        let (message, gone) = joined(&[&one], "m", 5);
        assert_eq!((&message["id"], gone.len()), (&json!("1"), 0));
        assert_eq!(message["meta"]["delegation_id"], "deleg_1");
        let (message, gone) = joined(&[&two], "m", 5);
        assert!(message["id"] != "2" && gone == ["2"]);
    }
}
