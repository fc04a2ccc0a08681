//! Tools in chats: calls, consent, servers that misbehave, the older way of calling, long conversations.

use std::time::Duration;

use oui_fake_provider::{Part, Script};
use oui_migrations::testing::SqliteDatabase;
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Starts a run in a new chat, as a browser does, and answers its id.
pub(crate) async fn ask(client: &Client, more: Value) -> String {
    let mut body = json!({
        "stream": true, "model": "tools", "params": {}, "session_id": "tab", "id": "answer", "parent_id": null,
        "message_ids": [{"model_id": "tools", "message_id": "answer"}],
        "user_message": {"id": "question", "parentId": null, "childrenIds": ["answer"], "role": "user",
            "content": "Well?", "timestamp": 1, "models": ["tools"]},
        "background_tasks": {},
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    let started = client.post("/api/chat/completions", body).await.ok();
    started["chat_id"].as_str().unwrap().to_owned()
}

/// The reply, once no task of its chat runs any more.
pub(crate) async fn reply(client: &Client, chat_id: &str, message_id: &str) -> Value {
    for _ in 0..600 {
        let tasks = client.get(&format!("/api/tasks/chat/{chat_id}")).await.ok();
        if tasks["task_ids"] == json!([]) {
            let chat = client.get(&format!("/api/v1/chats/{chat_id}")).await.ok();
            return chat["chat"]["history"]["messages"][message_id].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the reply does not end");
}

fn results(reply: &Value) -> Vec<(&str, &str)> {
    let items = reply["output"].as_array().unwrap().iter();
    let results = items.filter(|item| item["type"] == "function_call_output");
    results
        .map(|item| {
            (
                item["status"].as_str().unwrap(),
                item["output"][0]["text"].as_str().unwrap(),
            )
        })
        .collect()
}

fn call(name: &str, arguments: Value) -> Part {
    Part::ToolCall {
        name: name.into(),
        arguments,
    }
}

/// How a tool server misbehaves.
#[derive(Clone, Copy)]
enum Manner {
    /// It never answers.
    Silent,
    /// It answers without end.
    Endless,
}

/// A tool server with one tool, `look`.
async fn bad_server(manner: Manner) -> Value {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                if matches!(manner, Manner::Silent) {
                    return tokio::time::sleep(Duration::from_secs(600)).await;
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
            });
        }
    });
    let spec = json!({"openapi": "3.1.0", "info": {"title": "Bad"}, "paths": {
        "/look": {"get": {"operationId": "look", "summary": "Looks"}}}});
    json!({"TOOL_SERVER_CONNECTIONS": [{
        "url": url, "path": "openapi.json", "type": "openapi", "auth_type": "none", "key": "", "spec_type": "json",
        "spec": spec.to_string(), "config": {"enable": true}, "info": {"id": "bad", "name": "Bad"},
    }]})
}

async fn with_bad_server(app: &TestApp, manner: Manner) -> Value {
    let admin = app.admin().await;
    admin.get("/api/models").await.ok();
    admin
        .post("/api/v1/configs/tool_servers", bad_server(manner).await)
        .await
        .ok();
    app.provider.script(Script::tool_call("look", json!({})));
    app.provider.script(Script::text("Went on."));
    let chat_id = ask(&admin, json!({"tool_ids": ["server:bad"]})).await;
    reply(&admin, &chat_id, "answer").await
}

