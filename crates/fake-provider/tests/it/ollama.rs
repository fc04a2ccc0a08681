//! Ollama's chat, generate and embedding endpoints.

use serde_json::{Value, json};

use crate::{Bench, chat, lines};

#[tokio::test]
async fn a_chat_streams_lines_unless_told_not_to() {
    let bench = Bench::new().await;
    let mut body = chat("echo:latest", "hi you", true);
    body.as_object_mut().unwrap().remove("stream");
    let response = bench.post("/api/chat", &body).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"model":"echo:latest","created_at":"2023-11-14T22:13:20Z","message":{"role":"assistant","content":"hi"},"done":false}"#
    );
    let lines = lines(&text);
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[2]["done"], &lines[2]["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(
        (&lines[2]["prompt_eval_count"], &lines[2]["eval_count"]),
        (&json!(2), &json!(2))
    );

    let whole = bench.post_json("/api/chat", &chat("echo", "hi you", false)).await;
    assert_eq!(
        whole["message"],
        json!({"role": "assistant", "content": "hi you"})
    );
}

#[tokio::test]
async fn thinking_and_tools_have_their_fields() {
    let bench = Bench::new().await;
    let thinking = bench
        .post_json("/api/chat", &chat("reasoner", "why?", false))
        .await;
    assert_eq!(thinking["message"]["thinking"], "Considering the question.");
    let mut body = chat("tools", "{\"x\": 1}", false);
    body["tools"] = json!([{"type": "function", "function": {"name": "sum"}}]);
    let called = bench.post_json("/api/chat", &body).await;
    assert_eq!(
        called["message"]["tool_calls"][0]["function"]["arguments"],
        json!({"x": 1})
    );
    body["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": ""}),
        json!({"role": "tool", "content": "three"}),
    ]);
    let answered = bench.post_json("/api/chat", &body).await;
    assert_eq!(answered["message"]["content"], "three");
}

#[tokio::test]
async fn generate_answers_a_prompt() {
    let bench = Bench::new().await;
    let body = json!({"model": "echo", "prompt": "one two", "stream": false});
    let whole = bench.post_json("/api/generate", &body).await;
    assert_eq!(whole["response"], "one two");
    let body = json!({"model": "echo", "prompt": "one two"});
    let streamed = lines(&bench.post("/api/generate", &body).await.text().await.unwrap());
    let said: Vec<&str> = streamed
        .iter()
        .filter_map(|line| line["response"].as_str())
        .collect();
    assert_eq!(said, ["one", " two", ""]);
}

#[tokio::test]
async fn models_are_loaded_by_use_and_unloaded_by_keep_alive() {
    let bench = Bench::new().await;
    assert_eq!(bench.get_json("/api/ps").await, json!({"models": []}));
    let loaded = bench.post_json("/api/generate", &json!({"model": "echo"})).await;
    assert_eq!(loaded["done_reason"], "load");
    let list = bench.get_json("/api/ps").await;
    assert_eq!(list["models"][0]["model"], "echo:latest");
    assert_eq!(list["models"][0]["expires_at"], "2099-01-01T00:00:00Z");
    let body = json!({"model": "echo:latest", "keep_alive": 0, "prompt": ""});
    assert_eq!(
        bench.post_json("/api/generate", &body).await["done_reason"],
        "unload"
    );
    assert_eq!(bench.get_json("/api/ps").await, json!({"models": []}));
}

#[tokio::test]
async fn unknown_models_are_refused_in_ollamas_shape() {
    let bench = Bench::new().await;
    let response = bench.post("/api/chat", &chat("nobody", "hello", true)).await;
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({"error": "model 'nobody' not found"})
    );
}

#[tokio::test]
async fn both_embedding_endpoints_embed() {
    let bench = Bench::new().await;
    let many = bench
        .post_json("/api/embed", &json!({"model": "embed", "input": ["a", "b"]}))
        .await;
    assert_eq!(many["embeddings"].as_array().unwrap().len(), 2);
    assert_eq!(many["prompt_eval_count"], 2);
    let one = bench
        .post_json("/api/embeddings", &json!({"model": "embed", "prompt": "a"}))
        .await;
    assert_eq!(one["embedding"], many["embeddings"][0]);
}
