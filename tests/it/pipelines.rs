//! External pipelines servers: their management, and filters in a chat.

use oui_fake_provider::Script;
use oui_testkit::{TestApp, both};
use serde_json::json;

use crate::tools::{ask, reply};

/// Makes the scripted provider a pipelines server with one filter.
fn with_filter(app: &TestApp) {
    let models = json!({"object": "list", "pipelines": true, "data": [
        {"id": "echo", "object": "model"},
        {"id": "mask", "name": "Mask", "object": "model",
            "pipeline": {"type": "filter", "pipelines": ["*"], "priority": 0}},
    ]});
    for _ in 0..20 {
        app.provider
            .script(Script::json(200, &models).for_path("/v1/models"));
    }
}

fn echo() -> serde_json::Value {
    json!({"model": "echo", "tools": [], "message_ids": [{"model_id": "echo", "message_id": "answer"}]})
}

both! {
    async fn filters_stand_between_chat_and_model(app: TestApp) {
        let admin = app.admin().await;
        with_filter(&app);
        let inlet = json!({"model": "echo", "stream": true, "messages": [{"role": "user", "content": "masked"}]});
        app.provider.script(Script::json(200, &inlet).for_path("/v1/mask/filter/inlet"));
        let outlet = json!({"messages": [{"id": "answer", "role": "assistant", "content": "unmasked"}]});
        app.provider.script(Script::json(200, &outlet).for_path("/v1/mask/filter/outlet"));
        let chat_id = ask(&admin, echo()).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!((&reply["content"], &reply["originalContent"]), (&json!("unmasked"), &json!("masked")));
        let inlet = &app.provider.requests_to("/v1/mask/filter/inlet")[0];
        assert_eq!(inlet.bearer(), Some("sk-provider"));
        assert_eq!(inlet.body["user"]["role"], "admin");
        assert_eq!(inlet.body["body"]["messages"][0]["content"], "Well?");
        assert_eq!(inlet.body["body"]["metadata"]["chat_id"], chat_id.as_str());
        let sent = &app.provider.requests_to("/v1/chat/completions")[0];
        assert_eq!(sent.body["messages"], json!([{"role": "user", "content": "masked"}]));
        assert!(sent.body.get("metadata").is_none());
        let outlet = &app.provider.requests_to("/v1/mask/filter/outlet")[0];
        assert_eq!(outlet.body["body"]["messages"][1]["content"], "masked");
        assert!(admin.get("/api/models").await.ok()["data"].as_array().unwrap().iter().all(|model| model["id"] != "mask"));
    }

    async fn a_filter_that_refuses_ends_the_run_with_its_words(app: TestApp) {
        let admin = app.admin().await;
        with_filter(&app);
        app.provider.script(Script::json(403, &json!({"detail": "Not today"})).for_path("/v1/mask/filter/inlet"));
        let chat_id = ask(&admin, echo()).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(reply["error"]["content"], "Not today");
        assert!(app.provider.requests_to("/v1/chat/completions").is_empty());
    }

    async fn servers_are_managed_through_us(app: TestApp) {
        let admin = app.admin().await;
        let user = app.member(&admin, "user", "user").await;
        with_filter(&app);
        let listed = admin.get("/api/v1/pipelines/list").await.ok();
        assert_eq!(listed, json!({"data": [{"url": app.provider.openai_url(), "idx": 0}]}));
        assert_eq!(user.get("/api/v1/pipelines/list").await.status, 401);
        let valves = json!({"pipelines": ["*"], "priority": 0});
        app.provider.script(Script::json(200, &valves).for_path("/v1/mask/valves"));
        assert_eq!(admin.get("/api/v1/pipelines/mask/valves?urlIdx=0").await.ok(), valves);
        app.provider.script(Script::json(404, &json!({"detail": "No such valves"})).for_path("/v1/mask/valves/update"));
        let refused = admin.post("/api/v1/pipelines/mask/valves/update?urlIdx=0", valves.clone()).await;
        assert_eq!((refused.status, &refused.body["detail"]), (404, &json!("No such valves")));
        assert_eq!(admin.get("/api/v1/pipelines/mask/valves?urlIdx=9").await.status, 404);
        app.provider.script(Script::json(200, &json!({"status": true})).for_path("/v1/pipelines/add"));
        let added = admin.post("/api/v1/pipelines/add", json!({"url": "https://example.org/p.py", "urlIdx": 0})).await.ok();
        assert_eq!(added["status"], true);
        assert_eq!(app.provider.requests_to("/v1/pipelines/add")[0].body["url"], "https://example.org/p.py");
    }
}
