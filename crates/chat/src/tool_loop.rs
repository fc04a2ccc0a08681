//! One round of tool calls in a streamed reply: calls are put on record, those that need the user's consent or answer
//! end the run for now, the others run one after another, and their results make the next request.

use futures::future::join_all;
use oui_core::ids;
use oui_models::chat_edits;
use oui_plugins::call::{self, Call, Outcome};
use oui_plugins::{ask_user, pictures, tool_search};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::payload::{self, Payload};
use crate::run::Run;
use crate::streaming::Writer;
use crate::tooling::Tooling;
use crate::turn::Object;

/// The tool whose calls run side by side, because each waits for a model.
const DELEGATE: &str = "delegate_task";

/// What a round of calls leads to.
pub(crate) enum Next {
    /// The request was completed with the results: ask the model again.
    Ask,
    /// The user has to decide first; the run ends here.
    Paused,
    /// The run was stopped.
    Stopped,
}

/// A result as an output item.
pub(crate) fn result_item(call_id: &str, outcome: &Outcome) -> Value {
    let mut parts = vec![json!({ "type": "input_text", "text": outcome.text })];
    let mut shown = Vec::new();
    for file in &outcome.files {
        let url = file["url"].as_str().unwrap_or_default();
        let is_picture = file["type"] == "image" && !url.is_empty();
        if is_picture {
            let kept = file["stored"].as_str().unwrap_or(url);
            parts.push(json!({ "type": "input_image", "image_url": kept }));
        }
        // Inline pictures are for the model; the chat shows what has an address.
        if !(is_picture && url.starts_with("data:")) {
            shown.push(file.clone());
        }
    }
    let mut item = json!({
        "type": "function_call_output", "id": ids::output_item("fco_"), "call_id": call_id,
        "output": parts, "status": outcome.status(),
    });
    if !shown.is_empty() {
        item["files"] = Value::Array(shown);
    }
    if !outcome.embeds.is_empty() {
        item["embeds"] = json!(outcome.embeds);
    }
    item
}

fn text_result(call_id: &str, text: &str, status: &str) -> Value {
    json!({
        "type": "function_call_output", "id": ids::output_item("fco_"), "call_id": call_id,
        "output": [{ "type": "input_text", "text": text }], "status": status,
    })
}

/// Some models put several argument objects into one call; each of them becomes a call of its own.
pub(crate) fn split(calls: Vec<Call>) -> Vec<Call> {
    let mut all = Vec::with_capacity(calls.len());
    for call in calls {
        let mut parts: Vec<String> = Vec::new();
        let mut rest = serde_json::Deserializer::from_str(&call.arguments).into_iter::<Value>();
        for value in rest.by_ref() {
            match value {
                Ok(value) => parts.push(value.to_string()),
                Err(_) => {
                    parts.clear();
                    break;
                }
            }
        }
        if parts.len() < 2 {
            all.push(call);
            continue;
        }
        for (index, arguments) in parts.into_iter().enumerate() {
            let id = if index == 0 {
                call.id.clone()
            } else {
                ids::output_item("call_")
            };
            all.push(Call {
                id,
                name: call.name.clone(),
                arguments,
                written: None,
            });
        }
    }
    all
}

/// Takes calls that a model made through `call_tool` for those of the tools that it means. Those that mean none are
/// answered with what is wrong.
fn dispatched(calls: Vec<Call>, tooling: &Tooling) -> (Vec<Call>, Vec<(Call, String)>) {
    let (mut meant, mut refused) = (Vec::new(), Vec::new());
    for call in calls {
        if tooling.deferred.is_empty() || call.name != tool_search::CALL {
            meant.push(call);
            continue;
        }
        match tool_search::resolve(&call.arguments, &tooling.tools) {
            Ok((name, arguments)) => meant.push(Call {
                name,
                arguments,
                written: Some((call.name, call.arguments)),
                ..call
            }),
            Err(error) => refused.push((call, format!("Error: {error}"))),
        }
    }
    (meant, refused)
}