both! {
    async fn calls_run_with_the_rights_of_the_user(app: TestApp) {
        let admin = app.admin().await;
        let user = app.member(&admin, "user", "user").await;
        let note = json!({"title": "Secret", "data": {"content": {"md": "the admin's"}}});
        let secret = admin.post("/api/v1/notes/create", note).await.ok();
        let open = json!({"id": "tools", "name": "tools", "access_grants": [
            {"principal_type": "user", "principal_id": "*", "permission": "read"}]});
        admin.get("/api/models").await.ok();
        admin.post("/api/v1/models/model/access/update", open).await.ok();
        app.provider.script(Script::parts([
            call("write_note", json!({"title": "Birds", "content": "Wrens sing."})),
            call("search_notes", json!({"query": "wrens"})),
            call("view_note", json!({"note_id": secret["id"]})),
            call("search_notes", json!({})),
        ]));
        app.provider.script(Script::text("Done."));
        let chat_id = ask(&user, json!({})).await;
        let reply = reply(&user, &chat_id, "answer").await;
        let results = results(&reply);
        assert_eq!(results[0].0, "completed");
        assert!(results[1].1.contains("Wrens sing."), "{}", results[1].1);
        assert_eq!(results[2], ("failed", "{\"error\":\"Access denied\"}"));
        assert_eq!(results[3].0, "failed");
        assert_eq!(reply["content"], "Done.");
        let sent = app.provider.requests_to("/v1/chat/completions");
        let messages = sent.last().unwrap().body["messages"].as_array().unwrap().clone();
        assert_eq!(messages.iter().filter(|message| message["role"] == "tool").count(), 4);
        assert_eq!(messages[1]["tool_calls"].as_array().unwrap().len(), 4);
    }

    async fn malformed_and_nameless_calls_are_told_to_the_model(app: TestApp) {
        let admin = app.admin().await;
        let event = |delta: Value, reason: Value| {
            format!("data: {}\n\n", json!({"id": "c", "object": "chat.completion.chunk", "model": "tools", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
        };
        let calls = json!({"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": "search_notes", "arguments": "{\"query\": "}},
            {"index": 1, "id": "b", "function": {"arguments": "{}"}},
            {"index": 2, "id": "c", "function": {"name": "create_tasks", "arguments": "{'tasks': [{'content': 'One'}]}"}},
            {"index": 3, "id": "d", "function": {"name": "update_task", "arguments": "{\"id\": \"1\"}{\"id\": \"9\"}"}},
        ]});
        let body = [event(calls, Value::Null), event(json!({}), json!("tool_calls")), "data: [DONE]\n\n".to_owned()];
        app.provider.script(Script::raw(200, "text/event-stream", body));
        app.provider.script(Script::text("Sorry."));
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        let status: Vec<&str> = results(&reply).iter().map(|(status, _)| *status).collect();
        assert_eq!(status, ["failed", "failed", "completed", "completed", "failed"], "{reply}");
        assert_eq!(reply["content"], "Sorry.");
        assert!(reply.get("error").is_none());
    }

    async fn a_silent_tool_server_costs_only_its_call(app: TestApp, &[("AIOHTTP_CLIENT_TIMEOUT_TOOL_SERVER", "1")]) {
        let reply = with_bad_server(&app, Manner::Silent).await;
        assert_eq!(results(&reply)[0].0, "failed");
        assert_eq!(reply["content"], "Went on.");
    }

    async fn an_endless_tool_server_costs_only_its_call(app: TestApp) {
        let reply = with_bad_server(&app, Manner::Endless).await;
        assert!(results(&reply)[0].1.contains("bytes"), "{reply}");
        assert_eq!(reply["content"], "Went on.");
    }

    async fn rounds_are_limited(app: TestApp, &[("CHAT_RESPONSE_MAX_TOOL_CALL_ITERATIONS", "2")]) {
        let admin = app.admin().await;
        for _ in 0..3 {
            app.provider.script(Script::tool_call("get_current_timestamp", json!({})));
        }
        let chat_id = ask(&admin, json!({})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(results(&reply).len(), 2);
        assert_eq!(reply["error"]["content"], "Tool-call limit reached (2 iterations).");
        assert_eq!(reply["done"], true);
    }

    async fn a_stopped_call_is_marked(app: TestApp) {
        let admin = app.admin().await;
        admin.post("/api/v1/configs/tool_servers", bad_server(Manner::Silent).await).await.ok();
        app.provider.script(Script::tool_call("look", json!({})));
        let chat_id = ask(&admin, json!({"tool_ids": ["server:bad"]})).await;
        for _ in 0..200 {
            let chat = admin.get(&format!("/api/v1/chats/{chat_id}")).await.ok();
            if chat["chat"]["history"]["messages"]["answer"]["output"][0]["status"] == "completed" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        admin.post(&format!("/api/tasks/chat/{chat_id}/stop"), json!({})).await.ok();
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(reply["done"], true);
        assert_eq!(reply["output"][0]["status"], "incomplete");
    }

    async fn the_older_way_puts_results_into_the_question(app: TestApp) {
        let admin = app.admin().await;
        let spec = json!({"openapi": "3.1.0", "info": {"title": "Birds"}, "paths": {
            "/tools/look": {"get": {"operationId": "look", "summary": "Looks"}}}});
        let url = app.provider.ollama_url();
        admin.post("/api/v1/configs/tool_servers", json!({"TOOL_SERVER_CONNECTIONS": [{
            "url": url, "path": "", "type": "openapi", "auth_type": "none", "key": "", "spec_type": "json",
            "spec": spec.to_string(), "config": {"enable": true}, "info": {"id": "birds", "name": "Birds"},
        }]})).await.ok();
        app.provider.script(Script::json(200, &json!({"wren": true})).for_path("/tools/look"));
        // The scripted provider chooses the first tool that the prompt lists.
        app.provider.script(Script::text("A wren."));
        let chat_id = ask(&admin, json!({"tool_ids": ["server:birds"], "params": {"function_calling": "legacy"}})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(reply["content"], "A wren.");
        assert_eq!(reply["sources"][0]["source"]["name"], "server:birds/look");
        let sent = app.provider.requests_to("/v1/chat/completions");
        let question = sent.last().unwrap().body["messages"][0]["content"].as_str().unwrap().to_owned();
        assert!(question.contains("{\n  \"wren\": true\n}</source>") && question.ends_with("Well?"), "{question}");
        assert!(sent.last().unwrap().body.get("tools").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_waited_for_across_a_restart() {
    let database = SqliteDatabase::prepared().await;
    let app = TestApp::on_file(&database.path(), &[]).await;
    let admin = app.admin().await;
    let settings = json!({"ENABLE_CONTEXT_COMPACTION": false, "CONTEXT_COMPACTION_PROMPT_TEMPLATE": "", "ENABLE_TOOL_PERMISSIONS": true});
    admin.post("/api/v1/chats/config", settings).await.ok();
    app.provider.script(Script::parts([
        call("create_tasks", json!({"tasks": [{"content": "One"}]})),
        call("update_task", json!({"id": "1"})),
    ]));
    let chat_id = ask(&admin, json!({"params": {"tool_approval_mode": "ask"}})).await;
    let waiting = reply(&admin, &chat_id, "answer").await;
    assert_eq!(
        (&waiting["done"], &waiting["output"][0]["status"]),
        (&json!(false), &json!("pending"))
    );
    assert_eq!(waiting["output"][1]["status"], "queued");
    app.stop().await;

    let app = TestApp::on_file(&database.path(), &[]).await;
    let admin = app.admin().await;
    let providers = json!({"ENABLE_OPENAI_API": true, "OPENAI_API_BASE_URLS": [app.provider.openai_url()],
        "OPENAI_API_KEYS": ["sk-provider"], "OPENAI_API_CONFIGS": {}});
    admin.post("/openai/config/update", providers).await.ok();
    let again = reply(&admin, &chat_id, "answer").await;
    assert_eq!(again["output"], waiting["output"]);
    let resolve = format!("/api/v1/chats/{chat_id}/messages/answer/resolve");
    let decide = async |index: usize, action: &str| {
        let id = waiting["output"][index]["call_id"].clone();
        admin
            .post(&resolve, json!({"call_id": id, "action": action}))
            .await
    };
    app.provider.script(Script::text("All set."));
    // The first call runs at once; the reply then waits for the second.
    assert_eq!(
        decide(0, "approve").await.ok()["task_ids"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let half = reply(&admin, &chat_id, "answer").await;
    assert_eq!(
        (&half["done"], half["output"][1]["status"].as_str()),
        (&json!(false), Some("pending"))
    );
    assert_eq!(decide(0, "approve").await.status, 409);
    assert_eq!(
        decide(1, "reject").await.ok()["task_ids"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let done = reply(&admin, &chat_id, "answer").await;
    assert_eq!(
        (&done["done"], &done["content"]),
        (&json!(true), &json!("All set."))
    );
    let status: Vec<&str> = results(&done).iter().map(|(status, _)| *status).collect();
    assert_eq!(status, ["completed", "rejected"]);
    app.stop().await;
}
