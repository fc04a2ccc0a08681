//! Now and then, after a reply, a model looks at what was said and at what is remembered of the user, and says what
//! should be remembered from now on. Only where the operator has switched it on.

use oui_config::features;
use oui_core::ApiResult;
use oui_models::memories::{self, MemoryRow, Operation};
use oui_providers::ChatReply;
use oui_retrieval::memories::operation;
use serde_json::{Value, json};

use super::{answer_text, object_in, prompts, text_of};
use crate::dispatch::dispatch;
use crate::run::Run;
use crate::turn::Object;

/// Memories that the model is shown.
const MEMORIES: usize = 80;
/// Messages that it is shown, the last ones.
const MESSAGES: usize = 16;
/// Characters of a message that it is shown whole, and those at the beginning and the end of a longer one.
const LONGEST: usize = 1600;
const BEGINNING: usize = 1000;
const ENDING: usize = 400;

impl Run {
    /// Whether memories are reviewed at all after replies like this one.
    pub(super) fn reviews_memories(&self) -> bool {
        let config = &self.engine.config;
        self.turn.choices.feature("memory")
            && config.get(&features::ENABLE_MEMORIES)
            && config.get(&features::ENABLE_MEMORY_BACKGROUND_REVIEW)
            && self.model.capability("memory", true)
    }

    /// Has the memories reviewed when it is time. It goes on by itself; nothing waits for it, and nothing fails by it.
    pub(super) async fn review_memories(&self, messages: &[Value]) {
        let interval = self
            .engine
            .config
            .get(&features::MEMORIES_REVIEW_INTERVAL_TURNS)
            .max(1);
        if !self.reviews_memories() || !is_due(messages, interval) {
            return;
        }
        let user = &self.turn.user.user;
        let allowed = user.role == oui_access::ADMIN
            || match self.engine.auth.permissions_of(&user.id).await {
                Ok(permissions) => permissions.has("features.memories"),
                Err(error) => {
                    tracing::error!(%error, "permissions could not be read");
                    false
                }
            };
        if !allowed {
            return;
        }
        let (engine, user, model) = (self.engine.clone(), self.turn.user.clone(), self.model.clone());
        let mut context = user.call.clone();
        context.metadata = json!({
            "task": "memory_review", "chat_id": self.turn.chat.id(), "message_id": self.message_id,
            "session_id": self.turn.session_id,
        });
        let said = transcript(messages);
        tokio::spawn(async move {
            let review = async {
                let known = memories::of_user(&engine.db, &user.user.id).await?;
                let mut body = Object::new();
                body.insert("model".into(), json!(model.id));
                let asked = prompts::MEMORY_REVIEW
                    .replace("{{MEMORIES}}", &listed(&known))
                    .replace("{{CONVERSATION}}", &said);
                body.insert(
                    "messages".into(),
                    json!([
                        { "role": "system", "content": prompts::MEMORY_REVIEWER },
                        { "role": "user", "content": asked },
                    ]),
                );
                body.insert("stream".into(), json!(false));
                engine.own_params(&user, &model, &mut body).await?;
                let ChatReply::Json(answer) = dispatch(&engine, &model, body, &context).await? else {
                    return Ok(());
                };
                let operations = operations_in(&answer_text(&answer))?;
                if operations.is_empty() {
                    return Ok(());
                }
                let meta = json!({
                    "created_by": "background_review", "chat_id": context.metadata["chat_id"], "message_id": null,
                    "model": model.id,
                });
                engine
                    .retrieval
                    .change_memories(&user.user, &operations, &meta)
                    .await
                    .map(drop)
            };
            let reviewed: ApiResult<()> = review.await;
            if let Err(error) = reviewed {
                tracing::warn!(%error, "memories could not be reviewed");
            }
        });
    }
}

/// Whether the conversation has a reply and as many questions as are between two reviews.
fn is_due(messages: &[Value], interval: i64) -> bool {
    let asked = messages
        .iter()
        .filter(|message| message["role"] == "user")
        .count();
    let answered = messages
        .last()
        .is_some_and(|message| message["role"] == "assistant" && !text_of(message).trim().is_empty());
    let asked = i64::try_from(asked).unwrap_or(i64::MAX);
    answered && asked > 0 && asked % interval == 0
}

fn listed(known: &[MemoryRow]) -> String {
    let line = |memory: &MemoryRow| {
        format!(
            "- id={} type={} path={} content={}",
            memory.id,
            memory.kind,
            memory.path.as_deref().unwrap_or_default(),
            memory.content.as_deref().unwrap_or_default()
        )
    };
    let lines: Vec<String> = known.iter().take(MEMORIES).map(line).collect();
    if lines.is_empty() {
        "(none)".to_owned()
    } else {
        lines.join("\n")
    }
}

fn transcript(messages: &[Value]) -> String {
    let start = messages.len().saturating_sub(MESSAGES);
    let mut lines = Vec::new();
    for message in &messages[start..] {
        let role = message["role"].as_str().unwrap_or_default();
        let text = text_of(message);
        let text = text.trim();
        if matches!(role, "user" | "assistant") && !text.is_empty() {
            lines.push(format!("{role}: {}", shortened(text)));
        }
    }
    lines.join("\n\n")
}

/// Beginning and end of a long text.
fn shortened(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= LONGEST {
        return text.to_owned();
    }
    let beginning: String = letters[..BEGINNING].iter().collect();
    let ending: String = letters[letters.len() - ENDING..].iter().collect();
    format!("{beginning}\n[...]\n{ending}")
}

/// The operations in an answer, all or none.
fn operations_in(answer: &str) -> ApiResult<Vec<Operation>> {
    let Some(answer) = object_in(answer) else {
        return Ok(Vec::new());
    };
    let given = answer.get("operations").and_then(Value::as_array);
    given.into_iter().flatten().map(operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_are_due_after_so_many_questions() {
        let user = json!({ "role": "user", "content": "q" });
        let reply = json!({ "role": "assistant", "content": "a" });
        let silent = json!({ "role": "assistant", "content": " " });
        let two = [user.clone(), reply.clone(), user.clone(), reply.clone()];
        assert!(is_due(&two, 2));
        assert!(!is_due(&two, 3));
        assert!(is_due(&two[..2], 1));
        assert!(!is_due(&two[..3], 2));
        assert!(!is_due(&[user, silent], 1));
        assert!(!is_due(&[reply], 1));
    }

    #[test]
    fn long_messages_lose_their_middle() {
        let text = format!("{}{}{}", "a".repeat(1000), "b".repeat(201), "c".repeat(400));
        let messages = [
            json!({ "role": "system", "content": "s" }),
            json!({ "role": "user", "content": text }),
        ];
        let expected = format!("user: {}\n[...]\n{}", "a".repeat(1000), "c".repeat(400));
        assert_eq!(transcript(&messages), expected);
    }

    #[test]
    fn operations_are_read_all_or_none() {
        let good =
            r#"Sure: {"operations": [{"action": "remove", "id": "x"}, {"action": "add", "content": " a "}]}"#;
        let read = operations_in(good).unwrap();
        let added = Operation::Add {
            content: "a".into(),
            kind: "context",
            path: None,
        };
        assert_eq!(read, [Operation::Remove { id: "x".into() }, added]);
        assert!(operations_in(r#"{"operations": [{"action": "forget"}]}"#).is_err());
        assert_eq!(operations_in("nothing").unwrap(), []);
        assert_eq!(operations_in(r#"{"operations": []}"#).unwrap(), []);
    }
}
