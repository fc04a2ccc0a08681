//! Plugins in chats: tools and functions that misbehave, and MCP servers. What well-behaved ones do is told by the
//! scenarios of conformance.

use oui_fake_provider::Script;
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

use crate::tools::{ask, reply};

const TOOL: &str = r#"
import os, time

class Tools:
    def hang(self):
        time.sleep(600)

    def die(self):
        os._exit(3)

    def large(self):
        return "x" * 3_000_000

    def fine(self):
        return "fine"
"#;

fn results(reply: &Value) -> Vec<(String, String)> {
    let items = reply["output"].as_array().unwrap().iter();
    items
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| {
            let text = item["output"][0]["text"].as_str().unwrap().to_owned();
            (item["status"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

async fn with_tool(admin: &Client, app: &TestApp, method: &str) -> Value {
    let form = json!({"id": "bad", "name": "Bad", "content": TOOL, "meta": {}});
    admin.post("/api/v1/tools/create", form).await.ok();
    app.provider.script(Script::tool_call(method, json!({})));
    app.provider.script(Script::tool_call("fine", json!({})));
    app.provider.script(Script::text("Went on."));
    let chat_id = ask(admin, json!({"tool_ids": ["bad"]})).await;
    reply(admin, &chat_id, "answer").await
}

/// What a scripted MCP server answers to a message with this id.
fn rpc(id: u64, result: Value) -> Script {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
    Script::json(200, &body).for_path("/mcp")
}

fn greeting(app: &TestApp) {
    let hello = json!({"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "birds"},
        "instructions": "Ask for wrens."});
    app.provider.script(rpc(1, hello));
    app.provider
        .script(Script::json(202, &json!({})).for_path("/mcp"));
    let tools = json!({"tools": [
        {"name": "look", "description": "Looks.", "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}}}},
        {"name": "hide", "description": "Hides.", "inputSchema": {"type": "object", "properties": {}}},
    ]});
    app.provider.script(rpc(2, tools));
}

fn birds(app: &TestApp, more: Value) -> Value {
    let mut connection = json!({
        "url": format!("{}/mcp", app.provider.ollama_url()), "path": "", "type": "mcp", "auth_type": "bearer", "key": "secret",
        "config": {"enable": true, "function_name_filter_list": "!hide"}, "info": {"id": "birds", "name": "Birds"},
    });
    connection
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    connection
}

both! {
    async fn a_tool_that_hangs_costs_only_its_call(app: TestApp, &[("OUI_PLUGIN_CALL_TIMEOUT", "1")]) {
        let admin = app.admin().await;
        let reply = with_tool(&admin, &app, "hang").await;
        let results = results(&reply);
        assert_eq!(results[0].0, "failed");
        assert!(results[0].1.contains("within 1 seconds"), "{}", results[0].1);
        assert_eq!(results[1], ("completed".to_owned(), "fine".to_owned()));
        assert_eq!(reply["content"], "Went on.");
    }

    async fn a_tool_that_ends_its_process_costs_only_its_call(app: TestApp) {
        let admin = app.admin().await;
        let reply = with_tool(&admin, &app, "die").await;
        let results = results(&reply);
        assert_eq!((results[0].0.as_str(), results[1].1.as_str()), ("failed", "fine"));
        assert_eq!(reply["content"], "Went on.");
    }

    async fn a_tool_that_answers_megabytes_is_cut(app: TestApp) {
        let admin = app.admin().await;
        let reply = with_tool(&admin, &app, "large").await;
        let results = results(&reply);
        assert!(results[0].1.len() < 1_000_200 && results[0].1.ends_with("bytes.]"));
        assert_eq!(results[1].1, "fine");
    }

    async fn functions_that_can_not_be_loaded_are_switched_off(app: TestApp) {
        let admin = app.admin().await;
        let form = |content: &str| json!({"id": "filter", "name": "Filter", "content": content, "meta": {}});
        let source = "class Filter:\n    def inlet(self, body):\n        return body\n";
        admin.post("/api/v1/functions/create", form(source)).await.ok();
        admin.post("/api/v1/functions/id/filter/toggle", json!({})).await.ok();
        admin.post("/api/v1/functions/id/filter/toggle/global", json!({})).await.ok();
        oui_models::functions::save(
            app.db(),
            "filter",
            &oui_models::functions::FunctionData {
                name: "Filter".into(),
                kind: "filter".into(),
                content: "raise ValueError('no')".into(),
                meta: json!({}),
            },
            None,
            oui_models::models::Commit { user_id: "x", message: None },
        ).await.unwrap();
        let question = json!({"model": "echo", "messages": [{"role": "user", "content": "Hi"}]});
        let answer = admin.post("/api/chat/completions", question).await.ok();
        assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
        let stored = admin.get("/api/v1/functions/id/filter").await.ok();
        assert_eq!(stored["is_active"], false);
    }

    async fn mcp_servers_offer_tools(app: TestApp) {
        let admin = app.admin().await;
        admin.get("/api/models").await.ok();
        let servers = json!({"TOOL_SERVER_CONNECTIONS": [birds(&app, json!({}))]});
        admin.post("/api/v1/configs/tool_servers", servers).await.ok();
        greeting(&app);
        // In the middle of a call the server asks whether we are there.
        let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
        let result = json!({"jsonrpc": "2.0", "id": 3, "result": {"content": [
            {"type": "text", "text": "{\"wren\": true}"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"}]}});
        let events = [format!("data: {ping}\n\n"), format!("data: {result}\n\n")];
        app.provider.script(Script::raw(200, "text/event-stream", events).for_path("/mcp"));
        app.provider.script(Script::json(202, &json!({})).for_path("/mcp"));
        app.provider.script(Script::tool_call("birds_look", json!({"at": "sky", "more": 1})));
        app.provider.script(Script::text("A wren."));
        let chat_id = ask(&admin, json!({"tool_ids": ["server:mcp:birds"]})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(results(&reply), [("completed".to_owned(), "{\n  \"wren\": true\n}".to_owned())]);
        let picture = reply["output"][1]["files"][0]["url"].as_str().unwrap();
        assert!(picture.starts_with("/api/v1/files/"), "{picture}");
        assert_eq!(reply["content"], "A wren.");
        let sent = app.provider.requests_to("/mcp");
        let methods: Vec<&str> = sent.iter().filter_map(|sent| sent.body["method"].as_str()).collect();
        assert_eq!(methods, ["initialize", "notifications/initialized", "tools/list", "tools/call"]);
        assert_eq!(sent[3].body["params"], json!({"name": "look", "arguments": {"at": "sky", "more": 1}}));
        assert_eq!(sent[4].body, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
        assert_eq!(sent[2].header("authorization"), Some("Bearer secret"));
        assert_eq!(sent[2].header("mcp-protocol-version"), Some("2025-03-26"));
        let asked = app.provider.requests_to("/v1/chat/completions");
        let body = &asked[0].body;
        assert!(body["messages"][0]["content"].as_str().unwrap().contains("Ask for wrens."));
        let names: Vec<&str> = body["tools"].as_array().unwrap().iter()
            .filter_map(|tool| tool["function"]["name"].as_str()).collect();
        assert!(names.contains(&"birds_look") && !names.contains(&"birds_hide"));
    }

    async fn mcp_servers_are_checked_and_told(app: TestApp) {
        let admin = app.admin().await;
        let user = app.member(&admin, "user", "user").await;
        greeting(&app);
        let found = admin.post("/api/v1/configs/tool_servers/verify", birds(&app, json!({}))).await.ok();
        assert_eq!((&found["status"], &found["specs"][0]["name"]), (&json!(true), &json!("look")));
        app.provider.script(Script::json(401, &json!({})).for_path("/mcp"));
        let refused = admin.post("/api/v1/configs/tool_servers/verify", birds(&app, json!({}))).await;
        assert_eq!((refused.status, &refused.body["detail"]), (400, &json!("Failed to create MCP client")));
        let servers = json!({"TOOL_SERVER_CONNECTIONS": [birds(&app, json!({}))]});
        admin.post("/api/v1/configs/tool_servers", servers).await.ok();
        greeting(&app);
        let specs = admin.get("/api/v1/tools/id/server:mcp:birds/specs").await.ok();
        assert_eq!(specs, json!({"specs": [{"name": "look", "description": "Looks."}]}));
        for (client, id) in [(&user, "server:mcp:birds"), (&admin, "server:mcp:none"), (&admin, "weather")] {
            let refused = client.get(&format!("/api/v1/tools/id/{id}/specs")).await;
            assert_eq!((refused.status, &refused.body["detail"]), (404, &json!("Tool not found")));
        }
        app.provider.script(Script::json(500, &json!({})).for_path("/mcp"));
        let broken = admin.get("/api/v1/tools/id/server:mcp:birds/specs").await;
        assert_eq!((broken.status, &broken.body["detail"]), (502, &json!("Unable to load tools")));
    }

    async fn an_mcp_server_that_is_away_does_not_keep_the_reply(app: TestApp) {
        let admin = app.admin().await;
        admin.get("/api/models").await.ok();
        let servers = json!({"TOOL_SERVER_CONNECTIONS": [birds(&app, json!({}))]});
        admin.post("/api/v1/configs/tool_servers", servers).await.ok();
        app.provider.script(Script::json(500, &json!({})).for_path("/mcp"));
        app.provider.script(Script::text("Without it."));
        let chat_id = ask(&admin, json!({"tool_ids": ["server:mcp:birds"]})).await;
        let reply = reply(&admin, &chat_id, "answer").await;
        assert_eq!(reply["content"], "Without it.");
        let status = &reply["statusHistory"][0];
        assert_eq!((&status["action"], &status["error"]), (&json!("tool_connection"), &json!(true)));
    }
}
