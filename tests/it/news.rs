//! What webhooks and people's targets hear: the form of what is sent, who is told, and what is not sent.

use std::time::Duration;

use oui_fake_provider::Script;
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

use crate::tools::ask;

/// What the scripted receiver got at a path once it has `count` requests, in their order.
async fn received(app: &TestApp, path: &str, count: usize) -> Vec<Value> {
    for _ in 0..500 {
        if app.provider.requests_to(path).len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.provider
        .requests_to(path)
        .into_iter()
        .map(|request| request.body)
        .collect()
}

/// Lets the receiver take calls at a path.
fn accept(app: &TestApp, path: &str, count: usize) {
    for _ in 0..count {
        app.provider.script(Script::json(200, &json!({})).for_path(path));
    }
}

async fn webhook(app: &TestApp, admin: &Client, path: &str, events: Value) -> Value {
    let url = format!("{}{path}", app.provider.ollama_url());
    let webhook = json!({ "name": "Ours", "url": url, "events": events });
    admin.post("/api/events/webhooks", webhook).await.ok()
}

fn names(events: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    names.sort_unstable();
    names
}

const OPEN: &[(&str, &str)] = &[("ENABLE_LOCAL_WEB_FETCH", "true"), ("ENABLE_CHANNELS", "true")];

both! {
    async fn webhooks_hear_of_what_they_want(app: TestApp, OPEN) {
        let admin = app.admin().await;
        accept(&app, "/hook", 50);
        webhook(&app, &admin, "/hook", json!(["calendar.*", "channel.*", "message.created", "chat.*"])).await;
        let calendar = admin.post("/api/v1/calendars/create", json!({ "name": "Plans" })).await.ok();
        let id = calendar["id"].as_str().unwrap();
        let told = received(&app, "/hook", 1).await.remove(0);
        assert_eq!((&told["event"], &told["resource"], &told["operation"]), (&json!("calendar.created"), &json!("calendar"), &json!("created")));
        assert_eq!((&told["source"], &told["subject"]), (&json!("api"), &json!({ "type": "calendar", "id": id })));
        assert_eq!((&told["actor"]["email"], &told["actor"]["type"]), (&json!("admin@example.org"), &json!("user")));
        assert_eq!((&told["data"], &told["message"]), (&json!({ "name": "Plans" }), &Value::Null));
        assert!(told["id"].is_string() && told["created_at"].is_i64() && told["instance_id"].is_string());

        let event = json!({ "calendar_id": id, "title": "Tea", "start_at": 1_700_000_000_000_000_000_i64 });
        let event = admin.post("/api/v1/calendars/events/create", event).await.ok();
        admin.post(&format!("/api/v1/calendars/events/{}/update", event["id"].as_str().unwrap()), json!({ "title": "Coffee" })).await.ok();
        let channel = admin.post("/api/v1/channels/create", json!({ "name": "talk" })).await.ok();
        let channel = channel["id"].as_str().unwrap();
        let message = json!({ "content": "Hello" });
        admin.post(&format!("/api/v1/channels/{channel}/messages/post"), message).await.ok();
        admin.delete(&format!("/api/v1/channels/{channel}/delete")).await.ok();
        let chat = admin.post("/api/v1/chats/new", json!({ "chat": { "title": "Birds" } })).await.ok();
        let chat = format!("/api/v1/chats/{}", chat["id"].as_str().unwrap());
        admin.post(&format!("{chat}/pin"), json!({})).await.ok();
        admin.post(&format!("{chat}/tags"), json!({ "name": "Sky" })).await.ok();
        // Memories are none of what the webhook wants.
        admin.post("/api/v1/memories/add", json!({ "content": "Likes tea." })).await;
        admin.delete(&chat).await.ok();
        let told = received(&app, "/hook", 10).await;
        assert_eq!(names(&told), [
            "calendar.created", "calendar.event.created", "calendar.event.updated", "channel.created",
            "channel.deleted", "chat.created", "chat.deleted", "chat.pinned", "chat.tag_added", "message.created",
        ]);
        let about = |name: &str| told.iter().find(|event| event["event"] == name).unwrap();
        assert_eq!(about("message.created")["data"], json!({ "channel_id": channel, "content_preview": "Hello" }));
        assert_eq!(about("calendar.event.updated")["data"], json!({ "calendar_id": id, "title": "Coffee" }));
        assert_eq!(about("calendar.event.updated")["subject"]["type"], "calendar.event");
        assert_eq!(about("chat.created")["data"], json!({ "title": "Birds", "folder_id": null }));
    }

    async fn a_receiver_that_refuses_is_asked_once_and_the_others_are_told(app: TestApp, OPEN) {
        let admin = app.admin().await;
        app.provider.script(Script::refuse(500).for_path("/broken"));
        accept(&app, "/whole", 5);
        webhook(&app, &admin, "/broken", json!(["calendar.created"])).await;
        webhook(&app, &admin, "/whole", json!(["calendar.created"])).await;
        admin.post("/api/v1/calendars/create", json!({ "name": "One" })).await.ok();
        assert_eq!(received(&app, "/whole", 1).await[0]["data"]["name"], "One");
        assert_eq!(app.provider.requests_to("/broken").len(), 1);
    }

    async fn private_addresses_are_neither_kept_nor_called(app: TestApp) {
        let admin = app.admin().await;
        let url = format!("{}/hook", app.provider.ollama_url());
        let refused = admin.post("/api/events/webhooks", json!({ "url": url, "events": ["*"] })).await;
        assert_eq!((refused.status, &refused.body["detail"]), (400, &json!("The URL you provided is invalid. Please double-check and try again.")));
        // An import of the configuration is not asked, so the address is looked at again when something happens.
        let stored = json!({ "config": { "events.webhooks": [{ "id": "x", "name": "X", "url": url, "enabled": true, "events": ["*"] }] } });
        admin.post("/api/v1/configs/import", stored).await.ok();
        let listed = admin.get("/api/events/webhooks").await.ok();
        assert_eq!(listed[0]["url"], url.as_str());
        admin.post("/api/v1/calendars/create", json!({ "name": "One" })).await.ok();
        let on = json!({ "config": { "ui.enable_user_webhooks": true } });
        admin.post("/api/v1/configs/import", on).await.ok();
        let own = json!({ "name": "Phone", "type": "webhook", "config": { "url": url } });
        assert_eq!(admin.post("/api/v1/notifications/targets", own).await.status, 400);
        assert!(app.provider.requests_to("/hook").is_empty());
    }

    async fn finished_and_failed_replies_are_told(app: TestApp, OPEN) {
        let admin = app.admin().await;
        accept(&app, "/hook", 10);
        webhook(&app, &admin, "/hook", json!(["chat.finished", "chat.failed"])).await;
        app.provider.script(Script::text("All is well."));
        let echo = json!({"model": "echo", "tools": [], "message_ids": [{"model_id": "echo", "message_id": "answer"}]});
        let chat = ask(&admin, echo.clone()).await;
        let told = received(&app, "/hook", 1).await.remove(0);
        assert_eq!((&told["event"], &told["subject"]), (&json!("chat.finished"), &json!({ "type": "chat", "id": chat })));
        assert_eq!((&told["data"]["message"], &told["data"]["message_id"], &told["data"]["model_id"]), (&json!("All is well."), &json!("answer"), &json!("echo")));
        assert!(told["data"]["url"].as_str().unwrap().ends_with(&format!("/c/{chat}")));
        app.provider.script(Script::refuse(500));
        ask(&admin, echo).await;
        let told = received(&app, "/hook", 2).await.remove(1);
        assert_eq!((&told["event"], &told["message"]), (&json!("chat.failed"), &json!("Chat failed")));
        assert!(!told["data"]["message"].as_str().unwrap().is_empty());
    }

    async fn people_hear_of_channels_that_they_do_not_have_open(app: TestApp, OPEN) {
        let admin = app.admin().await;
        let ada = app.member(&admin, "ada", "user").await;
        admin.post("/api/v1/configs/import", json!({ "config": { "ui.enable_user_webhooks": true, "user.permissions": { "features": { "channels": true, "webhooks": true } } } })).await.ok();
        accept(&app, "/phone", 5);
        // As older versions kept it: one address in the settings of the client.
        let url = format!("{}/phone", app.provider.ollama_url());
        let old = json!({ "ui": { "notifications": { "webhook_url": url } } });
        ada.post("/api/v1/users/user/settings/update", old).await.ok();
        let targets = ada.get("/api/v1/notifications/targets").await.ok();
        assert_eq!(targets["targets"].as_array().map(Vec::len), Some(1), "{targets}");
        let id = ada.get("/api/v1/auths/").await.ok()["id"].clone();
        let group = json!({ "name": "talk", "type": "group", "user_ids": [id] });
        let channel = admin.post("/api/v1/channels/create", group).await.ok();
        let path = format!("/api/v1/channels/{}", channel["id"].as_str().unwrap());
        admin.post(&format!("{path}/messages/post"), json!({ "content": "Tea?" })).await.ok();
        let told = received(&app, "/phone", 1).await.remove(0);
        assert_eq!((&told["action"], &told["message"], &told["title"]), (&json!("channel"), &json!("Tea?"), &json!("talk")));
        ada.post(&format!("{path}/members/mute"), json!({ "is_channel_muted": true })).await.ok();
        admin.post(&format!("{path}/messages/post"), json!({ "content": "Quiet" })).await.ok();
        let mention = format!("<@U:{}|Ada>, coffee?", id.as_str().unwrap());
        admin.post(&format!("{path}/messages/post"), json!({ "content": mention })).await.ok();
        let told = received(&app, "/phone", 2).await;
        assert_eq!((told.len(), &told[1]["message"]), (2, &json!(mention)));
    }

    async fn the_single_address_of_older_versions_becomes_a_webhook(app: TestApp, &[("ENABLE_LOCAL_WEB_FETCH", "true"), ("WEBHOOK_URL", "http://127.0.0.1:1/old")]) {
        let admin = app.admin().await;
        let listed = admin.get("/api/events/webhooks").await.ok();
        assert_eq!((&listed[0]["id"], &listed[0]["url"], &listed[0]["events"]), (&json!("default"), &json!("http://127.0.0.1:1/old"), &json!(["*"])));
        assert_eq!(listed.as_array().unwrap().len(), 1);
        admin.delete("/api/events/webhooks/default").await.ok();
        assert_eq!(admin.get("/api/events/webhooks").await.ok(), json!([]));
    }

    async fn the_begin_and_the_end_of_the_server_are_told(app: TestApp, OPEN) {
        let admin = app.admin().await;
        accept(&app, "/hook", 10);
        webhook(&app, &admin, "/hook", json!(["system.*"])).await;
        let other = app.beside(OPEN).await;
        let told = received(&app, "/hook", 2).await;
        assert_eq!(names(&told), ["system.startup.completed", "system.startup.started"]);
        assert_eq!((&told[0]["source"], &told[0]["actor"], &told[0]["subject"]), (&json!("system"), &Value::Null, &Value::Null));
        other.stop().await;
        // Nothing is waited for: whoever stops has told before.
        let told: Vec<Value> = app.provider.requests_to("/hook").into_iter().map(|request| request.body).collect();
        assert_eq!(names(&told[2..]), ["system.shutdown.completed", "system.shutdown.started"]);
    }

    async fn changed_settings_of_a_pipeline_are_told(app: TestApp, OPEN) {
        let admin = app.admin().await;
        accept(&app, "/hook", 5);
        webhook(&app, &admin, "/hook", json!(["pipeline.*"])).await;
        app.provider.script(Script::json(200, &json!({ "a": 1 })).for_path("/v1/p/valves"));
        app.provider.script(Script::json(200, &json!({ "a": 2 })).for_path("/v1/p/valves/update"));
        admin.get("/api/v1/pipelines/p/valves?urlIdx=0").await.ok();
        admin.post("/api/v1/pipelines/p/valves/update?urlIdx=0", json!({ "a": 2 })).await.ok();
        let told = received(&app, "/hook", 1).await;
        assert_eq!((told.len(), &told[0]["event"]), (1, &json!("pipeline.valves_updated")));
        assert_eq!((&told[0]["subject"]["id"], &told[0]["data"]), (&json!("p"), &json!({ "url_idx": 0 })));
    }
}

/// Events of things that are not there yet.
const NOT_YET: &[&str] = &[
    "auth.oauth_session.deleted",
    "image.generated",
    "image.edited",
    "audio.speech_requested",
    "audio.transcription_requested",
    "terminal.session.opened",
    "terminal.session.closed",
    // The reference publishes these nowhere.
    "notification.test",
    "notification.manual",
];

/// Whole text of the server's own code but for the catalogue.
fn code() -> String {
    let mut text = String::new();
    let mut folders = vec![oui_testkit::repository().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("events/src") && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_event_of_the_catalogue_is_published_somewhere() {
    let code = code();
    let missing: Vec<&str> = oui_events::catalogue::NAMES
        .iter()
        .copied()
        .filter(|name| !code.contains(&format!("\"{name}\"")))
        .collect();
    assert_eq!(missing, NOT_YET);
}
