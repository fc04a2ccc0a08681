//! Where the results of tools that read documents come from, as the chat shows it beside a reply.

use oui_plugins::call::Outcome;
use serde_json::{Map, Value, json};

/// Sources of a result; none for tools that read no documents.
pub(crate) fn of(tool: &str, outcome: &Outcome) -> Vec<Value> {
    let Ok(result) = serde_json::from_str::<Value>(&outcome.text) else {
        return Vec::new();
    };
    match tool {
        "view_file" | "view_knowledge_file" => of_file(&result).into_iter().collect(),
        "query_knowledge_files" => of_passages(&result),
        _ => Vec::new(),
    }
}

fn of_file(result: &Value) -> Option<Value> {
    let id = result.get("id")?.as_str()?;
    let name = result
        .get("filename")
        .and_then(Value::as_str)
        .unwrap_or("Unknown File");
    let mut metadata = json!({ "file_id": id, "name": name, "source": name });
    for field in ["knowledge_id", "knowledge_name"] {
        if let Some(value) = result.get(field) {
            metadata[field] = value.clone();
        }
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
        let (id, name) = (
            if text("file_id").is_empty() {
                text("note_id")
            } else {
                text("file_id")
            },
            text("source"),
        );
        let key = if id.is_empty() { name } else { id };
        let kind = if text("note_id").is_empty() {
            "file"
        } else {
            "note"
        };
        let source = sources.entry(key.to_owned()).or_insert_with(
            || json!({ "source": { "id": key, "name": name, "type": kind }, "document": [], "metadata": [] }),
        );
        let mut metadata = json!({ "name": name, "source": name });
        if !text("file_id").is_empty() {
            metadata["file_id"] = json!(id);
        }
        if let Some(list) = source["document"].as_array_mut() {
            list.push(json!(text("content")));
        }
        if let Some(list) = source["metadata"].as_array_mut() {
            list.push(metadata);
        }
    }
    sources.into_iter().map(|(_, source)| source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: Value) -> Outcome {
        Outcome {
            text: text.to_string(),
            ..Outcome::default()
        }
    }

    #[test]
    fn documents_are_told_once_with_their_passages() {
        let passages = json!([
            {"content": "a", "source": "birds.md", "file_id": "1"},
            {"content": "b", "source": "fish.md", "file_id": "2"},
            {"content": "c", "source": "birds.md", "file_id": "1"},
        ]);
        let sources = of("query_knowledge_files", &outcome(passages));
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0]["document"], json!(["a", "c"]));
        let file = of(
            "view_file",
            &outcome(json!({"id": "1", "filename": "birds.md", "content": "a"})),
        );
        assert_eq!(file[0]["source"]["name"], "birds.md");
        assert!(of("search_notes", &outcome(json!([]))).is_empty());
    }
}
