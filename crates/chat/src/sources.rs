//! What a reply is based on: texts put into the conversation with a number each, and shown beside the reply.

use oui_config::rag;
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::generate::last_user_text;
use crate::template;

/// Characters that have a meaning in tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a passage is known by.
fn identity(source: &Value, metadata: Option<&Value>) -> String {
    let filled = |value: &&Value| crate::turn::truthy(value);
    metadata
        .and_then(|metadata| metadata.get("source"))
        .filter(filled)
        .or_else(|| source.pointer("/source/id").filter(filled))
        .map_or_else(|| "N/A".into(), plain)
}

/// How many different documents the passages are from.
pub(crate) fn count(sources: &[Value]) -> usize {
    let mut known: Vec<String> = Vec::new();
    for source in sources {
        let documents = source.get("document").and_then(Value::as_array);
        for index in 0..documents.map_or(0, Vec::len) {
            let id = identity(source, source.pointer(&format!("/metadata/{index}")));
            if !known.contains(&id) {
                known.push(id);
            }
        }
    }
    known.len()
}

/// What of the sources models get to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The passages.
    Whole,
    /// Only where they are from: the passages stand elsewhere in the conversation.
    Marks,
}

/// The sources as the model reads them. `keys` are the fields of the metadata that it may see; `numbers` are those
/// given already.
pub(crate) fn tags(sources: &[Value], keys: &[String], numbers: &mut Vec<String>, shown: Shown) -> String {
    let mut text = String::new();
    for source in sources {
        let about = source.get("source").cloned().unwrap_or_default();
        let list = |name: &str| {
            source
                .get(name)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        for (document, metadata) in list("document").iter().zip(list("metadata")) {
            let id = identity(source, Some(&metadata));
            let number = numbers.iter().position(|known| *known == id).unwrap_or_else(|| {
                numbers.push(id);
                numbers.len() - 1
            });
            text.push_str(&format!("<source id=\"{}\"", number + 1));
            let is_text = about["type"] == "text";
            for (attribute, field) in [("name", "name"), ("resource-type", "type"), ("resource-id", "id")] {
                let value = about
                    .get(field)
                    .and_then(Value::as_str)
                    .filter(|value| !value.is_empty());
                if let Some(value) = value.filter(|_| field != "id" || !is_text) {
                    text.push_str(&format!(" {attribute}=\"{value}\""));
                }
            }
            for (key, value) in allowed(&metadata, keys) {
                text.push_str(&format!(" {key}=\"{}\"", escaped(&plain(value))));
            }
            let passage = match shown {
                Shown::Whole => plain(document),
                Shown::Marks => String::new(),
            };
            text.push_str(&format!(">{passage}</source>\n"));
        }
    }
    text
}

fn allowed<'m>(metadata: &'m Value, keys: &[String]) -> Vec<(&'m String, &'m Value)> {
    let fields = metadata.as_object().into_iter().flatten();
    let named = ["id", "name", "resource-type", "resource-id"];
    fields
        .filter(|(key, value)| keys.contains(key) && !named.contains(&key.as_str()) && !value.is_null())
        .collect()
}

/// Fills the template for retrieved context. Placeholders inside the context stay what they are.
fn filled(template: &str, context: &str, query: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(template.len() + context.len()), template);
    let marks = [
        ("[context]", context),
        ("{{CONTEXT}}", context),
        ("[query]", query),
        ("{{QUERY}}", query),
    ];
    while let Some((at, mark, value)) = marks
        .iter()
        .filter_map(|(mark, value)| Some((rest.find(mark)?, *mark, *value)))
        .min_by_key(|(at, ..)| *at)
    {
        text.push_str(&rest[..at]);
        text.push_str(value);
        rest = &rest[at + mark.len()..];
    }
    text.push_str(rest);
    text
}

/// How sources are told to models.
pub(crate) struct Telling<'e> {
    /// Knows the template and what models may see.
    pub(crate) engine: &'e Engine,
}

