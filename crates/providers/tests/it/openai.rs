//! Calls to OpenAI-compatible servers.

use axum::response::IntoResponse;
use http::{Method, StatusCode};
use oui_core::ApiError;
use oui_fake_provider::{FakeProvider, RawReply, Reply, Script};
use oui_providers::{CallContext, CallUser, ProviderClient, StreamError, Timeouts};
use serde_json::{Value, json};

use crate::{body, client, dead_address, drain, hasty, http, json as whole, openai, stream};

const CHAT: &str = "/v1/chat/completions";

fn ask(model: &str, streams: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello there"}], "stream": streams})
}

fn raw(status: u16, headers: &[(&str, &str)], pieces: &[&str]) -> Script {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let body = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    Script::reply(Reply::Raw(RawReply {
        status,
        headers,
        body,
    }))
}

#[tokio::test]
async fn a_whole_answer_comes_as_it_is() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({"prefix_id": "p"}));
    let mut payload = ask("p.echo", false);
    payload["metadata"] = json!({"chat_id": "c"});
    payload["stream_options"] = json!({"include_usage": true});
    let answer = whole(client().chat(&connection, payload, &CallContext::default()).await);
    assert_eq!(answer["choices"][0]["message"]["content"], "hello there");
    let sent = &provider.requests_to(CHAT)[0];
    assert_eq!(sent.bearer(), Some("sk-secret"));
    assert_eq!(sent.body, ask("echo", false));
}

#[tokio::test]
async fn a_stream_is_passed_on_byte_for_byte() {
    let provider = FakeProvider::start().await;
    let pieces = ["data: {\"choices\":[]}\n", "\ndata: weird \r\n\r\n", ": bye\n\n"];
    let headers = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("x-request-id", "7"),
        ("set-cookie", "token=x"),
    ];
    provider.script(raw(201, &headers, &pieces));
    let connection = openai(&provider.openai_url(), json!({}));
    let reply = stream(
        client()
            .chat(&connection, ask("fake-model", true), &CallContext::default())
            .await,
    );
    assert_eq!(
        (reply.status, &reply.headers["x-request-id"]),
        (StatusCode::CREATED, &"7".parse().unwrap())
    );
    assert_eq!(reply.headers["content-type"], "text/event-stream; charset=utf-8");
    for dropped in ["set-cookie", "date", "transfer-encoding"] {
        assert!(!reply.headers.contains_key(dropped), "{dropped}");
    }
    assert_eq!(drain(reply.body).await, (pieces.concat().into_bytes(), None));
}

#[tokio::test]
async fn errors_keep_status_body_and_patience() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({}));
    for streams in [false, true] {
        let error = client()
            .chat(&connection, ask("error-429", streams), &CallContext::default())
            .await
            .unwrap_err();
        assert_eq!(error.status(), 429);
        assert_eq!(error.body()["error"]["code"], "rate_limit_exceeded");
        let upstream = error.upstream().unwrap();
        assert_eq!(
            (upstream.error_type(), upstream.model.as_deref()),
            ("rate_limited", Some("error-429"))
        );
        assert_eq!(
            upstream.event_data()["upstream_error_code"],
            "rate_limit_exceeded"
        );
        let expected = error.body().clone();
        for response in [
            error.clone().into_response(),
            ApiError::from(error).into_response(),
        ] {
            assert_eq!(
                (response.status().as_u16(), &response.headers()["retry-after"]),
                (429, &"3".parse().unwrap())
            );
            assert_eq!(
                serde_json::from_slice::<Value>(&body(response).await).unwrap(),
                expected
            );
        }
    }
}

#[tokio::test]
async fn errors_that_are_no_json_are_relayed_as_text() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({}));
    provider.script(Script::raw(503, "text/html", ["<h1>down</h1>"]));
    let error = client()
        .chat(&connection, ask("fake-model", true), &CallContext::default())
        .await
        .unwrap_err();
    let response = error.into_response();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (503, &"text/plain; charset=utf-8".parse().unwrap())
    );
    assert_eq!(body(response).await, "<h1>down</h1>");

    // An error in the clothes of a stream becomes a plain error.
    provider.script(Script::raw(400, "text/event-stream", ["no such thing"]));
    let error = client()
        .chat(&connection, ask("fake-model", true), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (400, &json!({"error": {"message": "no such thing", "code": 400}}))
    );
}

#[tokio::test]
async fn answers_that_are_no_json_are_texts() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({}));
    provider.script(Script::raw(200, "text/plain", ["{\"a\": 1}"]));
    let answer = whole(
        client()
            .chat(&connection, ask("fake-model", false), &CallContext::default())
            .await,
    );
    assert_eq!(answer, json!("{\"a\": 1}"));
}

#[tokio::test]
async fn unreachable_servers_are_the_known_error() {
    let connection = openai(&format!("http://{}/v1", dead_address().await), json!({}));
    let error = client()
        .chat(&connection, ask("m", true), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (500, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );
    assert!(!format!("{error:?} {error}").contains("sk-secret"));
    let connection = openai("not an address", json!({}));
    let error = client()
        .chat(&connection, ask("m", false), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(error.status(), 500);
}

#[tokio::test]
async fn broken_answers_are_noticed() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({}));
    let reply = stream(
        client()
            .chat(&connection, ask("broken", true), &CallContext::default())
            .await,
    );
    let (bytes, error) = drain(reply.body).await;
    assert!(matches!(error, Some(StreamError::Broken(_))), "{error:?}");
    assert!(crate::events(&bytes).len() >= 3);
    let error = client()
        .chat(&connection, ask("broken", false), &CallContext::default())
        .await
        .unwrap_err();
    // The answer had begun with 200, and that is what clients of the reference see.
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (200, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );
}

