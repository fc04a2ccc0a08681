//! Where the results of tools that read documents come from, as the chat shows it beside a reply.

use oui_plugins::call::{Call, Outcome};
use serde_json::{Map, Value, json};

use crate::turn::truthy;

/// Characters of a page that are shown.
const EXCERPT: usize = 500;

/// Sources of a result; none for tools that read no documents.
pub(crate) fn of(call: &Call, outcome: &Outcome) -> Vec<Value> {
    let result = serde_json::from_str::<Value>(&outcome.text).unwrap_or_default();
    if result.get("error").is_some() {
        return Vec::new();
    }
    match call.name.as_str() {
        "view_file" | "view_knowledge_file" => of_file(&result).into_iter().collect(),
        "query_knowledge_files" | "query_chat_files" => of_passages(&result),
        "fetch_url" if !outcome.text.is_empty() => vec![of_page(call, &outcome.text)],
        _ => Vec::new(),
    }
}

fn of_page(call: &Call, text: &str) -> Value {
    let arguments = oui_plugins::call::parse_arguments(&call.arguments).unwrap_or_default();
    let address = arguments.get("url").and_then(Value::as_str).unwrap_or_default();
    let name = if address.is_empty() { "fetch_url" } else { address };
    let excerpt = match text.char_indices().nth(EXCERPT) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    };
    json!({
        "source": { "name": name, "id": name }, "document": [excerpt],
        "metadata": [{ "source": address, "name": address, "url": address }],
    })
}

fn of_file(result: &Value) -> Option<Value> {
    let id = result.get("id")?.as_str()?;
    let name = result
        .get("filename")
        .and_then(Value::as_str)
        .unwrap_or("Unknown File");
    let mut metadata = json!({ "file_id": id, "name": name, "source": name });
    let knowledge = result.get("knowledge_name").filter(|name| truthy(name));
    if let Some(knowledge) = knowledge {
        metadata["knowledge_name"] = knowledge.clone();
    }
    Some(json!({
        "source": { "id": id, "name": name, "type": "file" },
        "document": [result.get("content")],
        "metadata": [metadata],
    }))
}

/// One source for each document, with all of its passages.
fn of_passages(result: &Value) -> Vec<Value> {
    let mut sources: Map<String, Value> = Map::new();
    for passage in result.as_array().into_iter().flatten() {
        let text = |name: &str| passage.get(name).and_then(Value::as_str).unwrap_or_default();
        let (file, note) = (text("file_id"), text("note_id"));
        let id = if file.is_empty() { note } else { file };
        let name = passage.get("source").and_then(Value::as_str).unwrap_or("Unknown");
        let kind = passage.get("type").and_then(Value::as_str).unwrap_or("file");
        let key = if id.is_empty() { name } else { id };
        let source = sources.entry(key.to_owned()).or_insert_with(|| {
            json!({
                "source": { "id": id, "name": name, "type": kind }, "document": [], "metadata": [], "distances": [],
            })
        });
        let mut metadata = json!({ "file_id": file, "name": name, "source": name });
        if !note.is_empty() {
            metadata["note_id"] = json!(note);
        }
        let mut add = |name: &str, value: Value| {
            if let Some(list) = source[name].as_array_mut() {
                list.push(value);
            }
        };
        add("document", json!(text("content")));
        add("metadata", metadata);
        if let Some(distance) = passage.get("distance") {
            add("distances", distance.clone());
        }
    }
    sources.into_iter().map(|(_, source)| source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        Call {
            id: "1".into(),
            name: name.into(),
            arguments: r#"{"url": "https://example.com"}"#.into(),
            written: None,
        }
    }

    fn outcome(text: &str) -> Outcome {
        Outcome {
            text: text.to_owned(),
            ..Outcome::default()
        }
    }

    #[test]
    fn documents_are_told_once_with_their_passages() {
        let passages = json!([
            {"content": "a", "source": "birds.md", "file_id": "1", "distance": 0.5},
            {"content": "b", "source": "fish.md", "file_id": "2"},
            {"content": "c", "source": "birds.md", "file_id": "1", "distance": 0.25},
        ]);
        let sources = of(&call("query_knowledge_files"), &outcome(&passages.to_string()));
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0]["document"], json!(["a", "c"]));
        assert_eq!(sources[0]["distances"], json!([0.5, 0.25]));
        let text = json!({"id": "1", "filename": "birds.md", "content": "a"}).to_string();
        assert_eq!(
            of(&call("view_file"), &outcome(&text))[0]["source"]["name"],
            "birds.md"
        );
        assert!(of(&call("search_notes"), &outcome("[]")).is_empty());
    }

    #[test]
    fn pages_are_shown_by_their_beginning() {
        let long = "ä".repeat(600);
        let source = &of(&call("fetch_url"), &outcome(&long))[0];
        assert_eq!(source["source"]["id"], "https://example.com");
        assert_eq!(source["document"][0].as_str().unwrap().chars().count(), 503);
        assert!(of(&call("fetch_url"), &outcome(r#"{"error": "no"}"#)).is_empty());
    }
}