impl Telling<'_> {
    /// Puts the sources into the conversation: before the last question, or into the system message. `marks` are those
    /// whose passages the model has read already.
    pub(crate) fn put_into(&self, messages: &mut Vec<Value>, sources: &[Value], marks: &[Value]) {
        let question = last_user_text(messages);
        if question.is_empty() {
            return;
        }
        let settings = &self.engine.settings.chat;
        let keys = &settings.source_metadata;
        let mut numbers = Vec::new();
        let mut text = tags(sources, keys, &mut numbers, Shown::Whole);
        text.push_str(&tags(marks, keys, &mut numbers, Shown::Marks));
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let text = filled(&self.template(), text, &question);
        if settings.context_in_system_prompt {
            return crate::payload::append_system(messages, &text);
        }
        match messages.last_mut().filter(|message| message["role"] == "user") {
            Some(message) => before_text(message, &text),
            None => messages.push(json!({ "role": "user", "content": text })),
        }
    }

    fn template(&self) -> String {
        let stored = self.engine.config.get(&rag::RAG_TEMPLATE);
        let text = if stored.trim().is_empty() {
            let default = rag::RAG_TEMPLATE.default_value();
            default.as_str().unwrap_or_default().to_owned()
        } else {
            stored
        };
        let context = template::Context {
            user: None,
            groups: &[],
            variables: None,
            chat_variables: None,
            clock: &self.engine.clock,
        };
        template::render(&text, &context)
    }
}

fn before_text(message: &mut Value, text: &str) {
    if let Some(existing) = message["content"].as_str() {
        message["content"] = json!(format!("{text}\n{existing}"));
        return;
    }
    if let Some(parts) = message["content"].as_array_mut() {
        let first = parts.iter_mut().find(|part| part["type"] == "text");
        match first {
            Some(part) => {
                part["text"] = json!(format!("{text}\n{}", part["text"].as_str().unwrap_or_default()))
            }
            None => parts.insert(0, json!({ "type": "text", "text": text })),
        }
    }
}

/// The sources that the chat shows: those that have a name.
pub(crate) fn shown(sources: &[Value]) -> Vec<Value> {
    let has_name = |source: &&Value| {
        let about = source
            .get("source")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let filled = |fields: &Map<String, Value>, name: &str| {
            fields
                .get(name)
                .and_then(Value::as_str)
                .is_some_and(|value| !value.is_empty())
        };
        filled(&about, "name") || filled(&about, "id")
    };
    sources.iter().filter(has_name).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_numbered_by_what_they_are() {
        let sources = [
            json!({"source": {"id": "f", "name": "birds.md", "type": "file"}, "document": ["a", "b"],
                "metadata": [{"source": "birds.md", "page": 1}, {"source": "birds.md", "secret": 2}]}),
            json!({"source": {"name": "look"}, "document": ["c"], "metadata": [{"source": "look"}]}),
        ];
        assert_eq!(
            tags(&sources, &["page".to_owned()], &mut Vec::new(), Shown::Whole),
            "<source id=\"1\" name=\"birds.md\" resource-type=\"file\" resource-id=\"f\" page=\"1\">a</source>\n\
             <source id=\"1\" name=\"birds.md\" resource-type=\"file\" resource-id=\"f\">b</source>\n\
             <source id=\"2\" name=\"look\">c</source>\n"
        );
        let mut numbers = vec!["look".to_owned()];
        assert_eq!(
            tags(&sources[1..], &[], &mut numbers, Shown::Marks),
            "<source id=\"1\" name=\"look\"></source>\n"
        );
        assert_eq!((count(&sources), count(&[])), (2, 0));
        assert_eq!(shown(&[json!({"source": {}}), sources[1].clone()]).len(), 1);
    }

    #[test]
    fn placeholders_in_the_context_stay() {
        assert_eq!(
            filled("C: {{CONTEXT}} Q: [query]", "see [query]", "why?"),
            "C: see [query] Q: why?"
        );
    }

    #[test]
    fn context_comes_before_the_question() {
        let mut message = json!({"role": "user", "content": [{"type": "text", "text": "why?"}]});
        before_text(&mut message, "context");
        assert_eq!(message["content"][0]["text"], "context\nwhy?");
    }
}
