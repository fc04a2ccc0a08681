//! What the user let be remembered, told to the model in the system message where the request wants it and
//! configuration, model and account allow it.

use oui_config::features;
use oui_models::memories::{self, MemoryRow};
use oui_retrieval::caller_of;
use oui_retrieval::memories::tree::{self, Wanted};
use serde_json::Value;

use crate::generate::text_of;

use super::append_system;
use super::step::Step;

/// Questions of the user that memories are looked up for.
const QUESTIONS: usize = 7;

/// Characters of them.
const LONGEST: usize = 4000;

/// Memories that are found by their meaning.
const BY_MEANING: usize = 8;

/// Places that are found in the question.
const PLACES: usize = 6;

/// Memories near each of these places.
const NEAR: i64 = 4;

const OPEN: &str = "<memory_context>";
const CLOSE: &str = "</memory_context>";

/// The last `count` characters.
fn ending(text: &str, count: usize) -> &str {
    let skip = text.chars().count().saturating_sub(count);
    text.char_indices().nth(skip).map_or("", |(at, _)| &text[at..])
}

fn beginning(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at])
}

/// What the user asked lately.
fn asked(messages: &[Value]) -> String {
    let mut texts: Vec<String> = messages
        .iter()
        .rev()
        .filter(|message| message["role"] == "user")
        .map(|message| text_of(message).trim().to_owned())
        .filter(|text| !text.is_empty())
        .take(QUESTIONS)
        .collect();
    texts.reverse();
    ending(&texts.join("\n\n"), LONGEST).to_owned()
}

fn labelled(path: Option<&str>, content: &str) -> String {
    match path.filter(|path| !path.is_empty()) {
        Some(path) => format!("{path}: {content}"),
        None => content.to_owned(),
    }
}

fn label(memory: &MemoryRow) -> String {
    labelled(
        memory.path.as_deref(),
        memory.content.as_deref().unwrap_or_default(),
    )
}

/// Places that the question speaks of: by their whole name, their last part or a longer part.
fn places(question: &str, memories: &[MemoryRow]) -> Vec<String> {
    let question = question.to_lowercase();
    let mut sorted: Vec<&MemoryRow> = memories.iter().collect();
    sorted.sort_by(|a, b| (&a.path, &a.content, &a.id).cmp(&(&b.path, &b.content, &b.id)));
    let mut found: Vec<String> = Vec::new();
    for path in sorted.iter().filter_map(|memory| memory.path.as_deref()) {
        if path.is_empty() || found.iter().any(|known| known == path) {
            continue;
        }
        let last = path.rsplit('/').next().unwrap_or(path);
        let names = |text: &str| question.contains(&text.to_lowercase());
        let part = |part: &str| part.chars().count() >= 3 && names(part);
        if names(path) || names(last) || path.split('/').any(part) {
            found.push(path.to_owned());
        }
        if found.len() >= PLACES {
            break;
        }
    }
    found
}

/// One part of the text, its lines in order.
fn section(title: &str, mut lines: Vec<String>) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    lines.sort_by_cached_key(|line| (line.to_lowercase(), line.clone()));
    let lines: Vec<String> = lines.iter().map(|line| format!("- {line}")).collect();
    Some(format!("[{title}]\n{}", lines.join("\n")))
}

/// Takes out what an earlier turn put in.
fn without_former(messages: &mut [Value]) {
    let Some(system) = messages.first_mut().filter(|message| message["role"] == "system") else {
        return;
    };
    let Some(content) = system["content"].as_str() else {
        return;
    };
    let cut = content.find(OPEN).and_then(|start| {
        let end = content[start..].find(CLOSE)? + start + CLOSE.len();
        Some(
            format!("{}{}", &content[..start], &content[end..])
                .trim()
                .to_owned(),
        )
    });
    if let Some(cut) = cut {
        system["content"] = Value::String(cut);
    }
}

