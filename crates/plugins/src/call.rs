//! Between a model's call and its result: arguments are parsed, the tool runs, what it answers becomes text,
//! pictures and embedded pages. Whatever goes wrong here is the result of this one call.

use oui_core::boxed;
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
    /// Name and arguments that the model wrote, where it called the tool through another one.
    pub written: Option<(String, String)>,
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
#[boxed]
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
            ..Outcome::text(format!("Error: Tool \"{name}\" not found."))
        };
    };
    let answer = perform(tool, context, arguments).await;
    Outcome {
        arguments: understood,
        ..outcome(tool.kind, name, answer)
    }
}

async fn perform(tool: &Tool, context: &ToolContext, mut arguments: Object) -> Value {
    // MCP servers look at their arguments themselves.
    if tool.kind != Kind::Mcp {
        arguments.retain(|name, _| tool.has_parameter(name));
    }
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
fn outcome(kind: Kind, name: &str, answer: Value) -> Outcome {
    let mut outcome = Outcome::default();
    if kind == Kind::Builtin {
        let answer = take_pictures(answer, &mut outcome.files);
        outcome.text = shortened(match answer {
            Value::String(text) => text,
            other => other.to_string(),
        });
        return outcome;
    }
    let answer = match kind {
        // Servers answer `[body, headers]`; a page in it is shown, not read.
        Kind::Server | Kind::Direct => unpacked(answer, &mut outcome.embeds),
        Kind::Python => of_python(answer, &mut outcome.embeds),
        Kind::Mcp => of_mcp(answer, &mut outcome.files),
        Kind::Builtin => answer,
    };
    let answer = match answer {
        Value::String(text) if text.starts_with("data:image/") => {
            outcome.files.push(json!({ "type": "image", "url": text }));
            json!(format!("{name}: the picture was received."))
        }
        Value::Array(items) if kind != Kind::Mcp => {
            let (data, rest) = items.into_iter().partition::<Vec<Value>, _>(is_data);
            let data = data.into_iter();
            outcome
                .files
                .extend(data.map(|content| json!({ "type": "data", "content": content })));
            Value::Array(rest)
        }
        other => other,
    };
    let answer = match take_pictures(answer, &mut outcome.files) {
        Value::Array(items) => json!({ "results": items }),
        other => other,
    };
    outcome.text = shortened(written(&answer));
    outcome
}

/// A value as Python writes it: objects as indented JSON, the rest as its text.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// What the model reads in place of a page that is shown in the chat: the tool's own words, if it has any.
fn shown(status: u64, context: Option<Value>) -> Value {
    let context = context.filter(|context| context.is_string() || context.is_object() || context.is_array());
    match (status, context) {
        (200..300, Some(context)) => context,
        (200..300, None) => {
            json!({ "status": "success", "code": "ui_component", "message": "The page is shown to the user in the chat." })
        }
        _ => {
            let message = format!("The page has the status {status}.");
            json!({ "status": "error", "code": "ui_component", "message": message })
        }
    }
}

/// The body of a server's answer; pages and addresses that are to be shown go to the chat.
fn unpacked(answer: Value, embeds: &mut Vec<Value>) -> Value {
    let (mut body, headers) = match answer {
        Value::Array(pair) if is_response(&pair) => {
            let mut pair = pair.into_iter();
            (pair.next().unwrap_or_default(), pair.next().unwrap_or_default())
        }
        other => return other,
    };
    if !header(&headers, "content-disposition").contains("inline") {
        return body;
    }
    let pair = body.as_array_mut().filter(|pair| pair.len() == 2);
    let (page, context) = match pair {
        Some(pair) => (pair[0].take(), Some(pair[1].take())),
        None => (body.clone(), None),
    };
    let location = header(&headers, "location");
    if header(&headers, "content-type").contains("text/html") {
        embeds.push(page);
        shown(200, context)
    } else if !location.is_empty() {
        embeds.push(json!(location));
        shown(200, context)
    } else {
        body
    }
}

/// What a method of a workspace tool answered, see the plugin host.
fn of_python(mut answer: Value, embeds: &mut Vec<Value>) -> Value {
    match answer["kind"].as_str() {
        Some("html") => {
            let body = answer["body"].take();
            if !header(&answer["headers"], "content-disposition").contains("inline") {
                return body;
            }
            embeds.push(body);
            let context = answer.get_mut("context").map(Value::take);
            shown(answer["status"].as_u64().unwrap_or(200), context)
        }
        // Of several values the model gets the first, as JSON.
        Some("tuple") => {
            let first = answer["value"].get_mut(0).map(Value::take);
            json!(
                first
                    .map(|first| serde_json::to_string_pretty(&first).unwrap_or_default())
                    .unwrap_or_default()
            )
        }
        Some("response") => answer["body"].take(),
        Some(_) => answer["value"].take(),
        // An error, which has no kind.
        None => answer,
    }
}

/// What an action answers, with the pages taken out that are to be shown in the chat.
pub fn shown_pages(answer: Value) -> (Value, Vec<Value>) {
    let mut pages = Vec::new();
    let is_pair = answer["kind"] == "tuple";
    let answer = if is_pair {
        unpacked(answer["value"].clone(), &mut pages)
    } else {
        of_python(answer, &mut pages)
    };
    if pages.is_empty() {
        return (answer, pages);
    }
    (json!(written(&answer)), pages)
}

/// What an MCP server answered: one text stands for itself, several make a list.
fn of_mcp(mut answer: Value, files: &mut Vec<Value>) -> Value {
    let Value::Array(mut texts) = answer["texts"].take() else {
        return answer;
    };
    if let Value::Array(more) = answer["files"].take() {
        files.extend(more);
    }
    if texts.len() == 1 {
        return texts.swap_remove(0);
    }
    Value::Array(texts)
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

fn is_picture(text: &str) -> bool {
    let rest = text
        .get(..11)
        .filter(|start| start.eq_ignore_ascii_case("data:image/"))
        .and_then(|_| text[11..].split_once(";base64,"));
    rest.is_some_and(|(kind, data)| {
        !kind.is_empty()
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
            && !data.is_empty()
            && data
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    })
}

/// Whether it is a file in a text that is no picture.
fn is_data(item: &Value) -> bool {
    item.as_str()
        .is_some_and(|text| text.starts_with("data:") && !is_picture(text))
}

/// Takes inline pictures out of an answer, wherever they stand: models get them as pictures, not as text.
fn take_pictures(answer: Value, files: &mut Vec<Value>) -> Value {
    match answer {
        Value::String(text) if is_picture(&text) => {
            files.push(json!({ "type": "image", "url": text }));
            json!("[image]")
        }
        Value::Array(items) => items.into_iter().map(|item| take_pictures(item, files)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            Value::Object(
                fields
                    .map(|(name, item)| (name, take_pictures(item, files)))
                    .collect(),
            )
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
        let outcome = |kind, answer| super::outcome(kind, "look", answer);
        let plain = outcome(Kind::Builtin, json!([{"id": 1}]));
        assert_eq!(plain.text, "[{\"id\":1}]");
        assert_eq!(outcome(Kind::Builtin, json!([])).text, "[]");
        assert_eq!(outcome(Kind::Server, json!([])).text, "{\n  \"results\": []\n}");
        assert_eq!(
            outcome(Kind::Server, json!({"a": "é"})).text,
            "{\n  \"a\": \"é\"\n}"
        );
        let picture = outcome(Kind::Server, json!("data:image/png;base64,AAAA"));
        assert_eq!(picture.files[0]["url"], "data:image/png;base64,AAAA");
        let deep = outcome(
            Kind::Server,
            json!([{"a": "data:image/png;base64,AAAA"}, "data:text/plain;base64,AA"]),
        );
        assert_eq!(deep.files.len(), 2);
        assert!(deep.text.contains("\"a\": \"[image]\"") && !deep.text.contains("text/plain"));
        let page = json!(["<p>x</p>", {"Content-Type": "text/html", "Content-Disposition": "inline"}]);
        let page = outcome(Kind::Server, page);
        assert_eq!(page.embeds, [json!("<p>x</p>")]);
        assert!(page.text.contains("ui_component"));
        let place = json!([{}, {"Content-Type": "text/plain", "Content-Disposition": "inline", "location": "https://a"}]);
        assert_eq!(outcome(Kind::Server, place).embeds, [json!("https://a")]);
    }

    #[test]
    fn answers_of_python_have_kinds() {
        let outcome = |answer| super::outcome(Kind::Python, "look", answer);
        assert_eq!(outcome(json!({"kind": "value", "value": true})).text, "True");
        assert_eq!(outcome(json!({"kind": "value", "value": null})).text, "");
        assert_eq!(outcome(json!({"kind": "tuple", "value": ["a", 1]})).text, "\"a\"");
        let failed = outcome(json!({"error": "no"}));
        assert_eq!(
            (failed.text.as_str(), failed.status()),
            ("{\n  \"error\": \"no\"\n}", "failed")
        );
        let page = json!({"kind": "html", "body": "<p>", "headers": {"content-disposition": "inline"}, "status": 200});
        let mut told = page.clone();
        told["context"] = json!({"about": 1});
        assert_eq!(outcome(told).text, "{\n  \"about\": 1\n}");
        let mut wrong = page;
        wrong["status"] = json!(500);
        assert_eq!(
            (outcome(wrong.clone()).status(), outcome(wrong).embeds.len()),
            ("failed", 1)
        );
        let read = json!({"kind": "html", "body": "<p>", "headers": {}, "status": 200});
        assert_eq!(
            (outcome(read.clone()).text.as_str(), outcome(read).embeds.len()),
            ("<p>", 0)
        );
    }

    #[test]
    fn endless_answers_are_cut() {
        let outcome = outcome(Kind::Server, "look", json!("é".repeat(RESULT_LIMIT + 5)));
        assert!(outcome.text.chars().count() < RESULT_LIMIT + 100);
        assert!(outcome.text.ends_with("bytes.]"));
    }
}
