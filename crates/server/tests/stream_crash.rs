//! A server that is killed in the middle of a reply: after the next start the chat holds what had arrived, says so, and
//! the reply can be given again.
#![expect(clippy::unwrap_used, reason = "a failure is the test's failure")]

use std::path::Path;
use std::time::Duration;

use oui_fake_provider::{Ending, FakeProvider, Plan, Reply, Script};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

struct Server {
    process: Child,
    url: String,
    client: reqwest::Client,
    token: String,
}

impl Server {
    async fn start(folder: &Path, provider: &FakeProvider) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_oui"))
            .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
            .envs([
                ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
                ("OFFLINE_MODE", "true"),
                ("ENABLE_OLLAMA_API", "false"),
                ("OPENAI_API_KEY", "key"),
            ])
            .env("OPENAI_API_BASE_URL", provider.openai_url())
            .env("DATA_DIR", folder)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut server = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder().build().unwrap(),
            token: String::new(),
        };
        while server
            .client
            .get(format!("{}/ready", server.url))
            .send()
            .await
            .is_err()
        {
            assert!(server.process.try_wait().unwrap().is_none(), "the server ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let person = json!({ "name": "Admin", "email": "admin@example.com", "password": "admin-password" });
        let mut known = server.post("/api/v1/auths/signup", person.clone()).await;
        if known["token"].is_null() {
            known = server.post("/api/v1/auths/signin", person).await;
        }
        server.token = known["token"].as_str().unwrap().to_owned();
        server.get("/api/models").await;
        server
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let call = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        call.json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Value {
        let call = self
            .client
            .get(format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        call.send().await.unwrap().json().await.unwrap_or_default()
    }

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
    let server = Server::start(folder.path(), &provider).await;
    let half = Plan::texts(["One, ", "two, ", "three-and-a-half"]).ending(Ending::Hang);
    provider.script(Script::reply(Reply::Plan(half)));
    let chat_id = server.ask(None, "answer").await;
    while !is_on_disk(folder.path(), "three-and-a-half") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut server = server;
    server.process.kill().await.unwrap();

    let server = Server::start(folder.path(), &provider).await;
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
