//! Replies queued by a test, and the requests that they are meant for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    plan::{Part, Plan, RawReply, Refusal, Reply},
    task_prompts::Task,
    text,
    wire::Dialect,
};

/// One queued reply. It answers the first request that fits, once; replies that fit the same
/// request are used in the order in which they were queued.
///
/// Unless told otherwise a script answers a generation request (chat, responses, generate) of any
/// model that is not a task prompt, so that a queued answer is not taken by the writing of a title.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The reply.
    pub reply: Reply,
    /// Only requests for this model.
    #[serde(default)]
    pub model: Option<String>,
    /// Only requests to this path; with a refusal or a raw reply it may be any path.
    #[serde(default)]
    pub path: Option<String>,
    /// Only this kind of task prompt.
    #[serde(default)]
    pub task: Option<Task>,
}

impl Script {
    /// Any reply.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self {
            reply,
            model: None,
            path: None,
            task: None,
        }
    }

    /// A text, one word a chunk.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::chunks(text::words(text))
    }

    /// A text in these chunks.
    pub fn chunks<I: Into<String>>(chunks: impl IntoIterator<Item = I>) -> Self {
        Self::reply(Reply::Plan(Plan::texts(chunks)))
    }

    /// A turn of these parts.
    pub fn parts(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::reply(Reply::Plan(Plan {
            parts: parts.into_iter().collect(),
            ..Plan::default()
        }))
    }

    /// One tool call.
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self::parts([Part::ToolCall {
            name: name.into(),
            arguments,
        }])
    }

    /// An HTTP error with the usual body of this status, see [`Refusal::of_status`].
    #[must_use]
    pub fn refuse(status: u16) -> Self {
        Self::reply(Reply::Refusal(Refusal::of_status(status)))
    }

    /// This JSON as the whole body, whatever was asked.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, "application/json", [body.to_string()])
    }

    /// These bytes as the body, each piece one HTTP chunk.
    pub fn raw<I: Into<String>>(status: u16, content_type: &str, body: impl IntoIterator<Item = I>) -> Self {
        Self::reply(Reply::Raw(RawReply {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into_iter().map(Into::into).collect(),
        }))
    }

    /// Only for requests for this model.
    #[must_use]
    pub fn for_model(self, model: impl Into<String>) -> Self {
        Self {
            model: Some(model.into()),
            ..self
        }
    }

    /// Only for requests to this path, such as `/v1/models`. Outside of generation endpoints the
    /// reply must be a refusal or raw.
    #[must_use]
    pub fn for_path(self, path: impl Into<String>) -> Self {
        Self {
            path: Some(path.into()),
            ..self
        }
    }

    /// Only for task prompts of this kind.
    #[must_use]
    pub fn for_task(self, task: Task) -> Self {
        Self {
            task: Some(task),
            ..self
        }
    }

    /// Whether this script answers a generation request.
    pub(crate) fn fits_generation(&self, path: &str, model: &str, task: Option<Task>) -> bool {
        self.task == task
            && self.path.as_deref().is_none_or(|wanted| wanted == path)
            && self.model.as_deref().is_none_or(|wanted| wanted == model)
    }

    /// Whether this script answers any request to its path, without a look at the body. Never so
    /// at the generation endpoints: there the model and the task are known before a script is taken.
    pub(crate) fn fits_path(&self, path: &str) -> bool {
        let without_body = self.model.is_none() && self.task.is_none();
        let generates = Dialect::ALL.iter().any(|dialect| dialect.path() == path);
        without_body
            && !generates
            && self.path.as_deref() == Some(path)
            && !matches!(self.reply, Reply::Plan(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_leaves_task_prompts_alone_unless_it_is_for_them() {
        let plain = Script::text("hello");
        assert!(plain.fits_generation("/v1/chat/completions", "echo", None));
        assert!(!plain.fits_generation("/v1/chat/completions", "echo", Some(Task::Title)));
        let title = plain.clone().for_task(Task::Title);
        assert!(title.fits_generation("/v1/chat/completions", "echo", Some(Task::Title)));
        assert!(
            !plain
                .for_model("other")
                .fits_generation("/v1/chat/completions", "echo", None)
        );
    }

    #[test]
    fn only_whole_answers_fit_paths_without_generation() {
        assert!(Script::refuse(500).for_path("/v1/models").fits_path("/v1/models"));
        assert!(!Script::refuse(500).fits_path("/v1/models"));
        assert!(!Script::refuse(500).for_path("/api/chat").fits_path("/api/chat"));
        assert!(!Script::text("x").for_path("/v1/models").fits_path("/v1/models"));
    }

    #[test]
    fn a_script_can_be_written_as_json() {
        let written =
            r#"{"reply": {"plan": {"parts": [{"text": "hi"}], "ending": "drop"}}, "task": "title"}"#;
        let script: Script = serde_json::from_str(written).unwrap();
        let plan = Plan::texts(["hi"]).ending(crate::plan::Ending::Drop);
        assert_eq!(script, Script::reply(Reply::Plan(plan)).for_task(Task::Title));
    }
}
