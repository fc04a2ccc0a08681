//! Calls to Ollama servers.

use axum::response::IntoResponse;
use http::Method;
use oui_core::ApiError;
use oui_fake_provider::{FakeProvider, Script};
use oui_providers::chunk::Chunk;
use oui_providers::{CallContext, StreamError};
use serde_json::{Value, json};

use crate::{NOW, client, dead_address, drain, events, json as whole, ollama, stream};

fn ask(model: &str, streams: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello there"}], "stream": streams})
}

#[tokio::test]
async fn a_whole_answer_is_converted() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({"prefix_id": "p"}));
    let answer = whole(
        client()
            .chat(&connection, ask("p.echo", false), &CallContext::default())
            .await,
    );
    assert_eq!(
        (&answer["object"], &answer["created"]),
        (&json!("chat.completion"), &json!(NOW))
    );
    assert_eq!(
        answer["choices"][0]["message"],
        json!({"role": "assistant", "content": "hello there"})
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        answer["usage"]["total_tokens"].as_i64().unwrap(),
        answer["usage"]["prompt_tokens"].as_i64().unwrap()
            + answer["usage"]["completion_tokens"].as_i64().unwrap()
    );
    let sent = &provider.requests_to("/api/chat")[0];
    assert_eq!(sent.body, ask("echo", false));
    assert_eq!(sent.header("authorization"), None);
}

#[tokio::test]
async fn payloads_arrive_in_ollamas_form() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let payload = json!({
        "model": "echo", "stream": false, "metadata": {"chat_id": "c"},
        "options": {"think": false, "num_ctx": 2048}, "max_tokens": 5,
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        ]}],
    });
    whole(client().chat(&connection, payload, &CallContext::default()).await);
    assert_eq!(
        provider.requests_to("/api/chat")[0].body,
        json!({
            "model": "echo", "stream": false, "think": false, "options": {"num_ctx": 2048, "num_predict": 5},
            "messages": [{"role": "user", "content": "look", "images": ["QUJD"]}],
        })
    );
}

#[tokio::test]
async fn streams_become_events() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let reply = stream(
        client()
            .chat(&connection, ask("reasoner", true), &CallContext::default())
            .await,
    );
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let (bytes, error) = drain(reply.body).await;
    assert_eq!(error, None);
    let mut events = events(&bytes);
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<_> = events.iter().map(|event| Chunk::parse(event).unwrap()).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk.content()).collect();
    let reasoning: String = chunks.iter().filter_map(|chunk| chunk.reasoning()).collect();
    assert!(!text.is_empty() && !reasoning.is_empty());
    let native = whole(
        client()
            .ollama
            .native_chat(&connection, ask("reasoner", false), &CallContext::default())
            .await,
    );
    assert_eq!(
        (&json!(text), &json!(reasoning)),
        (&native["message"]["content"], &native["message"]["thinking"])
    );
    let last = chunks.last().unwrap();
    assert_eq!(
        (
            last.finish_reason(),
            last.usage().unwrap()["completion_tokens"].as_i64()
        ),
        (Some("stop"), native["eval_count"].as_i64())
    );
    assert_eq!(chunks[0].value()["choices"][0]["delta"]["role"], "assistant");
}

#[tokio::test]
async fn tool_calls_are_converted() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    for streams in [true, false] {
        provider.script(Script::tool_call("look_up", json!({"word": "ü"})));
        let mut payload = ask("echo", streams);
        payload["tools"] =
            json!([{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]);
        let reply = client().chat(&connection, payload, &CallContext::default()).await;
        let (calls, finish) = if streams {
            let events = events(&drain(stream(reply).body).await.0);
            let chunks: Vec<_> = events
                .iter()
                .filter_map(|event| Chunk::parse(event).ok())
                .collect();
            let calls: Vec<_> = chunks.iter().flat_map(|chunk| chunk.tool_calls()).collect();
            (
                json!(calls),
                chunks.last().unwrap().finish_reason().map(str::to_owned),
            )
        } else {
            let answer = whole(reply);
            let choice = &answer["choices"][0];
            (
                choice["message"]["tool_calls"].clone(),
                choice["finish_reason"].as_str().map(str::to_owned),
            )
        };
        assert_eq!(
            calls[0]["function"],
            json!({"name": "look_up", "arguments": "{\"word\":\"ü\"}"})
        );
        assert_eq!(
            (&calls[0]["type"], finish.as_deref()),
            (&json!("function"), Some("tool_calls"))
        );
        assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    }
}

