//! A server that is killed in the middle of a reply: after the next start the chat holds what had arrived, says so, and
//! the reply can be given again.
#![expect(clippy::unwrap_used, reason = "a failure is the test's failure")]

use std::path::Path;
use std::time::Duration;

use oui_fake_provider::{Ending, FakeProvider, Plan, Reply, Script};
use serde_json::{Value, json};

mod support;

use support::Server;

async fn start(folder: &Path, provider: &FakeProvider) -> Server {
    let address = provider.openai_url();
    let environment = [
        ("OPENAI_API_BASE_URL", address.as_str()),
        ("OPENAI_API_KEY", "key"),
    ];
    let server = Server::start(folder, &environment).await;
    // The names of models have to be known before one is asked.
    server.get("/api/models").await;
    server
}

impl Server {
    async fn message(&self, chat_id: &str, id: &str) -> Value {
        let chat = self.get(&format!("/api/v1/chats/{chat_id}")).await;
        chat["chat"]["history"]["messages"][id].clone()
    }

    async fn ask(&self, chat_id: Option<&str>, reply: &str) -> String {
        let question = json!({
            "id": "question", "parentId": null, "childrenIds": [], "role": "user", "content": "Well?",
            "timestamp": 1, "models": ["tools"],
        });
        let mut body = json!({
            "stream": true, "model": "tools", "params": {}, "session_id": "tab", "id": reply, "parent_id": null,
            "message_ids": [{ "model_id": "tools", "message_id": reply }], "user_message": question,
            "background_tasks": {},
        });
        if let Some(chat_id) = chat_id {
            body["chat_id"] = json!(chat_id);
        }
        let started = self.post("/api/chat/completions", body).await;
        started["chat_id"].as_str().unwrap().to_owned()
    }
}

/// Whether the database's files hold a text.
fn is_on_disk(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    let mut files = files.filter(|file| file.file_name().to_string_lossy().starts_with("webui.db"));
    files.any(|file| {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn what_had_streamed_is_kept_and_the_reply_can_be_given_again() {
    let provider = FakeProvider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &provider).await;
    let half = Plan::texts(["One, ", "two, ", "three-and-a-half"]).ending(Ending::Hang);
    provider.script(Script::reply(Reply::Plan(half)));
    let chat_id = server.ask(None, "answer").await;
    while !is_on_disk(folder.path(), "three-and-a-half") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill().await;

    let server = start(folder.path(), &provider).await;
    let kept = server.message(&chat_id, "answer").await;
    assert_eq!(
        (&kept["content"], &kept["done"]),
        (&json!("One, two, three-and-a-half"), &json!(true))
    );
    assert_eq!(kept["output"][0]["status"], "incomplete");
    assert!(
        kept["error"]["content"].as_str().unwrap().contains("regenerate"),
        "{kept}"
    );

    provider.script(Script::text("One, two, three, four."));
    server.ask(Some(&chat_id), "again").await;
    let again = loop {
        let message = server.message(&chat_id, "again").await;
        if message["done"] == true {
            break message;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(again["content"], "One, two, three, four.");
    assert!(again.get("error").is_none_or(Value::is_null), "{again}");
    let question = server.message(&chat_id, "question").await;
    assert_eq!(question["childrenIds"], json!(["answer", "again"]));
}
