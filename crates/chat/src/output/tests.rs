//! Tests of the growing reply.

use super::*;

fn chunk(delta: Value) -> Value {
    json!({ "id": "c", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn deltas(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Delta(data) => data["type"].as_str(),
            _ => None,
        })
        .collect()
}

#[test]
fn text_grows_in_one_item() {
    let mut output = Output::new(None);
    let first = output.apply(chunk(json!({"role": "assistant", "content": ""})), 1.0);
    assert!(matches!(&first[..], [Event::Response(data)] if data["id"] == "c"));
    output.apply(chunk(json!({"content": "Hel"})), 1.0);
    let events = output.apply(chunk(json!({"content": "lo "})), 1.0);
    assert!(
        matches!(&events[..], [Event::Delta(data)] if data["delta"] == "lo " && data["output_index"] == 0)
    );
    let end = output.apply(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}), 1.0);
    assert!(matches!(&end[..], [Event::Completion(_)]));
    output.end_of_stream(1.0);
    output.complete();
    assert_eq!(output.items()[0]["content"][0]["text"], "Hello");
    assert_eq!(
        (output.items()[0]["status"].as_str(), output.finish_reason()),
        (Some("completed"), Some("stop"))
    );
}

#[test]
fn reasoning_is_closed_by_text() {
    let mut output = Output::new(None);
    let events = output.apply(chunk(json!({"reasoning_content": "hm"})), 10.0);
    assert!(matches!(&events[0], Event::Response(data) if data["type"] == "response.output_item.added"));
    assert_eq!(deltas(&events), ["response.reasoning_text.delta"]);
    let events = output.apply(chunk(json!({"content": "yes"})), 13.5);
    assert!(matches!(&events[0], Event::Response(data) if data["type"] == "response.output_item.done"));
    assert_eq!(output.items()[0]["duration"], 3);
    assert_eq!(output.items()[1]["content"][0]["text"], "yes");
}

#[test]
fn tags_make_reasoning_items() {
    let mut output = Output::new(Some(Tags::default()));
    for piece in ["<thi", "nk>deep", " thought</th", "ink>an", "swer"] {
        output.apply(chunk(json!({ "content": piece })), 5.0);
    }
    output.end_of_stream(5.0);
    output.complete();
    assert_eq!(output.items().len(), 2);
    assert_eq!(output.items()[0]["type"], "reasoning");
    assert_eq!(output.items()[0]["content"][0]["text"], "deep thought");
    assert_eq!(output.items()[1]["content"][0]["text"], "answer");
}

#[test]
fn tool_calls_are_collected_over_chunks() {
    let mut output = Output::new(None);
    let call = |arguments: &str, name: Option<&str>| {
        let mut function = json!({ "arguments": arguments });
        if let Some(name) = name {
            function["name"] = json!(name);
        }
        chunk(json!({"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}))
    };
    let events = output.apply(call("{\"a\"", Some("add")), 1.0);
    assert!(matches!(&events[0], Event::Response(data) if data["item"]["name"] == "add"));
    output.apply(call(":1}", None), 1.0);
    let events = output.end_of_stream(1.0);
    assert_eq!(events.len(), 2);
    assert_eq!(output.items()[0]["arguments"], "{\"a\":1}");
    output.interrupt();
    assert_eq!(output.items()[0]["status"], "incomplete");
}

#[test]
fn rounds_do_not_touch_each_other() {
    let mut output = Output::new(None);
    output.apply(chunk(json!({"content": "Let me see."})), 1.0);
    let call =
        json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}]});
    output.apply(chunk(call.clone()), 1.0);
    output.end_of_stream(1.0);
    assert_eq!(output.take_calls()[0].name, "f");
    output
        .items_mut()
        .push(json!({"type": "function_call_output", "call_id": "c1"}));
    output.next_round();
    // Providers that number their calls anew in every round get fresh ids.
    let events = output.apply(chunk(call), 2.0);
    assert!(matches!(&events[0], Event::Response(data) if data["output_index"] == 3));
    assert_ne!(output.items()[3]["call_id"], "c1");
    output.apply(chunk(json!({"reasoning_content": "hm"})), 2.0);
    assert_eq!(output.items()[4]["type"], "reasoning");
    assert_eq!(output.round_start(), 3);
}

#[test]
fn continued_text_is_part_of_the_message() {
    let prior = vec![
        json!({"type": "message", "id": "m", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "One"}]}),
    ];
    let mut output = Output::continued(prior, None);
    output.apply(chunk(json!({"content": " two "})), 1.0);
    output.end_of_stream(1.0);
    let shown = output.to_value();
    assert_eq!(shown.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&shown[0]["id"], &shown[0]["content"][1]["text"]),
        (&json!("m"), &json!(" two "))
    );
}

#[test]
fn usage_and_errors_without_choices() {
    let mut output = Output::new(None);
    let events = output.apply(
        json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        1.0,
    );
    assert!(matches!(&events[..], [Event::Completion(data)] if data["usage"]["total_tokens"] == 3));
    let events = output.apply(json!({"error": {"message": "no"}}), 1.0);
    assert_eq!(events, [Event::Error(json!({"message": "no"}))]);
}
