//! Code that models and people run on a Jupyter server, here a scripted one, and in the browser.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router};
use oui_fake_provider::Script;
use oui_testkit::{Client, both};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::tools::{ask, reply};

/// What a scripted Jupyter server saw.
#[derive(Default)]
struct Seen {
    programs: Vec<String>,
    stopped: Vec<String>,
    tokens: Vec<Option<String>>,
    cookies: Vec<String>,
}

type Server = Arc<Mutex<Seen>>;

async fn sign_in_page() -> Response {
    ([("set-cookie", "_xsrf=x1; Path=/")], "page").into_response()
}

async fn sign_in(headers: HeaderMap, form: String) -> Response {
    let right = form == "_xsrf=x1&password=secret" && headers["cookie"] == "_xsrf=x1";
    if !right {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    (
        StatusCode::FOUND,
        [("set-cookie", "session=s1; Path=/"), ("location", "/nowhere")],
    )
        .into_response()
}

async fn start(State(server): State<Server>, Query(query): Query<Value>, headers: HeaderMap) -> Response {
    let token = query["token"].as_str().map(str::to_owned);
    let cookie = headers
        .get("cookie")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    server.lock().cookies.push(cookie.to_owned());
    let may = token.as_deref() == Some("right") || cookie.contains("session=s1");
    server.lock().tokens.push(token);
    if !may {
        return StatusCode::FORBIDDEN.into_response();
    }
    (StatusCode::CREATED, Json(json!({ "id": "k1" }))).into_response()
}

async fn stop(State(server): State<Server>, Path(id): Path<String>) -> StatusCode {
    server.lock().stopped.push(id);
    StatusCode::NO_CONTENT
}

async fn channels(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            let Ok(text) = message.to_text() else { continue };
            let request: Value = serde_json::from_str(text).unwrap();
            let code = request["content"]["code"].as_str().unwrap().to_owned();
            server.lock().programs.push(code.clone());
            let id = &request["header"]["msg_id"];
            let told = |kind: &str, content: Value| {
                json!({ "msg_type": kind, "parent_header": { "msg_id": id }, "content": content })
            };
            let mut answers = vec![
                json!({ "msg_type": "stream", "parent_header": { "msg_id": "other" }, "content": { "name": "stdout", "text": "not ours" } }),
                told("status", json!({ "execution_state": "busy" })),
                told("stream", json!({ "name": "stdout", "text": "printed\n" })),
                told("stream", json!({ "name": "stderr", "text": "warned\n" })),
            ];
            if code.contains("draw") {
                answers.push(told("display_data", json!({ "data": { "image/png": "iVBORw0KGgo=" } })));
            }
            if code.contains("hang") {
                for answer in answers {
                    let _ = socket.send(Message::Text(answer.to_string().into())).await;
                }
                continue;
            }
            if code.contains("flood") {
                let much = "x".repeat(1024 * 1024);
                answers.extend((0..20).map(|_| told("stream", json!({ "name": "stdout", "text": much }))));
            }
            answers.push(told("execute_result", json!({ "data": { "text/plain": "42" } })));
            answers.push(told("status", json!({ "execution_state": "idle" })));
            for answer in answers {
                if socket.send(Message::Text(answer.to_string().into())).await.is_err() {
                    return;
                }
            }
        }
    })
}

async fn jupyter() -> (String, Server) {
    let server = Server::default();
    let app = Router::new()
        .route("/login", get(sign_in_page).post(sign_in))
        .route("/api/kernels", post(start))
        .route("/api/kernels/{id}", delete(stop))
        .route("/api/kernels/{id}/channels", any(channels))
        .with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, server)
}

/// Makes the server the engine of people and models.
async fn use_engine(client: &Client, url: &str, auth: &str, more: Value) {
    let mut settings = client.get("/api/v1/configs/code_execution").await.ok();
    for of in ["CODE_EXECUTION", "CODE_INTERPRETER"] {
        settings[format!("{of}_ENGINE")] = json!("jupyter");
        settings[format!("{of}_JUPYTER_URL")] = json!(url);
        settings[format!("{of}_JUPYTER_AUTH")] = json!(auth);
        settings[format!("{of}_JUPYTER_AUTH_TOKEN")] = json!("right");
        settings[format!("{of}_JUPYTER_AUTH_PASSWORD")] = json!("secret");
    }
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    client.post("/api/v1/configs/code_execution", settings).await.ok();
}

