//! The provider over real HTTP, as its clients see it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![expect(clippy::disallowed_methods, reason = "the clients here are other people's")]

mod endings;
mod library;
mod ollama;
mod openai;
mod responses;
mod scripts;

use std::sync::Once;

use oui_fake_provider::{FakeProvider, Settings};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// A provider and a client of it.
struct Bench {
    provider: FakeProvider,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .expect("no provider yet");
        });
        Self {
            provider: FakeProvider::start_with(settings).await,
            client: Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.provider.ollama_url())
    }

    fn request(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(path, body).send().await.expect("an answer")
    }

    async fn post_json(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.json().await.expect("a JSON body")
    }

    async fn get_json(&self, path: &str) -> Value {
        let response = self.client.get(self.url(path)).send().await.expect("an answer");
        response.json().await.expect("a JSON body")
    }

    /// The text that a model streams, and its events.
    async fn chat_stream(&self, model: &str, message: &str) -> Vec<Value> {
        let body = chat(model, message, true);
        let response = self.post("/v1/chat/completions", &body).await;
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        events(&response.text().await.expect("a whole body"))
    }
}

fn chat(model: &str, message: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": message}]})
}

/// The JSON of the `data:` lines of an event stream; those that are no JSON are left out.
fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The JSON lines of a text; those that are no JSON are left out.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A field of all deltas, in order.
fn deltas<'a>(events: &'a [Value], field: &str) -> Vec<&'a str> {
    let delta = |event: &'a Value| event["choices"][0]["delta"].get(field).and_then(Value::as_str);
    events.iter().filter_map(delta).collect()
}