impl Step<'_> {
    /// Adds what is remembered. Failures are logged; the reply does not depend on it.
    pub(super) async fn remember(&self, messages: &mut Vec<Value>) {
        let config = &self.engine.config;
        let wanted = self.turn.choices.feature("memory")
            && config.get(&features::ENABLE_MEMORIES)
            && config.get(&features::ENABLE_MEMORY_SYSTEM_CONTEXT)
            && self.model.capability("memory", true);
        if !wanted || !self.may("features.memories").await {
            return;
        }
        let question = asked(messages);
        if question.is_empty() {
            return;
        }
        let text = match self.remembered(&question).await {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "memories could not be read");
                return;
            }
        };
        without_former(messages);
        if !text.is_empty() {
            append_system(messages, &format!("{OPEN}\n{text}\n{CLOSE}"));
        }
    }

    async fn remembered(&self, question: &str) -> oui_core::ApiResult<String> {
        let user = &self.turn.user.user;
        let all = memories::of_user(&self.engine.db, &user.id).await?;
        if all.is_empty() {
            return Ok(String::new());
        }
        let mut told: Vec<String> = Vec::new();
        let (mut of_user, mut near, mut context) = (Vec::new(), Vec::new(), Vec::new());
        for memory in all.iter().filter(|memory| memory.kind == "user") {
            told.push(memory.id.clone());
            of_user.push(label(memory));
        }
        for place in places(question, &all) {
            let wanted = Wanted {
                query: "",
                path: Some(&place),
                id: None,
                kind: "context",
                limit: NEAR,
            };
            for memory in tree::search(all.clone(), &wanted)? {
                if !told.contains(&memory.id) {
                    near.push(label(&memory));
                    told.push(memory.id);
                }
            }
        }
        let found = self
            .engine
            .retrieval
            .find_memories(&user.id, question, BY_MEANING, &caller_of(user))
            .await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "memories could not be searched");
            None
        });
        for hit in found.into_iter().flatten() {
            let entry = hit.entry;
            if entry.text.is_empty() || told.contains(&entry.id) {
                continue;
            }
            let field = |name: &str| entry.metadata.get(name).and_then(Value::as_str);
            let path = field("path").filter(|path| !path.is_empty());
            let content = path
                .and_then(|path| entry.text.strip_prefix(path)?.strip_prefix('\n'))
                .unwrap_or(&entry.text);
            let line = labelled(path, content);
            if field("type") == Some("user") {
                of_user.push(line);
            } else {
                context.push(line);
            }
            told.push(entry.id);
        }
        let config = &self.engine.config;
        let limit = |value: i64| match usize::try_from(value).unwrap_or(0) {
            0 => 2000,
            count => count.max(250),
        };
        let user_limit = limit(config.get(&features::MEMORIES_USER_CHAR_LIMIT));
        let context_limit = limit(config.get(&features::MEMORIES_CONTEXT_CHAR_LIMIT));
        let first = section("User Memory", of_user).unwrap_or_default();
        let parts = [
            section("Memory Neighborhood", near),
            section("Relevant Context", context),
        ];
        let rest: Vec<String> = parts.into_iter().flatten().collect();
        let rest = rest.join("\n\n");
        let text = format!(
            "{}\n\n{}",
            beginning(&first, user_limit),
            beginning(&rest, context_limit)
        );
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn memory(id: &str, path: Option<&str>) -> MemoryRow {
        MemoryRow {
            id: id.into(),
            user_id: Some("u".into()),
            kind: "context".into(),
            path: path.map(str::to_owned),
            content: Some(format!("about {id}")),
            meta: None,
            updated_at: Some(1),
            created_at: Some(1),
        }
    }

    #[test]
    fn places_are_found_by_their_parts() {
        let all = [
            memory("a", Some("pets/wild")),
            memory("b", Some("home/garden")),
            memory("c", None),
            memory("d", Some("xy/z")),
        ];
        assert_eq!(places("What grows in my GARDEN?", &all), ["home/garden"]);
        assert_eq!(places("my pets at home", &all), ["home/garden", "pets/wild"]);
        assert_eq!(places("xy", &all), Vec::<String>::new());
        assert_eq!(places("a puzzle with z", &all), ["xy/z"]);
    }

    #[test]
    fn lines_are_in_order_and_former_ones_go() {
        let text = section("T", vec!["b".into(), "C".into(), "a".into()]).unwrap();
        assert_eq!(text, "[T]\n- a\n- b\n- C");
        assert!(section("T", Vec::new()).is_none());
        let mut messages =
            vec![json!({"role": "system", "content": "Brief.\n<memory_context>\nx\n</memory_context>"})];
        without_former(&mut messages);
        assert_eq!(messages[0]["content"], "Brief.");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((ending("äöü", 2), beginning("äöü", 2)), ("öü", "äö"));
        assert_eq!((ending("ä", 5), beginning("ä", 5)), ("ä", "ä"));
        let messages = [
            json!({"role": "user", "content": " a "}),
            json!({"role": "assistant", "content": "b"}),
            json!({"role": "user", "content": [{"type": "text", "text": "c"}]}),
        ];
        assert_eq!(asked(&messages), "a\n\nc");
    }
}