#[tokio::test]
async fn native_streams_stay_as_they_are() {
    let provider = FakeProvider::start().await;
    provider.script(Script::raw(
        200,
        "application/json",
        ["{\"a\"", ":1}\n{\"b\":2}\n"],
    ));
    let connection = ollama(&provider.ollama_url(), json!({}));
    let mut payload = ask("echo", true);
    payload["keep_alive"] = Value::Null;
    payload["messages"][0]["images"] = Value::Null;
    let reply = stream(
        client()
            .ollama
            .native_chat(&connection, payload, &CallContext::default())
            .await,
    );
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    assert_eq!(
        drain(reply.body).await,
        (b"{\"a\":1}\n{\"b\":2}\n".to_vec(), None)
    );
    assert_eq!(provider.requests_to("/api/chat")[0].body, ask("echo", true));
}

#[tokio::test]
async fn errors_are_details() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let error = client()
        .chat(&connection, ask("error-429", true), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (
            429,
            &json!({"detail": "The scripted provider has reached its rate limit."})
        )
    );
    assert_eq!(
        ApiError::from(error).into_response().headers()["retry-after"],
        "3"
    );
    provider.script(Script::raw(502, "text/html", ["bad gateway"]));
    let error = client()
        .chat(&connection, ask("echo", false), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (502, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );

    let dead = dead_address().await;
    let connection = ollama(&format!("http://{dead}"), json!({}));
    let error = client()
        .chat(&connection, ask("echo", false), &CallContext::default())
        .await
        .unwrap_err();
    let port = dead.port();
    let said = format!(
        "Ollama: Cannot connect to host 127.0.0.1:{port} ssl:default [Connect call failed ('127.0.0.1', {port})]"
    );
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (500, &json!({ "detail": said }))
    );
}

#[tokio::test]
async fn trouble_inside_a_stream_is_told() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let reply = stream(
        client()
            .chat(&connection, ask("broken", true), &CallContext::default())
            .await,
    );
    let (bytes, error) = drain(reply.body).await;
    assert!(matches!(error, Some(StreamError::Broken(_))), "{error:?}");
    assert_ne!(events(&bytes).last().map(String::as_str), Some("[DONE]"));
    let reply = stream(
        client()
            .chat(&connection, ask("error-midstream", true), &CallContext::default())
            .await,
    );
    let (bytes, _) = drain(reply.body).await;
    let errors: Vec<_> = events(&bytes)
        .into_iter()
        .filter(|event| event.starts_with("{\"error\""))
        .collect();
    assert_eq!(errors.len(), 1);
}

#[tokio::test]
async fn whole_answers_that_break_off_are_nothing() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let context = CallContext::default();
    let native = client()
        .ollama
        .native_chat(&connection, ask("broken", false), &context)
        .await;
    assert_eq!(whole(native), Value::Null);
    let error = client()
        .chat(&connection, ask("broken", false), &context)
        .await
        .unwrap_err();
    assert_eq!(
        error.body(),
        &json!({"detail": "Open WebUI: Server Connection Error"})
    );
}

#[tokio::test]
async fn plain_calls_are_passed_on() {
    let provider = FakeProvider::start().await;
    let connection = ollama(&provider.ollama_url(), json!({}));
    let context = CallContext::default();
    let found = client()
        .ollama
        .request(&connection, Method::GET, "/api/version", None, false, &context)
        .await;
    assert!(whole(found)["version"].is_string());
    let request = json!({"model": "echo"});
    let found = client()
        .ollama
        .request(
            &connection,
            Method::POST,
            "api/show",
            Some(&request),
            false,
            &context,
        )
        .await;
    assert!(whole(found).is_object());
}
