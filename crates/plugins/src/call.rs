//! Between a model's call and its result: arguments are parsed, the tool runs, what it answers becomes text,
//! pictures and embedded pages. Whatever goes wrong here is the result of this one call.

use serde_json::{Value, json};

use crate::tool::{Kind, Object, Tool, ToolContext, ToolError};
use crate::toolbox::Toolbox;

/// Characters of a result that the model gets. Longer ones would push the conversation out of any model's window.
const RESULT_LIMIT: usize = 1_000_000;

/// A call as the model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Id that the result refers to.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text of the arguments.
    pub arguments: String,
}

/// What came of a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Arguments as they were understood, for the record; `None` keeps what the model wrote.
    pub arguments: Option<String>,
    /// Text for the model.
    pub text: String,
    /// Pictures (`{type: image, url}`) and files that came with it.
    pub files: Vec<Value>,
    /// Pages to be shown in the chat.
    pub embeds: Vec<Value>,
}

impl Outcome {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// `failed` when the text tells of an error, else `completed`.
    pub fn status(&self) -> &'static str {
        if is_error(&self.text) {
            "failed"
        } else {
            "completed"
        }
    }
}

/// Reads the arguments of a call: a JSON object, or what Python writes for one. `None` when they are neither.
pub fn parse_arguments(text: &str) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(text).ok().or_else(|| python_literal(text))
}

/// The JSON of a Python literal that differs from JSON only in its quotes and names.
fn python_literal(text: &str) -> Option<Value> {
    let mut json = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            quote @ ('"' | '\'') => {
                json.push('"');
                loop {
                    match rest.next()? {
                        '\\' => match rest.next()? {
                            '\'' => json.push('\''),
                            escaped => json.extend(['\\', escaped]),
                        },
                        '"' if quote == '\'' => json.push_str("\\\""),
                        end if end == quote => break,
                        other => json.push(other),
                    }
                }
                json.push('"');
            }
            letter if letter.is_ascii_alphabetic() => {
                let mut word = String::from(letter);
                while let Some(next) = rest.next_if(char::is_ascii_alphanumeric) {
                    word.push(next);
                }
                json.push_str(match word.as_str() {
                    "True" => "true",
                    "False" => "false",
                    "None" => "null",
                    other => other,
                });
            }
            other => json.push(other),
        }
    }
    serde_json::from_str(&json).ok()
}

/// Runs one call.
pub async fn run(tools: &Toolbox, context: &ToolContext, call: &Call) -> Outcome {
    let name = &call.name;
    let Some(arguments) = parse_arguments(&call.arguments) else {
        return Outcome::text(format!(
            "Error: the arguments of `{name}` are no complete JSON. Call it again with a JSON object."
        ));
    };
    let Value::Object(arguments) = arguments else {
        return Outcome::text(format!(
            "Error: the arguments of `{name}` have to be a JSON object. Call it again with one."
        ));
    };
    let understood = Some(Value::Object(arguments.clone()).to_string());
    let Some(tool) = tools.get(name) else {
        return Outcome {
            arguments: understood,
            ..Outcome::text(format!("Error: there is no tool \"{name}\"."))
        };
    };
    let answer = perform(tool, context, arguments).await;
    Outcome {
        arguments: understood,
        ..outcome(tool.kind, answer)
    }
}

async fn perform(tool: &Tool, context: &ToolContext, mut arguments: Object) -> Value {
    arguments.retain(|name, _| tool.has_parameter(name));
    // A panic in one tool must not take the reply with it.
    let callable = std::panic::AssertUnwindSafe(tool.callable.call(context, arguments));
    match futures::FutureExt::catch_unwind(callable).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(ToolError(error))) => error,
        Err(_) => {
            tracing::error!(tool = tool.name, "a tool panicked");
            json!({ "error": "The tool failed." })
        }
    }
}

/// What the model and the chat get of an answer.
fn outcome(kind: Kind, answer: Value) -> Outcome {
    let mut outcome = Outcome::default();
    // Servers answer `[body, headers]`; a page in it is shown, not read.
    let answer = match (kind, answer) {
        (Kind::Server | Kind::Direct, Value::Array(mut pair)) if is_response(&pair) => {
            let headers = pair.pop().unwrap_or_default();
            let body = pair.pop().unwrap_or_default();
            if is_inline_page(&headers) && body.as_str().is_some_and(|page| !page.is_empty()) {
                outcome.embeds.push(body);
                json!({ "status": "success", "code": "ui_component", "message": "The page is shown to the user in the chat." })
            } else {
                body
            }
        }
        (_, answer) => answer,
    };
    let answer = take_pictures(answer, &mut outcome.files);
    let says_nothing = match &answer {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    outcome.text = shortened(match answer {
        Value::String(text) => text,
        // The server's own tools answer in JSON; of others, nothing is nothing.
        _ if says_nothing && kind != Kind::Builtin => String::new(),
        other => other.to_string(),
    });
    outcome
}

fn is_response(pair: &[Value]) -> bool {
    pair.len() == 2
        && pair[1].as_object().is_some_and(|headers| {
            headers
                .keys()
                .any(|name| name.eq_ignore_ascii_case("content-type"))
        })
}

fn header<'h>(headers: &'h Value, wanted: &str) -> &'h str {
    let mut fields = headers.as_object().into_iter().flatten();
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .and_then(|(_, value)| value.as_str())
        .unwrap_or_default()
}

