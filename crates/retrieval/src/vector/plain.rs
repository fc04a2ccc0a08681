//! Metadata as stores keep it: texts, numbers and truth values. Lists and objects become texts as the reference
//! forms them, large parts that document readers add are left out.

use oui_providers::python_repr;
use serde_json::Value;

use super::Metadata;

/// Parts that repeat the text itself.
const LEFT_OUT: &[&str] = &[
    "content",
    "pages",
    "tables",
    "paragraphs",
    "sections",
    "figures",
    "documents",
    "keyValuePairs",
    "styles",
    "languages",
];

/// The metadata in the form that is kept. Lists and objects that would be longer than `longest` characters are left
/// out.
pub fn plain(metadata: &Metadata, longest: Option<usize>) -> Metadata {
    let mut kept = Metadata::new();
    for (name, value) in metadata {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let value = match value {
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                let text = python_repr(value);
                if longest.is_some_and(|longest| text.chars().count() > longest) {
                    continue;
                }
                Value::String(text.replace('\0', ""))
            }
            Value::String(text) => Value::String(text.replace('\0', "")),
            other => other.clone(),
        };
        kept.insert(name.clone(), value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_values_become_texts() {
        let metadata = json!({
            "name": "a\0b", "page": 3, "gone": null, "content": "the whole text",
            "embedding_config": {"engine": "", "model": "m"}, "headings": ["A", "B"],
        });
        let kept = plain(metadata.as_object().unwrap(), Some(20));
        assert_eq!(
            Value::Object(kept),
            json!({"name": "ab", "page": 3, "headings": "['A', 'B']"})
        );
        let kept = plain(metadata.as_object().unwrap(), None);
        assert_eq!(kept["embedding_config"], "{'engine': '', 'model': 'm'}");
    }
}
