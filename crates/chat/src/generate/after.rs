//! What comes after a reply: follow-ups, title and tags of its chat, and now and then a look at the memories.

use oui_models::{chat_edits, history, tags};
use oui_providers::ChatReply;
use serde_json::{Value, json};

use super::{TaskKind, answer_text, object_in, text_of};
use crate::run::Run;
use crate::turn::Object;

impl Run {
    /// Runs the small jobs that were asked for. None of them can fail the reply.
    pub(crate) async fn after_reply(&self, output: &Value) {
        let saved = self.turn.chat.saved().is_some();
        let titles = saved && !self.titled && self.after.title.is_some();
        let tags = saved && self.after.tags;
        if !(self.after.follow_ups || titles || tags || self.reviews_memories()) {
            return;
        }
        let messages = self.conversation(output).await;
        if messages.is_empty() {
            return;
        }
        if self.after.follow_ups {
            self.follow_ups(&messages).await;
        }
        if saved {
            self.title(&messages).await;
            if self.after.tags {
                self.tags(&messages).await;
            }
        }
        self.review_memories(&messages).await;
    }

    /// The title of a new chat, made while the reply is still being written.
    pub(crate) async fn title_of_new_chat(self) {
        let Some(message) = &self.turn.user_message else {
            return;
        };
        let message = Value::Object(message.clone());
        let asked = self.turn.tasks.title == Some(true);
        let messages = vec![json!({ "role": "user", "content": text_of(&message) })];
        let title = if asked {
            self.generated_title(&messages).await
        } else {
            None
        };
        if let Some(title) = title.or_else(|| first_message(&messages)) {
            self.set_title(&title).await;
        }
    }

    /// The conversation up to this reply, without folded details and pictures.
    async fn conversation(&self, output: &Value) -> Vec<Value> {
        let Some(chat_id) = self.turn.chat.saved() else {
            let mut messages = self
                .turn
                .body
                .get("messages")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            messages.push(json!({ "role": "assistant", "content": history::output_text(output) }));
            return messages;
        };
        // A chat that was deleted meanwhile gets nothing more.
        let Ok(Some(stored)) = chat_edits::messages_map(&self.engine.db, chat_id).await else {
            return Vec::new();
        };
        let path = history::path_to(&stored, &self.message_id);
        let plain = |message: &&Value| json!({ "role": message["role"], "content": without_markup(&text_of(message)) });
        path.iter().map(plain).collect()
    }

    async fn ask(&self, kind: TaskKind, messages: &[Value]) -> Option<Value> {
        let mut form = Object::new();
        form.insert("model".into(), json!(self.model.id));
        form.insert("messages".into(), json!(messages));
        form.insert("chat_id".into(), json!(self.turn.chat.id()));
        form.insert("message_id".into(), json!(self.message_id));
        if self.model.is_direct() {
            form.insert("model_item".into(), self.model.json.clone());
            form.insert("session_id".into(), json!(self.turn.session_id));
        }
        match self.engine.generate(kind, &self.turn.user, &form).await {
            Ok(ChatReply::Json(answer)) => object_in(&answer_text(&answer)),
            Ok(ChatReply::Stream(_)) => None,
            Err(error) => {
                tracing::warn!(%error, task = kind.name(), "a background job failed");
                None
            }
        }
    }

    async fn follow_ups(&self, messages: &[Value]) {
        if !self
            .engine
            .config
            .get(&oui_config::task::ENABLE_FOLLOW_UP_GENERATION)
        {
            return;
        }
        let Some(answer) = self.ask(TaskKind::FollowUps, messages).await else {
            return;
        };
        let texts = texts(answer.get("follow_ups"));
        self.emitter
            .send("chat:message:follow_ups", json!({ "follow_ups": texts }))
            .await;
        self.save(json!({ "followUps": texts }), false).await;
    }

    async fn title(&self, messages: &[Value]) {
        if self.titled {
            return;
        }
        let generated = match self.after.title {
            Some(true) => Some(self.generated_title(messages).await),
            _ => None,
        };
        let title = match generated {
            Some(title) => title.or_else(|| first_message(messages)),
            // Without the job, the first exchange still gives the chat its title.
            None if messages.len() == 2 && self.after.title.is_some() => first_message(messages),
            None => None,
        };
        if let Some(title) = title {
            self.set_title(&title).await;
        }
    }

    async fn generated_title(&self, messages: &[Value]) -> Option<String> {
        if !self.engine.config.get(&oui_config::task::ENABLE_TITLE_GENERATION) {
            return None;
        }
        let answer = self.ask(TaskKind::Title, messages).await?;
        let title = answer.get("title")?.as_str()?.trim().to_owned();
        (!title.is_empty()).then_some(title)
    }

    async fn set_title(&self, title: &str) {
        let Some(chat_id) = self.turn.chat.saved() else {
            return;
        };
        match chat_edits::set_title(&self.engine.db, chat_id, title).await {
            Ok(Some(_)) => self.emitter.send("chat:title", json!(title)).await,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, chat_id, "could not save a title"),
        }
    }

    async fn tags(&self, messages: &[Value]) {
        if !self.engine.config.get(&oui_config::task::ENABLE_TAGS_GENERATION) {
            return;
        }
        let Some(chat_id) = self.turn.chat.saved() else {
            return;
        };
        let Some(answer) = self.ask(TaskKind::Tags, messages).await else {
            return;
        };
        let names = texts(answer.get("tags"));
        match tags::set_of_chat(&self.engine.db, chat_id, &self.turn.user.user.id, &names).await {
            Ok(()) => self.emitter.send("chat:tags", json!(names)).await,
            Err(error) => tracing::error!(%error, chat_id, "could not save tags"),
        }
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The first thing the user said: the title of chats whose title could not be made.
fn first_message(messages: &[Value]) -> Option<String> {
    let text = messages
        .iter()
        .find(|message| message["role"] == "user")
        .map(text_of)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Drops `<details>` blocks and Markdown pictures.
fn without_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<details") {
        let Some(length) = rest[start..].find("</details>") else {
            break;
        };
        out.push_str(&rest[..start]);
        rest = &rest[start + length + "</details>".len()..];
    }
    out.push_str(rest);
    let mut plain = String::with_capacity(out.len());
    let mut rest = out.as_str();
    while let Some(start) = rest.find("![") {
        let picture = rest[start..]
            .find("](")
            .and_then(|at| Some(start + at + rest[start + at..].find(')')? + 1));
        let Some(end) = picture else { break };
        plain.push_str(&rest[..start]);
        rest = &rest[end..];
    }
    plain.push_str(rest);
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_and_pictures_go() {
        assert_eq!(without_markup("a <details open>x</details>b ![p](u)c"), "a b c");
        assert_eq!(without_markup("<details> open"), "<details> open");
    }

    #[test]
    fn the_first_message_can_be_the_title() {
        let messages = [
            json!({"role": "assistant", "content": "x"}),
            json!({"role": "user", "content": " hi "}),
        ];
        assert_eq!(first_message(&messages).as_deref(), Some("hi"));
        assert_eq!(first_message(&[json!({"role": "user", "content": " "})]), None);
    }
}