#[tokio::test]
async fn silence_ends_after_the_given_time() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({}));
    let idle = Timeouts {
        total: None,
        stream_idle: hasty().total,
        ..hasty()
    };
    for timeouts in [hasty(), idle] {
        let client = ProviderClient::new(http(timeouts), oui_core::Clock::system());
        let reply = stream(
            client
                .chat(&connection, ask("stall", true), &CallContext::default())
                .await,
        );
        let (bytes, error) = drain(reply.body).await;
        assert_eq!(error, Some(StreamError::Timeout));
        assert!(!bytes.is_empty());
    }
    let client = ProviderClient::new(http(hasty()), oui_core::Clock::system());
    let error = client
        .chat(&connection, ask("stall", false), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (500, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );
}

#[tokio::test]
async fn the_responses_api_is_spoken() {
    let provider = FakeProvider::start().await;
    let connection = openai(&provider.openai_url(), json!({"api_type": "responses"}));
    for _ in 0..2 {
        provider.script(Script::text("Hello there."));
    }
    let mut payload = ask("fake-model", false);
    payload["max_tokens"] = json!(50);
    let answer = whole(client().chat(&connection, payload, &CallContext::default()).await);
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("stop"))
    );
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, "Hello there.");
    let sent = &provider.requests_to("/v1/responses")[0].body;
    assert_eq!(
        sent["input"],
        json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello there"}]}])
    );
    assert_eq!(
        (sent.get("messages"), &sent["max_output_tokens"]),
        (None, &json!(50))
    );

    let reply = stream(
        client()
            .chat(&connection, ask("fake-model", true), &CallContext::default())
            .await,
    );
    let (bytes, error) = drain(reply.body).await;
    assert_eq!(error, None);
    let mut items = oui_providers::responses_stream::OutputItems::default();
    for event in crate::events(&bytes) {
        items.apply(&serde_json::from_str(&event).unwrap_or_default());
    }
    assert_eq!(items.items()[0]["content"][0]["text"], text);
}

#[tokio::test]
async fn azure_is_addressed_its_way() {
    let provider = FakeProvider::start().await;
    let connection = openai(
        &provider.ollama_url(),
        json!({"provider": "azure", "api_version": "2024-10-21"}),
    );
    let error = client()
        .chat(&connection, ask("gpt-5", false), &CallContext::default())
        .await
        .unwrap_err();
    assert_eq!(error.status(), 404);
    let sent = &provider.requests()[0];
    assert_eq!(sent.path, "/openai/deployments/gpt-5/chat/completions");
    assert_eq!(
        (sent.query.as_deref(), sent.header("api-key")),
        (Some("api-version=2024-10-21"), Some("sk-secret"))
    );
    assert_eq!(
        (sent.header("api-version"), sent.body.get("model")),
        (Some("2024-10-21"), None)
    );
}

#[tokio::test]
async fn redirects_are_followed_without_giving_keys_away() {
    let (first, second) = (FakeProvider::start().await, FakeProvider::start().await);
    let target = format!("{}/chat/completions", second.openai_url());
    first.script(raw(307, &[("location", &target)], &[""]));
    first.script(raw(308, &[("location", "/v1/chat/completions?again=1")], &[""]));
    let connection = openai(&first.openai_url(), json!({"headers": {"x-api-key": "hidden"}}));
    let answer = whole(
        client()
            .chat(&connection, ask("echo", false), &CallContext::default())
            .await,
    );
    assert_eq!(answer["choices"][0]["message"]["content"], "hello there");
    let seen = &second.requests_to(CHAT)[0];
    assert_eq!((seen.bearer(), seen.header("x-api-key")), (None, None));
    assert_eq!(seen.header("content-type"), Some("application/json"));

    let answer = whole(
        client()
            .chat(&connection, ask("echo", false), &CallContext::default())
            .await,
    );
    assert_eq!(answer["choices"][0]["message"]["content"], "hello there");
    let again = first.requests_to(CHAT).pop().unwrap();
    assert_eq!(
        (again.query.as_deref(), again.bearer()),
        (Some("again=1"), Some("sk-secret"))
    );
}

#[tokio::test]
async fn plain_calls_are_passed_on() {
    let provider = FakeProvider::start().await;
    let connection = openai(
        &provider.openai_url(),
        json!({"headers": {"X-User": "{{USER_ID}}"}}),
    );
    let user = CallUser {
        id: "u1".into(),
        ..CallUser::default()
    };
    let context = CallContext::for_user(user);
    let openai = client().openai;
    let request = json!({"model": "embed", "input": ["a", "b"]});
    let found = openai
        .request(
            &connection,
            Method::POST,
            "/embeddings",
            Some(&request),
            false,
            &context,
        )
        .await;
    assert_eq!(whole(found)["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        provider.requests_to("/v1/embeddings")[0].header("x-user"),
        Some("u1")
    );
    let found = openai
        .request(&connection, Method::GET, "models", None, false, &context)
        .await;
    assert_eq!(whole(found)["object"], "list");
    let request = ask("echo", true);
    let found = openai
        .request(
            &connection,
            Method::POST,
            "chat/completions",
            Some(&request),
            true,
            &context,
        )
        .await;
    assert_eq!(
        crate::events(&drain(stream(found).body).await.0)
            .last()
            .map(String::as_str),
        Some("[DONE]")
    );
}
