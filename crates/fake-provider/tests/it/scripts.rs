//! Queued replies, from the library and over HTTP.

use oui_fake_provider::{Ending, Part, Plan, Reply, Script, Task, Usage};
use serde_json::{Value, json};

use crate::{Bench, chat, deltas};

async fn said(bench: &Bench, model: &str, message: &str) -> Value {
    let reply = bench
        .post_json("/v1/chat/completions", &chat(model, message, false))
        .await;
    reply["choices"][0]["message"]["content"].clone()
}

#[tokio::test]
async fn scripts_are_used_once_and_in_order() {
    let bench = Bench::new().await;
    bench.provider.script(Script::text("first"));
    bench
        .provider
        .script(Script::text("second").for_model("fake-model"));
    assert_eq!(bench.provider.queued(), 2);
    assert_eq!(said(&bench, "echo", "hello").await, "first");
    assert_eq!(said(&bench, "echo", "hello").await, "hello");
    assert_eq!(said(&bench, "fake-model", "hello").await, "second");
    assert_eq!(bench.provider.queued(), 0);
}

#[tokio::test]
async fn task_prompts_leave_scripts_of_chats_alone() {
    let bench = Bench::new().await;
    bench.provider.script(Script::text("for the chat"));
    bench
        .provider
        .script(Script::text("{\"title\":\"Mine\"}").for_task(Task::Title));
    bench
        .provider
        .script(Script::refuse(503).for_path("/v1/chat/completions"));
    let prompt = "JSON: {\"title\": \"…\"}";
    assert_eq!(said(&bench, "echo", prompt).await, "{\"title\":\"Mine\"}");
    assert_eq!(
        said(&bench, "echo", prompt).await,
        "{\"title\":\"A fixed title\"}"
    );
    assert_eq!(said(&bench, "echo", "hello").await, "for the chat");
    assert_eq!(
        bench
            .post("/v1/chat/completions", &chat("echo", "hello", false))
            .await
            .status(),
        503
    );
}

#[tokio::test]
async fn a_scripted_turn_mixes_parts() {
    let bench = Bench::new().await;
    let call = Part::ToolCall {
        name: "sum".to_owned(),
        arguments: json!({"a": 1}),
    };
    let parts = vec![
        Part::Reasoning("hm".to_owned()),
        Part::Text("calling".to_owned()),
        call,
    ];
    let usage = Some(Usage {
        prompt: 100,
        completion: 20,
        cached: 50,
        reasoning: 5,
    });
    bench.provider.script(Script::reply(Reply::Plan(Plan {
        parts,
        usage,
        ..Plan::default()
    })));
    let reply = bench
        .post_json("/v1/chat/completions", &chat("echo", "x", false))
        .await;
    let message = &reply["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("calling"), &json!("hm"))
    );
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(reply["usage"]["total_tokens"], 120);
}

#[tokio::test]
async fn any_endpoint_can_be_made_to_fail() {
    let bench = Bench::new().await;
    bench.provider.script(Script::refuse(503).for_path("/v1/models"));
    bench
        .provider
        .script(Script::json(200, &json!([])).for_path("/api/tags"));
    let failed = bench.client.get(bench.url("/v1/models")).send().await.unwrap();
    assert_eq!(failed.status(), 503);
    assert_eq!(bench.get_json("/api/tags").await, json!([]));
    assert_eq!(bench.get_json("/v1/models").await["object"], "list");
    assert_eq!(bench.provider.requests().len(), 3);
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    let bench = Bench::new().await;
    let pieces = ["data: {\"cho", "ices\":[]}\r\n\r\n"];
    bench
        .provider
        .script(Script::raw(200, "text/event-stream", pieces));
    let response = bench.post("/v1/chat/completions", &chat("echo", "x", true)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.text().await.unwrap(), pieces.concat());
}

#[tokio::test]
async fn a_scripted_stream_can_end_badly() {
    let bench = Bench::new().await;
    let plan = Plan::texts(["a", "b"]).ending(Ending::Drop);
    bench.provider.script(Script::reply(Reply::Plan(plan)));
    let response = bench.post("/v1/chat/completions", &chat("echo", "x", true)).await;
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn a_browser_can_script_and_read_over_http() {
    let bench = Bench::new().await;
    let script =
        json!({"reply": {"plan": {"parts": [{"text": "from "}, {"text": "afar"}]}}, "model": "echo"});
    assert_eq!(
        bench.post_json("/__fake/scripts", &script).await,
        json!({"queued": 1})
    );
    let events = bench.chat_stream("echo", "hello").await;
    assert_eq!(deltas(&events, "content"), ["", "from ", "afar"]);
    let requests = bench.get_json("/__fake/requests").await;
    assert_eq!(requests.as_array().unwrap().len(), 1);
    assert_eq!(requests[0]["body"]["model"], "echo");
    assert_eq!(requests[0]["headers"]["content-type"], "application/json");
    let cleared = bench
        .client
        .delete(bench.url("/__fake/requests"))
        .send()
        .await
        .unwrap();
    assert_eq!(cleared.status(), 204);
    assert_eq!(bench.get_json("/__fake/requests").await, json!([]));
    let wrong = bench.post("/__fake/scripts", &json!({"reply": 5})).await;
    assert_eq!(wrong.status(), 400);
}
