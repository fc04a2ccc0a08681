//! OpenAI's Responses API.

use serde_json::{Value, json};

use crate::{Bench, events};

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

#[tokio::test]
async fn a_response_is_one_object() {
    let bench = Bench::new().await;
    let reply = bench
        .post_json("/v1/responses", &json!({"model": "echo", "input": "hi you"}))
        .await;
    assert_eq!(
        (&reply["id"], &reply["object"], &reply["status"]),
        (&json!("resp_000001"), &json!("response"), &json!("completed"))
    );
    assert_eq!(
        reply["output"],
        json!([{"id": "msg_000001_0", "type": "message", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "annotations": [], "logprobs": [], "text": "hi you"}
        ]}])
    );
    assert_eq!(reply["usage"]["total_tokens"], 4);
}

#[tokio::test]
async fn events_are_named_and_numbered() {
    let bench = Bench::new().await;
    let body = json!({"model": "reasoner", "input": [{"role": "user", "content": "why?"}], "stream": true});
    let text = bench.post("/v1/responses", &body).await.text().await.unwrap();
    assert!(
        text.starts_with(
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,"
        )
    );
    assert!(text.ends_with("}\n\n") && !text.contains("[DONE]"));
    let events = events(&text);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let delta = |kind: &str| -> String {
        let of_kind = events.iter().filter(|event| event["type"] == kind);
        of_kind.filter_map(|event| event["delta"].as_str()).collect()
    };
    assert_eq!(
        delta("response.reasoning_summary_text.delta"),
        "Considering the question."
    );
    assert_eq!(delta("response.output_text.delta"), "The answer is 42.");
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        (&output[0]["type"], &output[1]["type"]),
        (&json!("reasoning"), &json!("message"))
    );
}

#[tokio::test]
async fn a_function_is_called_and_its_output_repeated() {
    let bench = Bench::new().await;
    let mut body = json!({
        "model": "tools", "stream": true, "tools": [{"type": "function", "name": "sum", "parameters": {}}],
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "{\"x\": 1}"}]}],
    });
    let streamed = events(&bench.post("/v1/responses", &body).await.text().await.unwrap());
    let item = &streamed.last().unwrap()["response"]["output"][0];
    assert_eq!(item["type"], "function_call");
    assert_eq!(
        (&item["name"], &item["arguments"]),
        (&json!("sum"), &json!("{\"x\":1}"))
    );
    assert!(kinds(&streamed).contains(&"response.function_call_arguments.done"));
    let input = body["input"].as_array_mut().unwrap();
    input.push(item.clone());
    input.push(json!({"type": "function_call_output", "call_id": item["call_id"], "output": "one"}));
    let answered = events(&bench.post("/v1/responses", &body).await.text().await.unwrap());
    assert_eq!(
        answered.last().unwrap()["response"]["output"][0]["content"][0]["text"],
        "one"
    );
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_a_failed_response() {
    let bench = Bench::new().await;
    let body = json!({"model": "error-midstream", "input": "x", "stream": true});
    let streamed = events(&bench.post("/v1/responses", &body).await.text().await.unwrap());
    let last = streamed.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
}
