//! Which tools the `tools` models call, and with what: read from the last user message.

use serde_json::{Value, json};

use crate::{catalogue::Behaviour, conversation::Conversation, plan::Part, text};

/// The calls that a message asks for, given the offered tools (at least one).
pub(crate) fn calls(parallel: bool, conversation: &Conversation) -> Vec<Part> {
    let offered = &conversation.tools;
    let explicit = explicit_calls(&conversation.last_user, offered);
    if !explicit.is_empty() {
        return explicit
            .into_iter()
            .map(|(name, arguments)| Part::ToolCall { name, arguments })
            .collect();
    }
    let arguments = last_object(&conversation.last_user).unwrap_or_else(|| json!({}));
    let wanted = if parallel { 2 } else { 1 };
    offered
        .iter()
        .cycle()
        .take(wanted)
        .map(|name| Part::ToolCall {
            name: name.clone(),
            arguments: arguments.clone(),
        })
        .collect()
}

/// The answer to a prompt that lists tools in the system message and asks for a choice of them:
/// as [`calls`] for a model that calls tools, none for every other.
pub(crate) fn choice(behaviour: Behaviour, conversation: &Conversation) -> Vec<Value> {
    let Behaviour::Tools { parallel } = behaviour else {
        return Vec::new();
    };
    let tools = listed_tools(&conversation.system);
    if tools.is_empty() {
        return Vec::new();
    }
    let asked = Conversation {
        tools,
        last_user: conversation.last_user.clone(),
        ..Conversation::default()
    };
    calls(parallel, &asked)
        .into_iter()
        .filter_map(|part| match part {
            Part::ToolCall { name, arguments } => Some(json!({"name": name, "parameters": arguments})),
            _ => None,
        })
        .collect()
}

/// `{"name": …, "arguments": {…}}` of an offered tool, or an array of such objects.
fn explicit_calls(message: &str, offered: &[String]) -> Vec<(String, Value)> {
    let read = |value: &Value| {
        let name = value["name"].as_str()?;
        let known = offered.iter().any(|tool| tool == name) && value["arguments"].is_object();
        known.then(|| (name.to_owned(), value["arguments"].clone()))
    };
    match text::json_values(message).last() {
        Some(Value::Array(list)) => list.iter().filter_map(read).collect(),
        Some(value) => read(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn last_object(message: &str) -> Option<Value> {
    text::json_values(message).into_iter().rfind(Value::is_object)
}

/// The names in the first JSON array of a text whose elements have names.
fn listed_tools(text: &str) -> Vec<String> {
    let names = |value: &Value| -> Vec<String> {
        let tools = value.as_array().into_iter().flatten();
        tools
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
            .collect()
    };
    text::json_values(text)
        .iter()
        .map(names)
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(last_user: &str, tools: &[&str]) -> Conversation {
        Conversation {
            last_user: last_user.to_owned(),
            tools: tools.iter().map(|&name| name.to_owned()).collect(),
            ..Conversation::default()
        }
    }

    fn call(name: &str, arguments: Value) -> Part {
        Part::ToolCall {
            name: name.to_owned(),
            arguments,
        }
    }

    #[test]
    fn the_first_tool_is_called_with_the_object_in_the_message() {
        assert_eq!(calls(false, &asked("hello", &["a", "b"])), [call("a", json!({}))]);
        assert_eq!(
            calls(false, &asked("please {\"x\": 1}", &["a", "b"])),
            [call("a", json!({"x": 1}))]
        );
    }

    #[test]
    fn a_message_can_name_the_tool() {
        let message = r#"{"name": "b", "arguments": {"x": 1}}"#;
        assert_eq!(
            calls(false, &asked(message, &["a", "b"])),
            [call("b", json!({"x": 1}))]
        );
        assert_eq!(
            calls(false, &asked(message, &["a"])),
            [call("a", json!({"name": "b", "arguments": {"x": 1}}))]
        );
    }

    #[test]
    fn parallel_calls_take_two_tools_or_the_listed_ones() {
        let twice = calls(true, &asked("{\"x\": 1}", &["a"]));
        assert_eq!(twice, [call("a", json!({"x": 1})), call("a", json!({"x": 1}))]);
        let listed = r#"[{"name": "b", "arguments": {}}, {"name": "a", "arguments": {"y": 2}}]"#;
        assert_eq!(
            calls(true, &asked(listed, &["a", "b"])),
            [call("b", json!({})), call("a", json!({"y": 2}))]
        );
    }

    #[test]
    fn a_choice_is_made_from_the_tools_listed_in_the_system_message() {
        let conversation = Conversation {
            system: r#"Tools: [{"name": "sum", "parameters": {}}] Answer {"tool_calls": []}"#.to_owned(),
            last_user: "Query: {\"x\": 1}".to_owned(),
            ..Conversation::default()
        };
        assert_eq!(
            choice(Behaviour::Tools { parallel: false }, &conversation),
            [json!({"name": "sum", "parameters": {"x": 1}})]
        );
        assert!(choice(Behaviour::Fixed, &conversation).is_empty());
    }
}