fn refuse(items: &mut Vec<Value>, start: usize, refused: &[(Call, String)]) {
    for (call, error) in refused {
        record(items, start, std::slice::from_ref(call));
        if let Some(item) = item_of(items, &call.id) {
            item["status"] = json!("failed");
        }
        items.push(text_result(&call.id, error, "failed"));
    }
}

/// Puts the calls on record, in items that are there already or in new ones.
fn record(items: &mut Vec<Value>, start: usize, calls: &[Call]) {
    for call in calls {
        let known = items[start..]
            .iter_mut()
            .find(|item| item["type"] == "function_call" && item["call_id"] == call.id.as_str());
        match known {
            Some(item) => {
                item["name"] = json!(call.name);
                item["arguments"] = json!(call.arguments);
                if let Some((name, arguments)) = &call.written {
                    item["provider_function"] = json!({ "name": name, "arguments": arguments });
                }
            }
            None => items.push(json!({
                "type": "function_call", "id": call.id, "call_id": call.id, "name": call.name,
                "arguments": call.arguments, "status": "in_progress",
            })),
        }
    }
}

fn item_of<'i>(items: &'i mut [Value], call_id: &str) -> Option<&'i mut Value> {
    items
        .iter_mut()
        .rev()
        .find(|item| item["type"] == "function_call" && item["call_id"] == call_id)
}

/// Where the text of a result comes from.
fn cited(payload: &Payload, call: &Call, outcome: &Outcome) -> Vec<Value> {
    if !payload.model.capability("citations", true) || outcome.status() != "completed" {
        return Vec::new();
    }
    crate::citations::of(call, outcome)
}

/// Marks what waits for the user: the first call `pending`, the others `queued`.
pub(crate) fn mark_waiting(items: &mut [Value]) {
    let answered: Vec<Value> = items
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| item["call_id"].clone())
        .collect();
    let mut first = true;
    for item in items {
        let waits = item["type"] == "function_call"
            && !answered.contains(&item["call_id"])
            && item["status"] != "rejected";
        if !waits {
            continue;
        }
        if first {
            item["status"] = json!("pending");
            first = false;
        } else if matches!(item["status"].as_str(), Some("in_progress" | "completed")) {
            item["status"] = json!("queued");
        }
    }
}

/// What becomes of a question to the user.
enum Question {
    None,
    /// It is refused; the other calls run.
    Refused,
    /// It is to be asked.
    Staged,
}

/// Checks a question: it has to stand alone and be in form.
fn stage(items: &mut Vec<Value>, calls: &mut Vec<Call>) -> Question {
    if !calls.iter().any(|call| call.name == ask_user::NAME) {
        return Question::None;
    }
    let mut refusal = (calls.len() != 1).then(|| ask_user::NOT_ALONE.to_owned());
    if refusal.is_none() {
        let call = &mut calls[0];
        let arguments = call::parse_arguments(&call.arguments).unwrap_or_default();
        match ask_user::normalize(&arguments) {
            Ok(request) => {
                call.arguments = request.to_string();
                if let Some(item) = item_of(items, &call.id) {
                    item["arguments"] = json!(call.arguments);
                    item["status"] = json!("pending");
                }
                return Question::Staged;
            }
            Err(error) => refusal = Some(format!("Error: {error}")),
        }
    }
    let refusal = refusal.unwrap_or_default();
    for call in calls.iter().filter(|call| call.name == ask_user::NAME) {
        if let Some(item) = item_of(items, &call.id) {
            item["status"] = json!("completed");
        }
        items.push(text_result(&call.id, &refusal, "completed"));
    }
    calls.retain(|call| call.name != ask_user::NAME);
    Question::Refused
}

