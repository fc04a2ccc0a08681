//! What those who hear of events are told of stored chats: a new one, new messages, a reply that is finished or has
//! failed.

use oui_config::ui;
use oui_core::Notice;
use oui_core::notice::preview;
use oui_models::chats::NEW_CHAT;
use oui_models::history;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::place::Placed;
use crate::run::Run;
use crate::turn::Turn;

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

impl Engine {
    /// Tells of a new chat of the caller.
    pub(crate) fn tell_new_chat(&self, turn: &Turn) {
        let notice = Notice::new("chat.created").by(turn.user.user.actor_json());
        let notice = notice.about(turn.chat.id()).with(json!({ "title": NEW_CHAT }));
        self.tell(notice);
    }

    /// Tells of the messages that a turn has put into its chat: those of it, not the one above that has a new child.
    pub(crate) fn tell_messages(&self, turn: &Turn, placed: &Placed) {
        if !self.is_wanted("message.created") {
            return;
        }
        let question = turn.user_message_id.as_deref();
        for (id, message) in &placed.messages {
            let is_question = Some(id.as_str()) == question;
            if !is_question && history::text(message, "parentId") != question {
                continue;
            }
            let details = match (turn.is_new_chat, is_question) {
                (true, true) => {
                    let text = history::text(message, "content").unwrap_or_default();
                    json!({ "role": "user", "content_preview": preview(text) })
                }
                _ => json!({ "role": message["role"], "model": message["model"] }),
            };
            let notice = Notice::new("message.created").by(turn.user.user.actor_json());
            let notice = notice
                .about(id.as_str())
                .with(json!({ "chat_id": turn.chat.id() }));
            self.tell(notice.with(details));
        }
    }
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
