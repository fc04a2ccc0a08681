//! What must survive: replies cut off by a crash, and histories with odd characters.

use oui_models::chat_edits::{self, NewChat};
use oui_models::stream_journal::JournalRow;
use oui_models::{chat_messages, stream_journal, users};
use oui_testkit::{TestApp, both};
use serde_json::json;

async fn open_reply(app: &TestApp, state: Option<serde_json::Value>) -> String {
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
        updated_at: 1,
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
        open_reply(&app, Some(state)).await;
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
        open_reply(&app, None).await;
        let message = json!({"content": "whole", "done": true}).as_object().unwrap().clone();
        chat_edits::upsert_message(app.db(), "chat-1", "a", message, true).await.unwrap();
        app.running().app.chat.recover().await.unwrap();
        let messages = chat_messages::map(app.db(), "chat-1").await.unwrap().unwrap();
        assert_eq!(messages["a"]["content"], "whole");
        assert!(messages["a"].get("error").is_none());
    }

    async fn rows_and_document_agree(app: TestApp) {
        app.admin().await;
        open_reply(&app, None).await;
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
}
