//! Chat Completions, models, embeddings and speech.

use oui_fake_provider::{CATALOGUE, FakeProvider, Settings, fixed_text};
use serde_json::{Value, json};

use crate::{Bench, chat, deltas, events};

#[tokio::test]
async fn the_model_list_is_the_catalogue() {
    let bench = Bench::new().await;
    let list = bench.get_json("/v1/models").await;
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(ids, CATALOGUE.iter().map(|entry| entry.id).collect::<Vec<_>>());
    assert_eq!(
        list["data"][0],
        json!({"id": "fake-model", "object": "model", "created": 1_700_000_000, "owned_by": "scripted"})
    );
    assert_eq!(bench.get_json("/v1/models/echo").await["id"], "echo");
    let unknown = bench.get_json("/v1/models/nobody").await;
    assert_eq!(unknown["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_stream_is_byte_exact_and_counted() {
    let bench = Bench::new().await;
    let body = chat("echo", "hi you", true);
    let ask = async || {
        bench
            .post("/v1/chat/completions", &body)
            .await
            .text()
            .await
            .unwrap()
    };
    let event = |id: &str, delta: &str, reason: &str| {
        format!(
            r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":1700000000,"model":"echo","service_tier":"default","system_fingerprint":"fp_scripted","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]}}"#
        ) + "\n\n"
    };
    let whole = |id: &str| {
        [
            event(id, r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
            event(id, r#"{"content":"hi"}"#, "null"),
            event(id, r#"{"content":" you"}"#, "null"),
            event(id, "{}", "\"stop\""),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat()
    };
    assert_eq!(ask().await, whole("chatcmpl-000001"));
    assert_eq!(ask().await, whole("chatcmpl-000002"));
    bench.provider.clear();
    assert_eq!(ask().await, whole("chatcmpl-000001"));
}

#[tokio::test]
async fn the_precomputed_stream_says_the_fixed_text() {
    let bench = Bench::new().await;
    let plain = bench.chat_stream("fake-model", "hello").await;
    assert_eq!(deltas(&plain, "content").concat(), fixed_text(9));
    assert_eq!(plain[0]["id"], "chatcmpl-000001");
    assert!(plain.iter().all(|event| event.get("usage").is_none()));

    let mut body = chat("fake-model", "hello you", true);
    body["stream_options"] = json!({"include_usage": true});
    let counted = events(
        &bench
            .post("/v1/chat/completions", &body)
            .await
            .text()
            .await
            .unwrap(),
    );
    assert_eq!(counted.len(), plain.len() + 1);
    assert_eq!(counted[0]["id"], "chatcmpl-000002");
    assert_eq!(counted[0]["usage"], Value::Null);
    assert_eq!(counted.last().unwrap()["choices"], json!([]));
    assert_eq!(counted.last().unwrap()["usage"]["prompt_tokens"], 2);
    assert_eq!(counted.last().unwrap()["usage"]["completion_tokens"], 9);
}

#[tokio::test]
async fn a_whole_reply_has_its_text_and_counts() {
    let bench = Bench::new().await;
    let reply = bench
        .post_json("/v1/chat/completions", &chat("usage", "hello", false))
        .await;
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(
        reply["choices"][0]["message"]["content"],
        "These are seven tokens of text."
    );
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["usage"]["prompt_tokens"], 11);
    assert_eq!(reply["usage"]["total_tokens"], 18);
    assert_eq!(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
}

#[tokio::test]
async fn reasoning_comes_before_text() {
    let bench = Bench::new().await;
    let events = bench.chat_stream("reasoner", "why?").await;
    assert_eq!(
        deltas(&events, "reasoning_content"),
        ["Considering", " the", " question."]
    );
    assert_eq!(deltas(&events, "content"), ["", "The answer", " is 42."]);
    let whole = bench
        .post_json("/v1/chat/completions", &chat("reasoner", "why?", false))
        .await;
    assert_eq!(
        whole["choices"][0]["message"]["reasoning_content"],
        "Considering the question."
    );
}

#[tokio::test]
async fn think_tags_are_cut_across_chunks() {
    let bench = Bench::new().await;
    let events = bench.chat_stream("think-tags", "why?").await;
    let chunks = deltas(&events, "content");
    assert!(
        !chunks
            .iter()
            .any(|chunk| chunk.contains("<think>") || chunk.contains("</think>"))
    );
    assert_eq!(
        chunks.concat(),
        "<think>Considering the question.</think>The answer is 42."
    );
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_repeated() {
    let bench = Bench::new().await;
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    let mut body = chat("tools", "use {\"city\": \"Paris\"} please", true);
    body["tools"] = json!([tool("weather"), tool("time")]);
    let streamed = events(
        &bench
            .post("/v1/chat/completions", &body)
            .await
            .text()
            .await
            .unwrap(),
    );
    let calls: Vec<&Value> = streamed
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    assert_eq!(calls[0]["function"]["name"], "weather");
    assert_eq!(calls[0]["id"], "call_000001_0");
    let arguments: Vec<&str> = calls
        .iter()
        .filter_map(|call| call["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments.concat(), "{\"city\":\"Paris\"}");
    assert_eq!(
        streamed.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );

    body["stream"] = json!(false);
    body["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": "", "tool_calls": []}),
        json!({"role": "tool", "tool_call_id": "call_000001_0", "content": "sunny and warm"}),
    ]);
    let answer = bench.post_json("/v1/chat/completions", &body).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "sunny and warm");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn parallel_tools_are_called_in_one_turn() {
    let bench = Bench::new().await;
    let mut body = chat("tools-parallel", "go", false);
    body["tools"] = json!([
        {"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}},
    ]);
    let reply = bench.post_json("/v1/chat/completions", &body).await;
    let message = &reply["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    let call = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
    assert_eq!(
        message["tool_calls"],
        json!([call("call_000001_0", "a"), call("call_000001_1", "b")])
    );
}

#[tokio::test]
async fn task_prompts_get_fixed_json() {
    let bench = Bench::new().await;
    let prompt = "Answer in JSON: { \"title\": \"…\" }\nUSER: what are \"tags\"?";
    let reply = bench
        .post_json("/v1/chat/completions", &chat("fake-model", prompt, false))
        .await;
    assert_eq!(
        reply["choices"][0]["message"]["content"],
        "{\"title\":\"A fixed title\"}"
    );
    let streamed = bench.chat_stream("fake-model", prompt).await;
    assert_eq!(
        deltas(&streamed, "content").concat(),
        "{\"title\":\"A fixed title\"}"
    );
}

#[tokio::test]
async fn a_message_directs_the_behaviour() {
    let bench = Bench::new().await;
    let response = bench
        .post(
            "/v1/chat/completions",
            &chat("fake-model", "fake:error-401 now", true),
        )
        .await;
    assert_eq!(response.status(), 401);
    let long = bench.chat_stream("fake-model", "fake:long 12").await;
    assert_eq!(deltas(&long, "content").concat(), fixed_text(12));
}

#[tokio::test]
async fn instances_have_their_own_models() {
    let alias = "gpt-x=echo".parse().unwrap();
    let mut settings = Settings::with_models(["one"]);
    settings.models.push(alias);
    let bench = Bench::with(settings).await;
    let other = FakeProvider::start_with(Settings::with_models(["two"])).await;
    assert_ne!(bench.provider.address(), other.address());
    let ids: Vec<Value> = bench.get_json("/v1/models").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(ids, ["one", "gpt-x"]);
    let echo = bench
        .post_json("/v1/chat/completions", &chat("gpt-x", "hello", false))
        .await;
    assert_eq!(echo["choices"][0]["message"]["content"], "hello");
    let fixed = bench
        .post_json("/v1/chat/completions", &chat("one", "hello", false))
        .await;
    assert_eq!(fixed["choices"][0]["message"]["content"], fixed_text(9));
    let response = bench
        .post("/v1/chat/completions", &chat("two", "hello", false))
        .await;
    assert_eq!(response.status(), 404);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["message"], "model 'two' not found");
}

#[tokio::test]
async fn requests_are_recorded_with_key_and_body() {
    let bench = Bench::new().await;
    let request = bench.request("/v1/chat/completions?a=1", &chat("echo", "hello", false));
    request.bearer_auth("sk-secret").send().await.unwrap();
    bench.client.get(bench.url("/v1/nowhere")).send().await.unwrap();
    let requests = bench.provider.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].query.as_deref(), Some("a=1"));
    assert_eq!(requests[0].bearer(), Some("sk-secret"));
    assert_eq!(requests[0].body["messages"][0]["content"], "hello");
    assert_eq!(
        (requests[1].path.as_str(), &requests[1].body),
        ("/v1/nowhere", &Value::Null)
    );
    assert_eq!(bench.provider.requests_to("/v1/nowhere").len(), 1);
    bench.provider.clear();
    assert_eq!(bench.provider.requests(), []);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let bench = Bench::new().await;
    let response = bench
        .client
        .post(bench.url("/v1/chat/completions"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let nameless = bench
        .post_json("/v1/chat/completions", &json!({"messages": []}))
        .await;
    assert_eq!(nameless["error"]["message"], "the request names no model");
    let chat_with_embed = bench
        .post("/v1/chat/completions", &chat("embed", "hello", true))
        .await;
    assert_eq!(chat_with_embed.status(), 400);
}

#[tokio::test]
async fn embeddings_are_the_same_for_the_same_text() {
    let bench = Bench::new().await;
    let body = json!({"model": "embed", "input": ["red fox", "red fox", "blue whale"]});
    let reply = bench.post_json("/v1/embeddings", &body).await;
    assert_eq!(reply["data"][0]["embedding"].as_array().unwrap().len(), 256);
    assert_eq!(reply["data"][0]["embedding"], reply["data"][1]["embedding"]);
    assert_ne!(reply["data"][0]["embedding"], reply["data"][2]["embedding"]);
    assert_eq!(reply["data"][2]["index"], 2);
    assert_eq!(reply["usage"], json!({"prompt_tokens": 6, "total_tokens": 6}));
    let short = json!({"model": "any-name", "input": "red", "dimensions": 2, "encoding_format": "base64"});
    let reply = bench.post_json("/v1/embeddings", &short).await;
    assert_eq!(reply["data"][0]["embedding"].as_str().unwrap().len(), 12);
    let refused = bench
        .post("/v1/embeddings", &json!({"model": "error-429", "input": "x"}))
        .await;
    assert_eq!(refused.status(), 429);
}

#[tokio::test]
async fn speech_is_bytes_of_the_asked_format() {
    let bench = Bench::new().await;
    let body = json!({"model": "tts-1", "input": "two words", "voice": "alloy"});
    let mp3 = bench.post("/v1/audio/speech", &body).await;
    assert_eq!(mp3.headers()["content-type"], "audio/mpeg");
    assert_eq!(mp3.bytes().await.unwrap()[..4], [0xff, 0xfb, 0x90, 0x64]);
    let body = json!({"model": "tts-1", "input": "two words", "response_format": "wav"});
    let wav = bench.post("/v1/audio/speech", &body).await.bytes().await.unwrap();
    assert_eq!(wav[..4], *b"RIFF");
    let body = json!({"model": "tts-1", "input": "x", "response_format": "opus"});
    assert_eq!(bench.post("/v1/audio/speech", &body).await.status(), 400);
}
