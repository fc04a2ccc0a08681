//! What those who hear of events are told of replies in stored chats: that one is finished, or has failed.

use oui_config::ui;
use oui_core::Notice;
use serde_json::{Value, json};

use crate::run::Run;

/// The text of a reply: what its messages say, without reasoning and tool calls.
fn text(output: &Value) -> String {
    let items = output.as_array().into_iter().flatten();
    let parts = items
        .filter(|item| item["type"] == "message")
        .flat_map(|item| item["content"].as_array().into_iter().flatten())
        .filter_map(|part| part["text"].as_str());
    parts.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What went wrong, as a person reads it.
fn reason(error: &Value) -> String {
    error.as_str().map_or_else(|| error.to_string(), str::to_owned)
}

impl Run {
    /// Tells of the complete reply, under the title that the chat has by now.
    pub(crate) async fn tell_finished(&self, output: &Value) {
        let Some(chat_id) = self
            .turn
            .chat
            .saved()
            .filter(|_| self.engine.is_wanted("chat.finished"))
        else {
            return;
        };
        let head = oui_models::chats::head(&self.engine.db, chat_id).await;
        let head = head.inspect_err(|error| tracing::warn!(%error, "the title of a chat is not known"));
        let title = head
            .ok()
            .flatten()
            .and_then(|head| head.title)
            .unwrap_or_default();
        let shown = if title.is_empty() { "Chat finished" } else { &title };
        let details = json!({ "title": title, "message": text(output) });
        self.tell("chat.finished", chat_id, details, shown);
    }

    /// Tells of the reply that failed.
    pub(crate) fn tell_failed(&self, error: &Value) {
        if let Some(chat_id) = self.turn.chat.saved() {
            let details = json!({ "message": reason(error) });
            self.tell("chat.failed", chat_id, details, "Chat failed");
        }
    }

    fn tell(&self, name: &'static str, chat_id: &str, details: Value, title: &str) {
        let base = self.engine.config.get(&ui::WEBUI_URL);
        let user = &self.turn.user.user;
        let notice = Notice::new(name)
            .by(user.actor_json())
            .about_kind("chat", chat_id);
        let notice = notice.titled(title).with(details).with(json!({
            "user_id": user.id, "chat_id": chat_id, "message_id": self.message_id,
            "model_id": self.model.id, "url": format!("{base}/c/{chat_id}"),
        }));
        self.engine.tell(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_by_what_it_says() {
        let output = json!([
            {"type": "reasoning", "content": [{"type": "output_text", "text": "Hm."}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Yes."}]},
            {"type": "function_call", "name": "x"},
            {"type": "message", "content": [{"type": "output_text", "text": "Done. "}]},
        ]);
        assert_eq!(text(&output), "Yes.\nDone.");
        assert_eq!(reason(&json!("Busy")), "Busy");
        assert_eq!(reason(&json!({"code": 1})), r#"{"code":1}"#);
    }
}
