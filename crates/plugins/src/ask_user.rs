//! Questions of a model to the user: brought into the form that the client shows, and the rule that they stand
//! alone in a turn.

use serde_json::{Value, json};

/// Name of the tool.
pub const NAME: &str = "ask_user";

/// Why a question cannot run beside other calls.
pub const NOT_ALONE: &str =
    "Error: ask_user did not run because other tools were called with it. Call it alone.";

fn cut(value: Option<&Value>, length: usize) -> String {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null | Value::Bool(false)) => String::new(),
        Some(other) => other.to_string(),
    };
    text.trim().chars().take(length).collect()
}

fn truthy(value: Option<&Value>, default: bool) -> bool {
    match value {
        None => default,
        Some(Value::Bool(on)) => *on,
        Some(Value::Null) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
    }
}

/// Brings the arguments of a call into the form that the client shows: `{questions, allow_other, timeout_ms}`.
/// The error is for the model.
pub fn normalize(arguments: &Value) -> Result<Value, String> {
    let questions = arguments
        .get("questions")
        .and_then(Value::as_array)
        .ok_or("ask_user needs a list of questions.")?;
    if !(1..=3).contains(&questions.len()) {
        return Err("ask_user takes one to three questions.".into());
    }
    let allow_other = truthy(arguments.get("allow_other"), true);
    let mut seen: Vec<String> = Vec::new();
    let mut asked = Vec::with_capacity(questions.len());
    for (index, question) in questions.iter().enumerate() {
        if !question.is_object() {
            return Err("Each question has to be an object.".into());
        }
        let id = cut(question.get("id"), 64);
        if id.is_empty() {
            return Err("Each question needs an id.".into());
        }
        if seen.contains(&id) {
            return Err(format!("Two questions have the id {id}."));
        }
        seen.push(id.clone());
        let text = cut(question.get("question"), 500);
        if text.is_empty() {
            return Err("Each question needs a text.".into());
        }
        let header = Some(cut(question.get("header"), 48)).filter(|header| !header.is_empty());
        asked.push(json!({
            "id": id,
            "header": header.unwrap_or_else(|| format!("Question {}", index + 1)),
            "question": text,
            "options": options(question)?,
            "allow_other": truthy(question.get("allow_other"), allow_other),
        }));
    }
    let timeout = arguments
        .get("timeout_ms")
        .and_then(Value::as_i64)
        .filter(|timeout| (60_000..=240_000).contains(timeout))
        .unwrap_or(120_000);
    Ok(json!({ "questions": asked, "allow_other": allow_other, "timeout_ms": timeout }))
}

fn options(question: &Value) -> Result<Vec<Value>, String> {
    let given = question.get("options").and_then(Value::as_array);
    let given = given
        .filter(|options| (2..=3).contains(&options.len()))
        .ok_or("Each question needs two or three options.")?;
    let option = |option: &Value| {
        let (label, description) = (cut(option.get("label"), 80), cut(option.get("description"), 240));
        if label.is_empty() || description.is_empty() {
            return Err("Each option needs a label and a description.".to_owned());
        }
        Ok(json!({ "label": label, "description": description }))
    };
    given.iter().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str) -> Value {
        json!({"id": id, "question": "Which?", "options": [
            {"label": "A", "description": "first"}, {"label": "B", "description": "second", "more": 1},
        ]})
    }

    #[test]
    fn questions_are_brought_into_form() {
        let asked = normalize(&json!({"questions": [question("which")], "timeout_ms": 5})).unwrap();
        assert_eq!(
            asked,
            json!({"questions": [{"id": "which", "header": "Question 1", "question": "Which?", "options": [
                {"label": "A", "description": "first"}, {"label": "B", "description": "second"},
            ], "allow_other": true}], "allow_other": true, "timeout_ms": 120_000})
        );
    }

    #[test]
    fn bad_questions_are_refused() {
        for (bad, word) in [
            (json!({}), "list"),
            (json!({"questions": []}), "one to three"),
            (json!({"questions": [question("a"), question("a")]}), "id a"),
            (
                json!({"questions": [{"id": "a", "question": "?", "options": []}]}),
                "options",
            ),
            (json!({"questions": [1]}), "object"),
        ] {
            assert!(normalize(&bad).unwrap_err().contains(word), "{bad}");
        }
    }
}
