//! Tools for models that cannot call them: another model is asked beforehand which tools to call, and their results
//! stand in the conversation as sources.

use std::sync::Arc;

use oui_config::task as keys;
use oui_core::ApiResult;
use oui_plugins::call::{self, Call, Outcome};
use oui_plugins::pictures;
use oui_providers::ChatReply;
use serde_json::{Value, json};

use crate::catalogue::{Model, Models};
use crate::dispatch::dispatch;
use crate::engine::Engine;
use crate::generate::{answer_text, object_in, text_of};
use crate::tooling::Tooling;
use crate::turn::{Object, RunUser};

/// Asks which tools to call.
const PROMPT: &str = r#"You decide which tools are needed to answer a user. These are the tools there are:

{{TOOLS}}

Answer with JSON only, in this form, with one entry for each call that helps to answer, and with an empty list when none does:
{"tool_calls": [{"name": "name of the tool", "parameters": {"name of a parameter": "its value"}}]}

Use only tools of the list, and parameters that they have."#;

/// Messages before the question that the model gets to see.
const RECENT: usize = 4;

fn question(messages: &[Value]) -> String {
    let last = messages.iter().rposition(|message| message["role"] == "user");
    let query = last.map(|at| text_of(&messages[at])).unwrap_or_default();
    let before = match last {
        Some(at) if at + 1 == messages.len() => &messages[..at],
        _ => messages,
    };
    let recent = &before[before.len().saturating_sub(RECENT)..];
    let history: Vec<String> = recent
        .iter()
        .map(|message| {
            let role = message["role"].as_str().unwrap_or_default().to_uppercase();
            format!("{role}: \"\"\"{}\"\"\"", text_of(message))
        })
        .collect();
    if history.is_empty() {
        format!("Query: {query}")
    } else {
        format!("History:\n{}\nQuery: {query}", history.join("\n"))
    }
}

/// The calls in a model's answer: a list of them, or one.
fn calls(answer: &Value) -> Vec<(String, Value)> {
    let read = |call: &Value| {
        let name = call.get("name")?.as_str()?.to_owned();
        let parameters = call.get("parameters").filter(|parameters| parameters.is_object());
        Some((name, parameters.cloned().unwrap_or_else(|| json!({}))))
    };
    match answer
        .get("tool_calls")
        .and_then(Value::as_array)
        .filter(|calls| !calls.is_empty())
    {
        Some(calls) => calls.iter().filter_map(read).collect(),
        None => read(answer).into_iter().collect(),
    }
}

/// Lets another model choose, runs what it chose, and answers the sources. Whatever goes wrong, the reply is given
/// without tools.
pub(crate) async fn run(
    engine: &Engine,
    user: &RunUser,
    model: &Arc<Model>,
    models: &Models,
    tooling: &Tooling,
    messages: &[Value],
) -> Vec<Value> {
    let chosen = match choose(engine, user, model, models, tooling, messages).await {
        Ok(chosen) => chosen,
        Err(error) => {
            tracing::warn!(%error, "no model could be asked for tools");
            return Vec::new();
        }
    };
    *tooling.context.messages.lock() = json!(messages);
    let mut sources = Vec::new();
    for (name, parameters) in chosen {
        let Some(tool) = tooling.tools.get(&name) else {
            tracing::warn!(name, "a model asked for a tool that is not there");
            continue;
        };
        let mut parameters = parameters;
        if let Some(given) = parameters.as_object_mut() {
            given.retain(|name, _| tool.has_parameter(name));
        }
        let call = Call {
            id: String::new(),
            name: name.clone(),
            arguments: parameters.to_string(),
            written: None,
        };
        let mut outcome = call::run(&tooling.tools, &tooling.context, &call).await;
        pictures::keep_all(&tooling.context, &mut outcome).await;
        for file in &mut outcome.files {
            if let Some(path) = file.as_object_mut().and_then(|file| file.shift_remove("stored")) {
                file["url"] = path;
            }
        }
        show(&outcome, tooling).await;
        if !outcome.text.is_empty() {
            let shown = format!("{}/{name}", tool.id);
            sources.push(json!({
                "source": { "name": shown }, "document": [outcome.text],
                "metadata": [{ "source": shown, "parameters": parameters }], "tool_result": true,
            }));
        }
    }
    sources
}

/// Shows files and pages of a result, which stay with the message.
async fn show(outcome: &Outcome, tooling: &Tooling) {
    for (kind, items) in [("files", &outcome.files), ("embeds", &outcome.embeds)] {
        if !items.is_empty() {
            let event = json!({ "type": kind, "data": { kind: items } });
            tooling.context.reporter.relay(&event).await;
        }
    }
}

async fn choose(
    engine: &Engine,
    user: &RunUser,
    model: &Arc<Model>,
    models: &Models,
    tooling: &Tooling,
    messages: &[Value],
) -> ApiResult<Vec<(String, Value)>> {
    let configured = engine.config.get(&keys::TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE);
    let template = if configured.is_empty() {
        PROMPT
    } else {
        configured.as_str()
    };
    let specs: Vec<&Value> = tooling.tools.iter().map(|tool| &*tool.spec).collect();
    let system = template.replace("{{TOOLS}}", &json!(specs).to_string());
    let asked = engine.task_model(model, models);
    let mut body = Object::new();
    body.insert("model".into(), json!(asked.id));
    let conversation = json!([
        { "role": "system", "content": system },
        { "role": "user", "content": question(messages) },
    ]);
    body.insert("messages".into(), conversation);
    body.insert("stream".into(), json!(false));
    let mut context = user.call.clone();
    context.metadata = json!({ "task": "function_calling" });
    Ok(match dispatch(engine, &asked, body, &context).await? {
        ChatReply::Json(answer) => object_in(&answer_text(&answer))
            .map(|answer| calls(&answer))
            .unwrap_or_default(),
        ChatReply::Stream(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_stands_after_what_was_said() {
        let messages = [
            json!({"role": "user", "content": "Birds?"}),
            json!({"role": "assistant", "content": "Yes."}),
            json!({"role": "user", "content": "Which?"}),
        ];
        let asked = question(&messages);
        assert_eq!(
            asked,
            "History:\nUSER: \"\"\"Birds?\"\"\"\nASSISTANT: \"\"\"Yes.\"\"\"\nQuery: Which?"
        );
        assert_eq!(question(&messages[2..]), "Query: Which?");
    }

    #[test]
    fn answers_name_one_call_or_several() {
        let many = json!({"tool_calls": [{"name": "a", "parameters": {"x": 1}}, {"name": "b"}, {}]});
        assert_eq!(
            calls(&many),
            [("a".into(), json!({"x": 1})), ("b".into(), json!({}))]
        );
        assert_eq!(calls(&json!({"name": "a"})).len(), 1);
        assert!(calls(&json!({"tool_calls": []})).is_empty());
    }
}