impl Run {
    /// Runs the calls of one round.
    pub(crate) async fn tool_round(
        &self,
        writer: &mut Writer<'_>,
        calls: Vec<Call>,
        payload: &mut Payload,
        cancel: &CancellationToken,
    ) -> Next {
        let (mut calls, refused) = dispatched(split(calls), &payload.tooling);
        let saved = self.turn.chat.saved().is_some();
        let question = {
            let mut output = writer.stream.output.lock();
            let start = output.round_start();
            record(output.items_mut(), start, &calls);
            refuse(output.items_mut(), start, &refused);
            stage(output.items_mut(), &mut calls)
        };
        let consent = payload.tooling.asks && !calls.is_empty();
        if saved && (matches!(question, Question::Staged) || consent) {
            return self.pause(writer, payload).await;
        }
        if matches!(question, Question::Staged) {
            let mut output = writer.stream.output.lock();
            if let Some(item) = calls
                .first()
                .and_then(|call| item_of(output.items_mut(), &call.id))
            {
                item["status"] = json!("in_progress");
            }
        }
        writer.show_round().await;
        let mut brought = Vec::new();
        let first_result = writer.stream.output.lock().items().len();
        let (delegated, others): (Vec<&Call>, Vec<&Call>) =
            calls.iter().partition(|call| call.name == DELEGATE);
        let mut rounds: Vec<Vec<&Call>> = others.into_iter().map(|call| vec![call]).collect();
        rounds.push(delegated);
        for together in rounds {
            let outcomes = join_all(together.iter().map(|call| self.perform(payload, call)));
            let outcomes = tokio::select! {
                outcomes = outcomes => outcomes,
                () = cancel.cancelled() => return Next::Stopped,
            };
            for (call, outcome) in together.into_iter().zip(outcomes) {
                brought.extend(cited(payload, call, &outcome));
                let mut output = writer.stream.output.lock();
                let items = output.items_mut();
                if let Some(item) = item_of(items, &call.id) {
                    item["status"] = json!(outcome.status());
                    if let Some(arguments) = &outcome.arguments {
                        item["arguments"] = json!(arguments);
                    }
                }
                items.push(result_item(&call.id, &outcome));
            }
        }
        // Results stand in the order of their calls.
        let place = |item: &Value| calls.iter().position(|call| item["call_id"] == call.id.as_str());
        writer.stream.output.lock().items_mut()[first_result..].sort_by_key(place);
        for source in &brought {
            let db = &self.engine.db;
            writer.emitter().source(db, source.clone()).await;
        }
        writer.show_round().await;
        payload::add_sources(&self.engine, payload, brought);
        let round: Vec<Value> = {
            let mut output = writer.stream.output.lock();
            let start = output.round_start();
            let round = output.items()[start..].to_vec();
            output.next_round();
            round
        };
        payload::append_round(payload, &round);
        self.compact_rounds(writer, payload).await;
        Next::Ask
    }

    /// Runs one call, after asking for consent where nothing is saved that could wait for it.
    pub(crate) async fn perform(&self, payload: &Payload, call: &Call) -> Outcome {
        let tooling = &payload.tooling;
        if tooling.asks && self.turn.chat.saved().is_none() && call.name != ask_user::NAME {
            let arguments = call::parse_arguments(&call.arguments).unwrap_or_default();
            let question =
                json!({ "tool_call": { "id": call.id, "name": call.name, "arguments": arguments } });
            let limit = self.engine.settings.websocket.call_timeout;
            let answer = self.emitter.ask("confirmation", question, limit).await;
            if answer != Ok(Value::Bool(true)) {
                return Outcome {
                    text: "Error: the user did not approve this call.".into(),
                    ..Outcome::default()
                };
            }
        }
        let reads = tooling
            .tools
            .get(&call.name)
            .is_some_and(|tool| tool.callable.reads_messages());
        if reads {
            let messages = payload.body.get("messages").cloned().unwrap_or_default();
            *tooling.context.messages.lock() = messages;
        }
        let mut outcome = call::run(&tooling.tools, &tooling.context, call).await;
        pictures::keep_all(&tooling.context, &mut outcome).await;
        outcome
    }