async fn until_stopped(server: &Server) {
    for _ in 0..200 {
        if !server.lock().stopped.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the kernel is still there");
}

both! {
    async fn people_run_code_on_a_server(app: TestApp) {
        let admin = app.admin().await;
        let path = "/api/v1/utils/code/execute";
        let refused = admin.post(path, json!({"code": "1"})).await;
        assert_eq!((refused.status, &refused.body["detail"]), (400, &json!("[ERROR: Code execution engine not supported]")));
        let (url, server) = jupyter().await;
        use_engine(&admin, &url, "token", json!({})).await;
        let ran = admin.post(path, json!({"code": "print('x')"})).await.ok();
        assert_eq!(ran, json!({"stdout": "printed", "stderr": "warned", "result": "42"}));
        until_stopped(&server).await;
        use_engine(&admin, &url, "password", json!({})).await;
        assert_eq!(admin.post(path, json!({"code": "draw"})).await.ok()["result"], "data:image/png;base64,iVBORw0KGgo=\n42");
        assert_eq!(server.lock().cookies.last().unwrap(), "_xsrf=x1; session=s1");
        use_engine(&admin, &url, "", json!({})).await;
        let told = admin.post(path, json!({"code": "1"})).await.ok();
        assert!(told["stderr"].as_str().unwrap().contains("403"), "{told}");
        assert!(!told.to_string().contains("right"));
        use_engine(&admin, &url, "token", json!({"CODE_EXECUTION_JUPYTER_TIMEOUT": 1})).await;
        let slow = admin.post(path, json!({"code": "hang"})).await.ok();
        assert_eq!(slow["stderr"], "warned\n\nExecution timed out.");
        let much = admin.post(path, json!({"code": "flood"})).await.ok();
        assert!(much["stderr"].as_str().unwrap().contains("too much output"));
        use_engine(&admin, &url, "token", json!({"ENABLE_CODE_EXECUTION": false})).await;
        assert_eq!(admin.post(path, json!({"code": "1"})).await.status, 403);
    }

    async fn models_run_code_with_a_tool(app: TestApp, &[("CODE_INTERPRETER_BLOCKED_MODULES", "os,sys")]) {
        let admin = app.admin().await;
        let (url, server) = jupyter().await;
        use_engine(&admin, &url, "token", json!({})).await;
        app.provider.script(Script::tool_call("execute_code", json!({"code": "```python\ndraw()\n```"})));
        app.provider.script(Script::text("It is drawn."));
        let chat_id = ask(&admin, json!({"features": {"code_interpreter": true}})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        let result = reply["output"][1]["output"][0]["text"].as_str().unwrap();
        let result: Value = serde_json::from_str(result).unwrap();
        assert_eq!((&result["status"], &result["stdout"]), (&json!("success"), &json!("printed")));
        let shown = result["result"].as_str().unwrap();
        assert!(shown.starts_with("![Output Image](/api/v1/files/") && shown.ends_with("\n42"), "{shown}");
        let program = server.lock().programs[0].clone();
        assert!(program.ends_with("\ndraw()") && program.contains("[\"os\",\"sys\"]"), "{program}");
    }

    async fn models_without_tools_write_code_between_tags(app: TestApp) {
        let admin = app.admin().await;
        let (url, server) = jupyter().await;
        use_engine(&admin, &url, "token", json!({})).await;
        app.provider.script(Script::chunks([
            "Let me see. <code_", "interpreter type=\"code\" lang=\"python\">print(6", " * 7)</code_interpreter>",
            "and this was said too early",
        ]));
        app.provider.script(Script::text("It is 42."));
        let more = json!({"features": {"code_interpreter": true}, "params": {"function_calling": "legacy"}});
        let chat_id = ask(&admin, more).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        let items = reply["output"].as_array().unwrap();
        let kinds: Vec<&str> = items.iter().filter_map(|item| item["type"].as_str()).collect();
        assert_eq!(kinds, ["message", "open_webui:code_interpreter", "message"], "{reply}");
        assert_eq!((&items[1]["code"], &items[1]["status"]), (&json!("print(6 * 7)"), &json!("completed")));
        assert_eq!(items[1]["output"], json!({"stdout": "printed", "stderr": "warned", "result": "42"}));
        assert_eq!(items[2]["content"][0]["text"], "It is 42.");
        assert_eq!(server.lock().programs, ["print(6 * 7)"]);
        let sent = app.provider.requests_to("/v1/chat/completions");
        let last = sent.last().unwrap().body["messages"].as_array().unwrap().last().unwrap().clone();
        let told = last["content"].as_str().unwrap();
        assert!(told.contains("<code_interpreter>\nprint(6 * 7)\n</code_interpreter>"), "{told}");
        assert!(told.contains("<code_interpreter_output>\nprinted\n</code_interpreter_output>"), "{told}");
        assert!(!told.contains("too early"));
    }
}
