//! What must survive: replies cut off by a crash, by a provider that misbehaves, by a reader that goes away, and
//! histories with odd characters.

use oui_fake_provider::{Ending, Part, Plan, Reply, Script};
use oui_models::chat_edits::{self, NewChat};
use oui_models::stream_journal::JournalRow;
use oui_models::{chat_messages, stream_journal, users};
use oui_testkit::{TestApp, both};
use serde_json::json;

use crate::tools::{ask, reply};

/// A reply that is being written, as it stands in the database since `updated_at`.
pub(crate) async fn open_reply(app: &TestApp, state: Option<serde_json::Value>, updated_at: i64) -> String {
    let db = app.db();
    let owner = users::first(db).await.unwrap().unwrap();
    let document = json!({"title": "T", "history": {"currentId": "a", "messages": {
        "u": {"id": "u", "role": "user", "content": "q\u{0}?", "parentId": null, "childrenIds": ["a"]},
        "a": {"id": "a", "role": "assistant", "content": "", "done": false, "parentId": "u", "childrenIds": [], "model": "m"},
    }}});
    let new = NewChat {
        id: "chat-1".into(),
        user_id: owner.id.clone(),
        document: document.as_object().unwrap().clone(),
        ..NewChat::default()
    };
    chat_edits::create(db, new).await.unwrap();
    let row = JournalRow {
        message_id: "a".into(),
        chat_id: "chat-1".into(),
        user_id: owner.id.clone(),
        task_id: "t".into(),
        state,
        updated_at,
    };
    row.insert(db).await.unwrap();
    owner.id
}

both! {
    async fn a_reply_cut_off_by_a_crash_is_kept_and_marked(app: TestApp) {
        app.admin().await;
        let state = json!({"output": [
            {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant",
             "content": [{"type": "output_text", "text": "half a rep"}]},
        ]});
        open_reply(&app, Some(state), 1).await;
        assert_eq!(app.running().app.chat.recover().await.unwrap(), 1);
        let messages = chat_messages::map(app.db(), "chat-1").await.unwrap().unwrap();
        assert_eq!(messages["a"]["content"], "half a rep");
        assert_eq!(messages["a"]["done"], true);
        assert_eq!(messages["a"]["output"][0]["status"], "incomplete");
        assert!(messages["a"]["error"]["content"].as_str().unwrap().contains("regenerate"));
        assert!(stream_journal::all(app.db()).await.unwrap().is_empty());
        // A second start has nothing left to do.
        assert_eq!(app.running().app.chat.recover().await.unwrap(), 0);
    }

    async fn a_finished_reply_is_left_alone(app: TestApp) {
        app.admin().await;
        open_reply(&app, None, 1).await;
        let message = json!({"content": "whole", "done": true}).as_object().unwrap().clone();
        chat_edits::upsert_message(app.db(), "chat-1", "a", message, true).await.unwrap();
        app.running().app.chat.recover().await.unwrap();
        let messages = chat_messages::map(app.db(), "chat-1").await.unwrap().unwrap();
        assert_eq!(messages["a"]["content"], "whole");
        assert!(messages["a"].get("error").is_none());
    }

    async fn rows_and_document_agree(app: TestApp) {
        app.admin().await;
        open_reply(&app, None, 1).await;
        let chat = oui_models::chats::by_id(app.db(), "chat-1").await.unwrap().unwrap();
        let document = chat.document();
        let rows = chat_messages::map(app.db(), "chat-1").await.unwrap().unwrap();
        for id in ["u", "a"] {
            for field in ["role", "content", "parentId", "childrenIds"] {
                let stored = &document["history"]["messages"][id][field];
                let row = rows[id].get(field).cloned().unwrap_or_default();
                assert_eq!(&row, stored, "{id}.{field}");
            }
        }
        assert_eq!(rows["u"]["content"], "q?");
    }

    async fn a_provider_that_drops_costs_the_rest_only(app: TestApp) {
        let admin = app.admin().await;
        let plan = Plan::texts(["It was ", "a dark "]).ending(Ending::Drop);
        app.provider.script(Script::reply(Reply::Plan(plan)));
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!((&reply["content"], &reply["done"]), (&json!("It was a dark "), &json!(true)));
        assert_eq!(reply["output"][0]["status"], "incomplete");
        assert!(reply["error"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
    }

    async fn garbage_between_events_is_left_out(app: TestApp) {
        let admin = app.admin().await;
        let parts = [Part::Text("It ".into()), Part::Noise, Part::Text("was.".into()), Part::Noise];
        app.provider.script(Script::parts(parts));
        let chat_id = ask(&admin, json!({})).await;
        assert_eq!(reply(&admin, &chat_id, "answer").await["content"], "It was.");
        for garbage in ["<html>busy</html>\n", "data: {\"choices\": [\n\ndata: {\"choices\": 5}\n\n", "\u{0}\u{1}\n\n\n"] {
            app.provider.script(Script::raw(200, "text/event-stream", [garbage]));
            let chat_id = ask(&admin, json!({})).await;
            let reply = reply(&admin, &chat_id, "answer").await;
            assert_eq!(reply["done"], true, "{garbage:?}: {reply}");
        }
    }

    async fn a_provider_that_stalls_is_given_up(app: TestApp, &[("AIOHTTP_CLIENT_STREAM_IDLE_TIMEOUT", "1"), ("AIOHTTP_CLIENT_TIMEOUT", "1")]) {
        let admin = app.admin().await;
        let plan = Plan::texts(["It was "]).ending(Ending::Hang);
        app.provider.script(Script::reply(Reply::Plan(plan)));
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!((&reply["content"], &reply["done"]), (&json!("It was "), &json!(true)));
        assert!(reply["error"]["content"].is_string(), "{reply}");
    }

    async fn a_reader_that_goes_away_leaves_a_whole_reply(app: TestApp) {
        let admin = app.admin().await;
        let plan = Plan { pause_ms: Some(5), ..Plan::texts((0..100).map(|number| format!("w{number} "))) };
        app.provider.script(Script::reply(Reply::Plan(plan)));
        let body = json!({
            "stream": true, "model": "tools", "id": "answer", "parent_id": null,
            "message_ids": [{"model_id": "tools", "message_id": "answer"}],
            "user_message": {"id": "question", "parentId": null, "childrenIds": ["answer"], "role": "user",
                "content": "Well?", "timestamp": 1, "models": ["tools"]},
            "background_tasks": {},
        });
        let request = admin.request(http::Method::POST, "/api/chat/completions").json(&body);
        // The head has come, and with it the place in the chat.
        drop(request.send().await.unwrap());
        let chats = admin.get("/api/v1/chats/").await.ok();
        let chat_id = chats[0]["id"].as_str().unwrap().to_owned();
        loop {
            let chat = admin.get(&format!("/api/v1/chats/{chat_id}")).await.ok();
            let message = &chat["chat"]["history"]["messages"]["answer"];
            if message["done"] == true {
                assert!(message["content"].as_str().unwrap().trim_end().ends_with("w99"), "{message}");
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}
