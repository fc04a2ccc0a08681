//! Requests that go to providers: the browser's own connections, what providers learn of the caller, rights of users.

use std::time::Duration;

use indexmap::IndexMap;
use oui_conformance::Socket;
use oui_testkit::{Backend, TestApp, both};
use serde_json::{Value, json};

/// The payloads of chat events of a type, as far as they have come.
fn of_type<'e>(events: &'e [oui_conformance::Event], kind: &str) -> Vec<&'e Value> {
    let fitting = events.iter().filter(|event| event.kind() == kind);
    fitting.map(|event| &event.arguments[0]["data"]["data"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_streams_the_answer_of_its_own_connection() {
    let app = TestApp::start(Backend::Sqlite).await.unwrap();
    let admin = app.admin().await;
    let patience = Duration::from_secs(20);
    let tab = Socket::connect(&app.url(), admin.token.as_deref(), patience)
        .await
        .unwrap();
    tab.answer(IndexMap::from([(
        "request:chat:completion".to_owned(),
        json!({"status": true}),
    )]));
    let request = json!({
        "stream": true, "model": "mine", "model_item": {"id": "mine", "name": "Mine", "direct": true, "owned_by": "openai"},
        "session_id": tab.sid, "chat_id": format!("local:{}", tab.sid), "id": "answer-1",
        "messages": [{"role": "user", "content": "Hello"}], "params": {"temperature": 0.5}, "background_tasks": {},
    });
    admin.post("/api/chat/completions", request).await.ok();
    let asked = tab
        .take_until(|events| {
            events
                .iter()
                .any(|event| event.kind() == "request:chat:completion")
        })
        .await
        .unwrap();
    let asked = of_type(&asked, "request:chat:completion")[0].clone();
    assert_eq!(asked["model"]["name"], "Mine");
    assert_eq!(asked["form_data"]["temperature"], 0.5);
    assert_eq!(
        asked["form_data"]["messages"],
        json!([{"role": "user", "content": "Hello"}])
    );
    let channel = asked["channel"].as_str().unwrap();
    let parts = [
        json!({"choices": [{"delta": {"content": "From "}}]}),
        json!("data: {\"choices\": [{\"delta\": {\"content\": \"the \"}}]}"),
        json!("{\"choices\": [{\"delta\": {\"content\": \"browser\"}}]}"),
        json!({"done": true}),
    ];
    for part in &parts {
        tab.emit(channel, part, false).await.unwrap();
    }
    let idle = |event: &oui_conformance::Event| {
        event.kind() == "chat:active" && event.arguments[0]["data"]["data"]["active"] == false
    };
    let rest = tab.take_until(|events| events.iter().any(idle)).await.unwrap();
    let done: Vec<_> = of_type(&rest, "chat:completion")
        .into_iter()
        .filter(|data| data["done"] == true)
        .collect();
    assert_eq!(done[0]["output"][0]["content"][0]["text"], "From the browser");
    assert!(
        app.provider
            .requests()
            .iter()
            .all(|request| request.path != "/v1/chat/completions")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_borrows_the_tab_of_somebody_else() {
    let app = TestApp::start(Backend::Sqlite).await.unwrap();
    let admin = app.admin().await;
    let other = app.member(&admin, "bob", "user").await;
    let tab = Socket::connect(&app.url(), admin.token.as_deref(), Duration::from_secs(20))
        .await
        .unwrap();
    let request = json!({
        "model": "mine", "model_item": {"id": "mine", "direct": true}, "session_id": tab.sid,
        "messages": [{"role": "user", "content": "Hello"}],
    });
    let refused = other.post("/api/chat/completions", request).await;
    assert_eq!(
        (refused.status, &refused.body["detail"]),
        (400, &json!("Client session disconnected."))
    );
    // Neither does a model that says so itself become an arena of all the others.
    let arena = json!({
        "model": "mine", "model_item": {"id": "mine", "direct": true, "owned_by": "arena"}, "stream": false,
        "messages": [{"role": "user", "content": "Hello"}],
    });
    assert_eq!(other.post("/api/chat/completions", arena).await.status, 400);
    assert!(
        app.provider
            .requests()
            .iter()
            .all(|request| request.path != "/v1/chat/completions")
    );
}

both! {
    async fn users_reach_only_open_models(app: TestApp) {
        let admin = app.admin().await;
        let alice = app.member(&admin, "alice", "user").await;
        let chat = json!({"model": "echo", "messages": [{"role": "user", "content": "Hello"}]});
        assert_eq!(alice.post("/openai/chat/completions", chat.clone()).await.status, 403);
        let open = json!({
            "id": "echo", "name": "Echo", "base_model_id": null, "meta": {}, "params": {"temperature": 0.25, "system": "For {{USER_NAME}}."},
            "access_grants": [{"principal_type": "user", "principal_id": "*", "permission": "read"}],
        });
        admin.post("/api/v1/models/create", open).await.ok();
        let answer = alice.post("/openai/chat/completions", chat).await.ok();
        assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
        let sent = app.provider.requests().into_iter().rfind(|request| request.path == "/v1/chat/completions").unwrap();
        assert_eq!(sent.body["temperature"], 0.25);
        assert_eq!(sent.body["messages"][0], json!({"role": "system", "content": "For alice."}));
        let listed = alice.get("/openai/models").await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), 1);
        let message = json!({"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]});
        assert_eq!(alice.post("/api/v1/messages", message).await.ok()["content"][0]["text"], "Hello");
        let embedded = alice.post("/api/v1/embeddings", json!({"model": "embed", "input": "x"})).await;
        assert_eq!(embedded.status, 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_learn_who_calls_from_a_signed_token() {
    let variables = [
        ("ENABLE_FORWARD_USER_INFO_HEADERS", "true"),
        ("FORWARD_USER_INFO_HEADER_JWT_SECRET", "between-the-two-of-us"),
    ];
    let app = TestApp::with_environment(Backend::Sqlite, &variables)
        .await
        .unwrap();
    let admin = app.admin().await;
    for (path, body) in [
        (
            "/openai/chat/completions",
            json!({"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}),
        ),
        ("/openai/responses", json!({"model": "echo", "input": "Hello"})),
        ("/api/embeddings", json!({"model": "embed", "input": "Hello"})),
    ] {
        admin.post(path, body).await.ok();
        let requests = app.provider.requests();
        let sent = requests.last().unwrap();
        assert_eq!(sent.header("x-openwebui-auth-type"), Some("jwt"), "{path}");
        assert_eq!(
            sent.header("x-openwebui-user-jwt").unwrap().split('.').count(),
            3,
            "{path}"
        );
        assert_eq!(sent.header("x-openwebui-user-email"), None, "{path}");
    }
}
