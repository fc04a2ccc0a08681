//! The real server as a process that a test may kill, with one account.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// A running server and the token of its first account.
pub struct Server {
    process: Child,
    url: String,
    client: reqwest::Client,
    token: String,
}

impl Server {
    /// Starts it on a data folder; what is in the folder stays.
    pub async fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new(env!("CARGO_BIN_EXE_oui"))
            .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
            .envs([
                ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
                ("OFFLINE_MODE", "true"),
                ("ENABLE_OLLAMA_API", "false"),
            ])
            .envs(environment.iter().copied())
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
        let ready = format!("{}/ready", server.url);
        while server.client.get(&ready).send().await.is_err() {
            assert!(server.process.try_wait().unwrap().is_none(), "the server ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let person = json!({ "name": "Admin", "email": "admin@example.com", "password": "admin-password" });
        let mut known = server.post("/api/v1/auths/signup", person.clone()).await;
        if known["token"].is_null() {
            known = server.post("/api/v1/auths/signin", person).await;
        }
        server.token = known["token"].as_str().unwrap().to_owned();
        server
    }

    /// As the operating system ends a process that has no memory left.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// A call of the account.
    pub fn call(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
    }

    /// The answer to a body, `null` when it is no JSON.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call(reqwest::Method::POST, path).json(&body).send().await;
        answer.unwrap().json().await.unwrap_or_default()
    }

    /// What is at a path, `null` when it is no JSON.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.call(reqwest::Method::GET, path).send().await;
        answer.unwrap().json().await.unwrap_or_default()
    }
}
