//! Chats as API clients use them.

use oui_testkit::both;
use serde_json::json;

both! {
    async fn a_plain_completion_is_relayed(app: TestApp) {
        let admin = app.admin().await;
        let body = json!({"model": "echo", "messages": [{"role": "user", "content": "hello there"}], "stream": false});
        let reply = admin.post("/api/chat/completions", body).await.ok();
        assert_eq!(reply["choices"][0]["message"]["content"], "hello there");
        let sent = app.provider.requests_to("/v1/chat/completions");
        assert_eq!(sent[0].body["messages"], json!([{"role": "user", "content": "hello there"}]));
        assert_eq!(sent[0].bearer(), Some("sk-provider"));
    }

    async fn a_stream_is_passed_on_to_its_end(app: TestApp) {
        let admin = app.admin().await;
        let body = json!({"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": true});
        let reply = admin.post("/api/chat/completions", body).await;
        assert_eq!(reply.status, 200);
        assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let text = reply.body.as_str().unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }

    async fn failures_keep_the_providers_status(app: TestApp) {
        let admin = app.admin().await;
        for (model, status) in [("error-400", 400), ("error-401", 401), ("error-429", 429), ("error-500", 500)] {
            let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
            let reply = admin.post("/api/chat/completions", body).await;
            assert_eq!(reply.status, status, "{model}: {}", reply.body);
        }
        let body = json!({"model": "nothing", "messages": []});
        let reply = admin.post("/api/chat/completions", body).await;
        assert_eq!((reply.status, &reply.body["detail"]), (400, &json!("Model not found")));
    }

    async fn base_models_are_the_administrators(app: TestApp) {
        let admin = app.admin().await;
        let user = app.member(&admin, "user", "user").await;
        assert!(admin.get("/api/models").await.ok()["data"].as_array().unwrap().len() > 10);
        assert_eq!(user.get("/api/models").await.ok()["data"], json!([]));
        let body = json!({"model": "echo", "messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(user.post("/api/chat/completions", body).await.status, 400);
    }
}
