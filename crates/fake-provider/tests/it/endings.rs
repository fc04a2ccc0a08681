//! Replies that go wrong, each in its own way.

use std::time::Duration;

use oui_fake_provider::Settings;
use serde_json::{Value, json};

use crate::{Bench, chat, deltas, events, lines};

#[tokio::test]
async fn refusals_have_status_body_and_retry_after() {
    let bench = Bench::new().await;
    let expected = [
        (
            "error-400",
            400,
            "invalid_request_error",
            json!("scripted_bad_request"),
            None,
        ),
        (
            "error-401",
            401,
            "invalid_request_error",
            json!("invalid_api_key"),
            None,
        ),
        (
            "error-429",
            429,
            "requests",
            json!("rate_limit_exceeded"),
            Some("3"),
        ),
        ("error-500", 500, "server_error", Value::Null, None),
    ];
    for (model, status, kind, code, retry_after) in expected {
        for stream in [true, false] {
            let response = bench
                .post("/v1/chat/completions", &chat(model, "hello", stream))
                .await;
            assert_eq!(response.status(), status, "{model}");
            let header = response
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header.as_deref(), retry_after);
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                (&body["error"]["type"], &body["error"]["code"]),
                (&json!(kind), &code)
            );
        }
        let response = bench.post("/api/chat", &chat(model, "hello", true)).await;
        assert_eq!(response.status(), status, "{model}");
        assert!(response.json::<Value>().await.unwrap()["error"].is_string());
    }
}

#[tokio::test]
async fn an_error_comes_in_mid_stream() {
    let bench = Bench::new().await;
    let response = bench
        .post("/v1/chat/completions", &chat("error-midstream", "hello", true))
        .await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(!text.contains("[DONE]"));
    let events = events(&text);
    assert_eq!(deltas(&events, "content").concat(), "One two three");
    assert_eq!(events.last().unwrap()["error"]["type"], "server_error");
    let ollama = lines(
        &bench
            .post("/api/chat", &chat("error-midstream", "hello", true))
            .await
            .text()
            .await
            .unwrap(),
    );
    assert_eq!(
        ollama.last().unwrap()["error"],
        "The scripted provider failed in mid-stream."
    );
    let whole = bench
        .post_json("/v1/chat/completions", &chat("error-midstream", "hello", false))
        .await;
    assert_eq!(
        whole["error"]["message"],
        "The scripted provider failed in mid-stream."
    );
}

#[tokio::test]
async fn a_broken_stream_sends_its_chunks_and_drops_the_connection() {
    let bench = Bench::new().await;
    for (path, stream) in [("/v1/chat/completions", true), ("/api/chat", true)] {
        let mut response = bench.post(path, &chat("broken", "hello", stream)).await;
        assert_eq!(response.status(), 200);
        let mut received = Vec::new();
        let failure = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                Ok(None) => panic!("{path} ended well"),
                Err(error) => break error,
            }
        };
        assert!(failure.is_body() || failure.is_decode(), "{failure:?}");
        assert!(String::from_utf8(received).unwrap().contains(" three"), "{path}");
    }
    let response = bench
        .post("/v1/chat/completions", &chat("broken", "hello", false))
        .await;
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn garbage_stands_between_valid_chunks() {
    let bench = Bench::new().await;
    let text = bench
        .post("/v1/chat/completions", &chat("garbage", "hello", true))
        .await
        .text()
        .await
        .unwrap();
    assert!(text.contains("\n\ndata: {\"broken\": \n\n"));
    assert!(text.ends_with("data: [DONE]\n\n"));
    assert_eq!(
        deltas(&events(&text), "content").concat(),
        "Valid text in between."
    );

    let body = json!({"model": "garbage", "input": "hello", "stream": true});
    let text = bench.post("/v1/responses", &body).await.text().await.unwrap();
    let between = text.find("a line that is no field").unwrap();
    assert!(text[..between].contains("output_text.delta") && text[between..].contains("output_text.delta"));

    let text = bench
        .post("/api/chat", &chat("garbage", "hello", true))
        .await
        .text()
        .await
        .unwrap();
    assert!(text.contains("a line that is no JSON\n"));
    let said: Vec<Value> = lines(&text)
        .iter()
        .map(|line| line["message"]["content"].clone())
        .collect();
    assert_eq!(said, ["Valid", " text", " in", " between.", ""]);
}

#[tokio::test]
async fn a_stalled_stream_sends_one_chunk_and_ends_with_the_provider() {
    let bench = Bench::new().await;
    let mut response = bench
        .post("/v1/chat/completions", &chat("stall", "hello", true))
        .await;
    let mut received = String::new();
    while !received.contains("\"One\"") {
        let chunk = response.chunk().await.unwrap().expect("more to come");
        received.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let silence = tokio::time::timeout(Duration::from_millis(50), response.chunk()).await;
    assert!(silence.is_err());
    bench.provider.stop().await;
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_stopped_provider_refuses_connections() {
    let bench = Bench::new().await;
    let url = bench.url("/v1/models");
    drop(bench.provider);
    let client = reqwest::Client::new();
    // The accepting task notices the end as soon as it runs.
    let refused = async {
        while client.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_paced_stream_sends_each_chunk_by_itself() {
    let settings = Settings {
        pause: Duration::from_millis(20),
        ..Settings::default()
    };
    let bench = Bench::with(settings).await;
    let mut response = bench
        .post("/v1/chat/completions", &chat("fake-model", "hello", true))
        .await;
    let mut chunks = 0;
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks += 1;
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(chunks > 1, "{chunks}");
    assert_eq!(
        deltas(&events(&text), "content").concat(),
        oui_fake_provider::fixed_text(9)
    );
}

#[tokio::test]
async fn chunks_can_tell_when_they_were_sent() {
    let settings = Settings {
        pause: Duration::from_millis(2),
        times: true,
        chunks: 3,
        ..Settings::default()
    };
    let bench = Bench::with(settings).await;
    let response = bench
        .post("/v1/chat/completions", &chat("fake-model", "hello", true))
        .await;
    let text = response.text().await.unwrap();
    // The opening chunk is empty.
    let times: Vec<u64> = deltas(&events(&text), "content")
        .iter()
        .filter_map(|delta| delta.strip_prefix(' ')?.parse().ok())
        .collect();
    assert_eq!(times.len(), 3, "{text}");
    assert!(times[0] > 1_700_000_000_000_000, "{times:?}");
    assert!(times.is_sorted(), "{times:?}");
}
