//! One event in the form in which it is sent: secrets taken out, long texts cut.

use oui_core::{Notice, ids};
use serde_json::{Map, Value, json};

use crate::catalogue;

/// Longer texts are cut, in characters.
const MAX_TEXT: usize = 1000;
/// Members that are never sent.
const SECRET: &[&str] = &[
    "password",
    "hashed_password",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "secret",
    "key",
    "authorization",
    "cookie",
    "webhook_token",
];
const SECRET_ENDINGS: &[&str] = &["_token", "_secret", "_api_key", "_key"];
/// What is said of who did it.
const ACTOR: &[&str] = &["id", "name", "email", "role", "created_at", "updated_at"];

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Event {
    name: &'static str,
    json: Value,
}

/// An event as a user reads it.
pub(crate) struct Text {
    /// First line.
    pub(crate) title: String,
    /// The rest.
    pub(crate) description: Option<String>,
    /// For receivers that are no chat program.
    pub(crate) data: Value,
}

impl Event {
    /// The event of a notice, at `now` (seconds).
    pub fn new(notice: &Notice, instance: &str, version: &str, now: i64) -> Self {
        let (resource, operation) = notice.name.rsplit_once('.').unwrap_or((notice.name, ""));
        let json = json!({
            "schema": version,
            "id": ids::uuid(),
            "event": notice.name,
            "resource": resource,
            "operation": operation,
            "created_at": now,
            "instance_id": instance,
            "version": version,
            "source": notice.source,
            "actor": actor(notice.actor.as_ref()),
            "subject": clean(&notice.subject_json()),
            "data": clean(&Value::Object(notice.data.clone())),
            "message": notice.message,
        });
        Self {
            name: notice.name,
            json,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As it is sent.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Its own title, or the catalogue's.
    pub fn title(&self) -> String {
        match self.json["message"].as_str() {
            Some(message) => message.to_owned(),
            None => catalogue::title(self.name),
        }
    }

    /// Id of what it happened to.
    pub fn subject_id(&self) -> Option<String> {
        match &self.json["subject"]["id"] {
            Value::String(id) if !id.is_empty() => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    /// Everybody it concerns: who did it, whom it happened to, whom the details name. Sorted, each once.
    pub fn user_ids(&self) -> Vec<String> {
        let (actor, subject, data) = (&self.json["actor"], &self.json["subject"], &self.json["data"]);
        let mut found: Vec<&Value> = vec![&actor["id"], &data["user_id"]];
        if subject["type"] == "user" {
            found.push(&subject["id"]);
        }
        found.extend(data["user_ids"].as_array().into_iter().flatten());
        let mut ids: Vec<String> = found
            .into_iter()
            .filter_map(Value::as_str)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// The event as a notification.
    pub(crate) fn notification(&self) -> Text {
        let data = &self.json["data"];
        let text = |name: &str| data[name].as_str().filter(|text| !text.is_empty());
        let titled = |own: Option<&str>| {
            own.or(self.json["message"].as_str())
                .map_or_else(|| catalogue::title(self.name), str::to_owned)
        };
        let about_chat = |action: &str, heading: String, title: String, content: &str| {
            let url = text("url").unwrap_or_default();
            let lines: Vec<&str> = [content, url]
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect();
            Text {
                title: heading,
                description: Some(lines.join("\n")),
                data: json!({ "action": action, "message": content, "title": title, "url": url }),
            }
        };
        match self.name {
            "chat.finished" | "chat.failed" => {
                let failed = self.name == "chat.failed";
                let title = titled(if failed { None } else { text("title") });
                let action = if failed { "chat_failed" } else { "chat" };
                about_chat(
                    action,
                    format!("**{title}**"),
                    title,
                    text("message").unwrap_or_default(),
                )
            }
            "channel.message" => {
                let title = titled(text("title"));
                let content = text("content").or(text("message")).unwrap_or_default();
                about_chat("channel", format!("**#{title}**"), title, content)
            }
            "calendar.alert" => {
                let title = titled(text("title"));
                let starts_in = text("starts_in").unwrap_or_default();
                let event_id = match &data["event_id"] {
                    Value::Null => &self.json["subject"]["id"],
                    id => id,
                };
                Text {
                    title: format!("**{title}**\nstarting {starts_in}").trim().to_owned(),
                    description: None,
                    data: json!({
                        "action": "calendar_alert", "title": title, "event_id": event_id,
                        "minutes_until": data["minutes_until"],
                    }),
                }
            }
            _ => {
                let title = titled(None);
                let preview = text("message").or(text("preview")).or(text("content_preview"));
                Text {
                    description: Some(preview.unwrap_or(&title).to_owned()),
                    title,
                    data: self.json.clone(),
                }
            }
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    SECRET.contains(&name.as_str()) || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn clean(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| !is_secret(name))
            .map(|(name, value)| (name.clone(), clean(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(clean).collect(),
        Value::String(text) => match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}...", &text[..end]).into(),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

fn actor(given: Option<&Value>) -> Value {
    let Some(Value::Object(given)) = given.map(clean) else {
        return Value::Null;
    };
    let mut kept: Map<String, Value> = ACTOR
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    if kept.is_empty() {
        return Value::Null;
    }
    let kind = given.get("type").filter(|kind| !kind.is_null()).cloned();
    kept.insert("type".to_owned(), kind.unwrap_or_else(|| "user".into()));
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_and_long_texts_are_cut() {
        let notice = Notice::new("user.updated")
            .by(json!({"id": "a", "name": "Ada", "password": "x", "settings": {}}))
            .about("b")
            .with(
                json!({"api_key": 1, "openai-Key": 2, "fields": ["x".repeat(1200)], "user_ids": ["c", "a"]}),
            );
        let event = Event::new(&notice, "i", "0.1", 5);
        assert_eq!(
            event.json()["actor"],
            json!({"id": "a", "name": "Ada", "type": "user"})
        );
        assert_eq!(event.json()["subject"], json!({"type": "user", "id": "b"}));
        assert_eq!(event.json()["data"]["fields"][0].as_str().unwrap().len(), 1003);
        assert_eq!(event.json()["data"].as_object().unwrap().len(), 2);
        assert_eq!(event.user_ids(), ["a", "b", "c"]);
        assert_eq!(
            (event.json()["resource"].as_str(), event.title().as_str()),
            (Some("user"), "User updated")
        );
    }

    #[test]
    fn a_finished_chat_is_told_with_its_title() {
        let notice = Notice::new("chat.finished")
            .with(json!({"title": "Cats", "message": "They purr.", "url": "https://h/c/1"}));
        let text = Event::new(&notice, "i", "0.1", 5).notification();
        assert_eq!(text.title, "**Cats**");
        assert_eq!(text.description.as_deref(), Some("They purr.\nhttps://h/c/1"));
        assert_eq!(text.data["action"], "chat");
    }
}
