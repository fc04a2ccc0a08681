//! A socket server with an application in memory, for trying clients by hand:
//! `cargo run -p oui-socket --example echo -- [PORT] [polling]`
//!
//! Tokens are user ids (`alice`, `bob`, `carol`). Everybody may write to the chat `example-chat` and
//! hears the channel `example-channel`. `POST /emit` takes `{user, event, payload}`, `POST /call` takes
//! `{user, session, event, payload}` and answers with the browser's answer, `POST /kick` takes
//! `{user}`, `POST /forget` makes tokens of `{user}` fail, `GET /usage` lists models in use. Ctrl-C stops the server as SIGTERM would.

#[path = "../tests/it/backend.rs"]
mod backend;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use backend::TestBackend;
use oui_core::{Clock, Emitter, Room};
use oui_socket::{ChatAccess, ReadMark, SocketOptions, SocketServer};
use serde_json::{Value, json};

type Shared = State<(SocketServer, TestBackend)>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = arguments.first().map_or("8170", String::as_str);
    let websocket = !arguments.iter().any(|argument| argument == "polling");
    let options = SocketOptions {
        websocket,
        ..SocketOptions::default()
    };
    let application = application();
    let server = SocketServer::new(options, Clock::system(), Arc::new(application.clone()));
    let app = Router::new()
        .route("/emit", post(emit))
        .route("/call", post(call))
        .route("/kick", post(kick))
        .route("/forget", post(forget))
        .route("/usage", get(usage))
        .with_state((server.clone(), application))
        .merge(server.router());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            // Without a signal handler the server simply runs on.
            if tokio::signal::ctrl_c().await.is_ok() {
                server.close().await;
            }
        })
        .await
}

fn application() -> TestBackend {
    let application = TestBackend::new();
    for user in ["alice", "bob", "carol"] {
        application.allow_chat(user, "example-chat", ChatAccess::Write);
        application.set_channels(user, &["example-channel"]);
    }
    application.0.lock().read_mark = Some(ReadMark {
        last_read_at: 7,
        folder_unread_counts: None,
    });
    application
}

fn text(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap_or_default().to_owned()
}

async fn emit(State((server, _)): Shared, Json(data): Json<Value>) {
    server
        .emit(
            &Room::User(text(&data, "user")),
            &text(&data, "event"),
            &data["payload"],
            None,
        )
        .await;
}

async fn call(State((server, _)): Shared, Json(data): Json<Value>) -> Json<Value> {
    let (user, session) = (text(&data, "user"), text(&data, "session"));
    let limit = Some(Duration::from_secs(5));
    let answer = server
        .call(&user, &session, &text(&data, "event"), &data["payload"], limit)
        .await;
    Json(answer.unwrap_or_else(|error| json!({ "error": error.to_string() })))
}

async fn kick(State((server, _)): Shared, Json(data): Json<Value>) {
    server.disconnect_user(&text(&data, "user"), true).await;
}

async fn forget(State((_, application)): Shared, Json(data): Json<Value>) {
    application.remove_user(&text(&data, "user"));
}

async fn usage(State((server, _)): Shared) -> Json<Vec<String>> {
    Json(server.usage_models())
}
