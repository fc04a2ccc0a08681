//! What becomes of a sub-agent's work: its result, and the message by which the chat that waits for it learns of it.

use std::sync::Arc;

use oui_core::{ApiResult, ids};
use oui_models::{chat_edits, chats, history};
use serde_json::{Value, json};

use crate::emit::ChatEmitter;
use crate::engine::Engine;
use crate::inbox;
use crate::turn::{ChatKind, Object, truthy};

/// How a sub-agent's work ended.
pub(super) struct Ended {
    pub(super) status: &'static str,
    pub(super) summary: String,
    pub(super) error: Option<String>,
}

/// What a finished reply says.
pub(super) fn result(reply: &Value, limit: usize) -> Ended {
    let mut summary = history::text(reply, "content").unwrap_or_default().to_owned();
    if summary.is_empty() {
        summary = history::output_text(&reply["output"]);
    }
    if let Some((at, _)) = summary.char_indices().nth(limit) {
        summary.truncate(at);
        summary.push_str("\n\n[output truncated]");
    }
    let error = reply.get("error").filter(|error| truthy(error));
    let error = error.map(|error| match error.get("content").unwrap_or(error) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    if summary.is_empty() && error.is_none() {
        summary = "Sub-agent produced no output.".into();
    }
    Ended {
        status: if error.is_some() { "error" } else { "completed" },
        summary,
        error,
    }
}

/// What a result is about.
pub(super) struct Report<'a> {
    pub(super) delegation_id: &'a str,
    pub(super) chat_id: &'a str,
    pub(super) parent_chat_id: &'a str,
    pub(super) parent_message_id: Option<&'a str>,
    pub(super) owner: &'a str,
    pub(super) task: &'a str,
    pub(super) context: &'a str,
    pub(super) seconds: Option<f64>,
}

impl Report<'_> {
    fn text(&self, ended: &Ended) -> String {
        let mut lines = vec![
            format!("[ASYNC SUBAGENT COMPLETE - {}]", self.delegation_id),
            "A sub-agent that you set to work in the background has ended. Use what it found, or go on without it."
                .to_owned(),
            String::new(),
            format!("Original task: {}", self.task),
        ];
        if !self.context.is_empty() {
            lines.push(format!("Context provided: {}", self.context));
        }
        let duration = self.seconds.map(|seconds| format!("   Duration: {seconds:.1}s"));
        lines.push(format!("Subagent chat: {}", self.chat_id));
        lines.push(format!(
            "Status: {}{}",
            ended.status,
            duration.unwrap_or_default()
        ));
        lines.push("--- RESULT ---".to_owned());
        match ended.status {
            "completed" => lines.push(ended.summary.clone()),
            status => {
                lines.push(match (status, &ended.error) {
                    ("interrupted", _) => "It was interrupted before it was done.".to_owned(),
                    (_, Some(error)) => format!("It failed: {error}"),
                    (_, None) => "It failed.".to_owned(),
                });
                if !ended.summary.is_empty() {
                    lines.push(format!("What it had by then:\n{}", ended.summary));
                }
            }
        }
        lines.join("\n")
    }
}

/// Puts a result into the chat that waits for it, and has it answered when nothing runs there.
pub(super) async fn deliver(
    engine: &Arc<Engine>,
    report: &Report<'_>,
    ended: &Ended,
    run: Object,
) -> ApiResult<()> {
    let Some(mut edit) = chat_edits::edit(&engine.db, report.parent_chat_id).await? else {
        return Ok(());
    };
    if !edit.row.is_owned_by(report.owner) {
        return Ok(());
    }
    let busy = inbox::is_busy(engine, &mut edit).await?;
    let parent = inbox::last_reply(&mut edit, report.parent_message_id);
    let parent = parent.or_else(|| report.parent_message_id.map(str::to_owned));
    let mut meta = json!({
        "internal": true, "type": "subagent", "delegation_id": report.delegation_id,
        "subagent_chat_id": report.chat_id,
    });
    if busy {
        meta["status"] = json!("pending");
    }
    let id = ids::uuid();
    let message = json!({
        "id": id, "parentId": parent, "childrenIds": [], "role": "user", "content": report.text(ended),
        "model": run.get("model_id"), "meta": meta, "timestamp": engine.clock.seconds(),
    });
    // The branch that is shown stays the one that is shown.
    let current = edit.history().get("currentId").cloned();
    edit.upsert(&id, message.as_object().cloned().unwrap_or_default());
    if let Some(current) = current {
        edit.history().insert("currentId".into(), current);
    }
    edit.save(true).await?;
    if busy {
        let kind = ChatKind::Saved(report.parent_chat_id.to_owned());
        let emitter = ChatEmitter::new(engine.emitter.clone(), report.owner, &kind, Some(&id), None);
        emitter.signal("chat:reload").await;
    }
    inbox::watch(engine.clone(), report.parent_chat_id.to_owned(), run);
    Ok(())
}

/// Tells the chat of a sub-agent in the background that the process before this one ended in the midst of its work.
pub(crate) async fn recovered(engine: &Arc<Engine>, chat_id: &str) -> ApiResult<()> {
    let Some(chat) = chats::by_id(&engine.db, chat_id).await? else {
        return Ok(());
    };
    let (meta, document) = (Value::Object(chat.meta_object()), Value::Object(chat.document()));
    if meta["internal"] != true || meta["type"] != "subagent" || meta["mode"] != "background" {
        return Ok(());
    }
    let messages = document["history"]["messages"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let of_role = |role: &str| messages.values().find(|message| message["role"] == role);
    let said = of_role("assistant").map(|reply| result(reply, usize::MAX));
    let ended = Ended {
        status: "interrupted",
        summary: said.map(|said| said.summary).unwrap_or_default(),
        error: None,
    };
    let text = |name: &str| history::text(&meta, name);
    let report = Report {
        delegation_id: text("delegation_id").unwrap_or_default(),
        chat_id,
        parent_chat_id: text("parent_chat_id").unwrap_or_default(),
        parent_message_id: text("parent_message_id"),
        owner: chat.user_id.as_deref().unwrap_or_default(),
        task: of_role("user")
            .and_then(|task| history::text(task, "content"))
            .unwrap_or_default(),
        context: "",
        seconds: None,
    };
    let model = document["models"].get(0).cloned().unwrap_or_default();
    let run = Object::from_iter([("model_id".to_owned(), model)]);
    deliver(engine, &report, &ended, run).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_cut_and_errors_told() {
        let cut = result(&json!({"content": "äöü"}), 2);
        assert_eq!(cut.summary, "äö\n\n[output truncated]");
        let output = json!([{"type": "message", "content": [{"type": "output_text", "text": "said"}]}]);
        assert_eq!(
            result(&json!({"content": "", "output": output}), 9).summary,
            "said"
        );
        let failed = result(&json!({"content": "", "error": {"content": "no"}}), 9);
        assert_eq!((failed.status, failed.error.as_deref()), ("error", Some("no")));
    }
}