fn is_inline_page(headers: &Value) -> bool {
    header(headers, "content-type").contains("text/html")
        && header(headers, "content-disposition").contains("inline")
}

/// Takes inline pictures out of an answer: models get them as pictures, not as text.
fn take_pictures(answer: Value, files: &mut Vec<Value>) -> Value {
    let is_picture = |text: &str| text.starts_with("data:image/") && text.contains(";base64,");
    match answer {
        Value::String(text) if is_picture(&text) => {
            files.push(json!({ "type": "image", "url": text }));
            json!("The picture was received.")
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    Value::String(text) if is_picture(&text) => {
                        files.push(json!({ "type": "image", "url": text }));
                    }
                    other => kept.push(other),
                }
            }
            if kept.is_empty() && !files.is_empty() {
                return json!("The picture was received.");
            }
            Value::Array(kept)
        }
        other => other,
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(RESULT_LIMIT) {
        Some((at, _)) => format!(
            "{}\n[The result was cut: it has {} bytes.]",
            &text[..at],
            text.len()
        ),
        None => text,
    }
}

/// Whether a result tells of an error: by its first words, or by the fields of its JSON.
fn is_error(text: &str) -> bool {
    let start: String = text
        .trim_start()
        .chars()
        .take(16)
        .collect::<String>()
        .to_lowercase();
    if ["error:", "exception:", "traceback", "http error!"]
        .iter()
        .any(|word| start.starts_with(word))
    {
        return true;
    }
    let mut parsed = Value::String(text.to_owned());
    while let Value::String(text) = &parsed {
        // Only objects count, so that long texts are not parsed for nothing.
        if !matches!(text.trim_start().chars().next(), Some('{' | '"')) {
            return false;
        }
        match serde_json::from_str(text) {
            Ok(inner) => parsed = inner,
            Err(_) => return false,
        }
    }
    let Value::Object(fields) = parsed else {
        return false;
    };
    let filled = |value: Option<&Value>| match value {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        _ => false,
    };
    if filled(fields.get("error")) {
        return true;
    }
    let status = fields.get("status").and_then(Value::as_str).unwrap_or_default();
    if matches!(status.trim().to_lowercase().as_str(), "error" | "failed") {
        return true;
    }
    let refused = ["success", "ok"]
        .iter()
        .any(|name| fields.get(*name) == Some(&Value::Bool(false)));
    refused && filled(fields.get("message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_json_or_python() {
        assert_eq!(parse_arguments(""), Some(json!({})));
        assert_eq!(parse_arguments("{\"a\": 1}"), Some(json!({"a": 1})));
        assert_eq!(
            parse_arguments("{'a': True, 'b': None, 'c': 'it\\'s \"x\"'}"),
            Some(json!({"a": true, "b": null, "c": "it's \"x\""}))
        );
        assert_eq!(parse_arguments("{\"a\": "), None);
        assert_eq!(parse_arguments("{'a"), None);
        assert_eq!(parse_arguments("[1]"), Some(json!([1])));
    }

    #[test]
    fn errors_are_recognised() {
        for text in [
            "Error: no",
            "{\"error\": \"no\"}",
            "{\"status\": \"failed\"}",
            "{\"ok\": false, \"message\": \"no\"}",
            "\"{\\\"error\\\": \\\"no\\\"}\"",
        ] {
            assert!(is_error(text), "{text}");
        }
        for text in [
            "fine",
            "{\"error\": \"\"}",
            "{\"ok\": false}",
            "[]",
            "{\"status\": \"success\"}",
        ] {
            assert!(!is_error(text), "{text}");
        }
    }

    #[test]
    fn answers_become_text_pictures_and_pages() {
        let plain = outcome(Kind::Builtin, json!([{"id": 1}]));
        assert_eq!(plain.text, "[{\"id\":1}]");
        assert_eq!(outcome(Kind::Builtin, json!([])).text, "[]");
        assert_eq!(outcome(Kind::Server, json!([])).text, "");
        let picture = outcome(Kind::Server, json!("data:image/png;base64,AAAA"));
        assert_eq!(picture.files[0]["url"], "data:image/png;base64,AAAA");
        let page = json!(["<p>x</p>", {"Content-Type": "text/html", "Content-Disposition": "inline"}]);
        let page = outcome(Kind::Server, page);
        assert_eq!(page.embeds, [json!("<p>x</p>")]);
        assert!(page.text.contains("ui_component"));
    }

    #[test]
    fn endless_answers_are_cut() {
        let outcome = outcome(Kind::Server, json!("é".repeat(RESULT_LIMIT + 5)));
        assert!(outcome.text.chars().count() < RESULT_LIMIT + 100);
        assert!(outcome.text.ends_with("bytes.]"));
    }
}
