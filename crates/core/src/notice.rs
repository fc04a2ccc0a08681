//! What happened, told to whoever wants to know: webhooks of the administration, users' notifications. Whoever makes
//! something happen publishes a [`Notice`]; who hears of it is the events crate's.

use serde_json::{Map, Value, json};

/// Something that happened. Names are those of the catalogue in the events crate.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// For example `user.created`.
    pub name: &'static str,
    /// Who did it: `{id, name, email, role, ...}`.
    pub actor: Option<Value>,
    /// What it happened to: kind and id.
    pub subject: Option<(String, Value)>,
    /// How it came about: `api`, `admin`, `password`, `system`, ...
    pub source: String,
    /// Details.
    pub data: Map<String, Value>,
    /// Title, where it is not the event's own.
    pub message: Option<String>,
}

impl Notice {
    /// A notice without details. The subject's kind is what stands before the last dot of the name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            actor: None,
            subject: None,
            source: "api".to_owned(),
            data: Map::new(),
            message: None,
        }
    }

    /// Who did it.
    #[must_use]
    pub fn by(mut self, actor: Value) -> Self {
        self.actor = Some(actor);
        self
    }

    /// What it happened to, of the kind that the name says.
    #[must_use]
    pub fn about(self, id: impl Into<Value>) -> Self {
        let kind = self.name.rsplit_once('.').map_or(self.name, |(kind, _)| kind);
        self.about_kind(kind, id)
    }

    /// What it happened to, of another kind.
    #[must_use]
    pub fn about_kind(mut self, kind: &str, id: impl Into<Value>) -> Self {
        self.subject = Some((kind.to_owned(), id.into()));
        self
    }

    /// How it came about.
    #[must_use]
    pub fn from_source(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    /// Details; what is no object is left out.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        if let Value::Object(data) = data {
            self.data.extend(data);
        }
        self
    }

    /// A title of its own.
    #[must_use]
    pub fn titled(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Kind and id of the subject as an object.
    pub fn subject_json(&self) -> Value {
        match &self.subject {
            Some((kind, id)) => json!({ "type": kind, "id": id }),
            None => Value::Null,
        }
    }
}

/// The beginning of a text, as notices tell of it.
pub fn preview(text: &str) -> String {
    text.chars().take(300).collect()
}

/// Hears of notices. Publishing never waits and never fails.
pub trait Notices: Send + Sync {
    /// Tells everybody who wants to know.
    fn publish(&self, notice: Notice);

    /// Whether anybody wants to know of this event; for notices that cost a query to make.
    fn is_wanted(&self, name: &str) -> bool;
}

/// Nobody wants to know: for tools and tests.
pub struct NoNotices;

impl Notices for NoNotices {
    fn publish(&self, _: Notice) {}

    fn is_wanted(&self, _: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_comes_from_the_name() {
        let notice = Notice::new("channel.webhook.created").about("w");
        assert_eq!(
            notice.subject_json(),
            json!({"type": "channel.webhook", "id": "w"})
        );
        let notice = Notice::new("auth.login")
            .about_kind("user", "u")
            .with(json!({"a": 1}))
            .with(json!(2));
        assert_eq!(
            (notice.subject.unwrap().0.as_str(), notice.data.len()),
            ("user", 1)
        );
    }
}