    /// Puts the reply aside until the user has decided.
    async fn pause(&self, writer: &mut Writer<'_>, payload: &Payload) -> Next {
        let output = {
            let mut output = writer.stream.output.lock();
            mark_waiting(output.items_mut());
            output.to_value()
        };
        let mut fields = Object::new();
        fields.insert("done".into(), json!(false));
        fields.insert("output".into(), output.clone());
        let meta =
            crate::tooling::waiting_meta(&payload.tooling, &self.turn, &payload.choices, &payload.params);
        fields.insert("meta".into(), Value::Object(meta));
        if let Some(chat_id) = self.turn.chat.saved() {
            let parked = chat_edits::park_reply(&self.engine.db, chat_id, &self.message_id, fields).await;
            if let Err(error) = parked {
                tracing::error!(%error, chat_id, "could not put a reply aside");
            }
        }
        self.engine.streams.close(&self.message_id);
        let shown = json!({ "output": output.clone() });
        self.emitter
            .completion("chat:completion", shown, move || output)
            .await;
        Next::Paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str, arguments: &str) -> Call {
        Call {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
            written: None,
        }
    }

    #[test]
    fn several_objects_are_several_calls() {
        let calls = split(vec![
            call("1", "f", "{\"a\":1} {\"a\":2}"),
            call("2", "g", "{\"a\": "),
            call("3", "h", ""),
        ]);
        assert_eq!(calls.len(), 4);
        assert_eq!(
            (calls[0].id.as_str(), calls[0].arguments.as_str()),
            ("1", "{\"a\":1}")
        );
        assert!(calls[1].id.starts_with("call_") && calls[1].arguments == "{\"a\":2}");
        assert_eq!(calls[2].arguments, "{\"a\": ");
    }

    #[test]
    fn the_first_open_call_is_pending() {
        let mut items = vec![
            json!({"type": "function_call", "call_id": "1", "status": "completed"}),
            json!({"type": "function_call_output", "call_id": "1"}),
            json!({"type": "function_call", "call_id": "2", "status": "completed"}),
            json!({"type": "function_call", "call_id": "3", "status": "completed"}),
        ];
        mark_waiting(&mut items);
        let status: Vec<&str> = items.iter().filter_map(|item| item["status"].as_str()).collect();
        assert_eq!(status, ["completed", "pending", "queued"]);
    }

    #[test]
    fn questions_stand_alone() {
        let question = r#"{"questions": [{"id": "a", "question": "?", "options": [{"label": "x", "description": "y"}, {"label": "z", "description": "y"}]}]}"#;
        let mut items = Vec::new();
        let mut calls = vec![call("1", "ask_user", question), call("2", "f", "{}")];
        record(&mut items, 0, &calls);
        assert!(matches!(stage(&mut items, &mut calls), Question::Refused));
        assert_eq!((calls.len(), calls[0].name.as_str()), (1, "f"));
        assert!(items[2]["output"][0]["text"].as_str().unwrap().contains("alone"));
        let mut items = Vec::new();
        let mut calls = vec![call("1", "ask_user", question)];
        record(&mut items, 0, &calls);
        assert!(matches!(stage(&mut items, &mut calls), Question::Staged));
        assert_eq!(items[0]["status"], "pending");
        assert!(items[0]["arguments"].as_str().unwrap().contains("120000"));
    }

    #[test]
    fn pictures_are_for_the_model() {
        let outcome = Outcome {
            text: "done".into(),
            files: vec![
                json!({"type": "image", "url": "data:image/png;base64,A"}),
                json!({"type": "image", "url": "/api/v1/files/1/content"}),
            ],
            ..Outcome::default()
        };
        let item = result_item("1", &outcome);
        assert_eq!(item["output"].as_array().map(Vec::len), Some(3));
        assert_eq!(item["files"].as_array().map(Vec::len), Some(1));
        assert!(item.get("embeds").is_none());
    }
}
