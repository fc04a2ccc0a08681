//! Quotas: limits hold for every way to a model, also when many come at once and while an answer streams, and they are
//! shown to whom they are about.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use oui_conformance::Socket;
use oui_fake_provider::{Ending, Plan, Reply, Script};
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

/// Opens a model of the provider to everybody.
async fn open(admin: &Client, model: &str) {
    let row = json!({
        "id": model, "name": model, "base_model_id": null, "meta": {}, "params": {},
        "access_grants": [{"principal_type": "user", "principal_id": "*", "permission": "read"}],
    });
    admin.post("/api/v1/models/create", row).await.ok();
}

async fn limit(admin: &Client, metric: &str, limit: f64, more: Value) -> Value {
    let mut quota = json!({
        "name": "Trial", "subject_type": "everyone", "metric": metric, "period": "day", "limit": limit,
    });
    for (name, value) in more.as_object().unwrap() {
        quota[name] = value.clone();
    }
    admin.post("/api/v1/quotas", quota).await.ok()
}

async fn own(client: &Client) -> Value {
    client.get("/api/v1/quotas/usage").await.ok()["quotas"].clone()
}

/// What is in the counter once it is settled: streams settle when their reader has left.
async fn used(client: &Client, wanted: impl Fn(i64) -> bool) -> i64 {
    let mut used = 0;
    for _ in 0..100 {
        used = own(client).await[0]["used"].as_i64().unwrap();
        if wanted(used) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    used
}

fn question(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
}

/// Forty pieces of four letters each, one every few milliseconds, and then nothing more.
fn long_answer() -> Script {
    let plan = Plan {
        pause_ms: Some(10),
        ..Plan::texts((0..40).map(|number| format!("w{number:02} "))).ending(Ending::Hang)
    };
    Script::reply(Reply::Plan(plan)).for_model("echo")
}

fn refused(reply: &oui_testkit::Reply) {
    assert_eq!(reply.status, 429, "{}", reply.body);
    let retry: i64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&retry), "{retry}");
    assert!(
        reply.body["detail"]
            .as_str()
            .unwrap()
            .starts_with("Quota \"Trial\" reached: "),
        "{}",
        reply.body
    );
    assert_eq!(reply.body["error"]["code"], "quota_exceeded");
}

both! {
    async fn administrators_set_limits_and_others_see_their_own(app: TestApp) {
        let admin = app.admin().await;
        let alice = app.member(&admin, "alice", "user").await;
        let alice_id = alice.get("/api/v1/auths/").await.ok()["id"].clone();
        assert_eq!(own(&alice).await, json!([]));
        let quota = limit(&admin, "cost", 1.5, json!({"subject_type": "user", "subject_id": alice_id, "model_id": "echo", "period": "month"})).await;
        assert_eq!((&quota["limit"], &quota["subject_id"], &quota["shared"]), (&json!(1.5), &alice_id, &json!(false)));
        let path = format!("/api/v1/quotas/id/{}", quota["id"].as_str().unwrap());
        assert_eq!(admin.get(&path).await.ok(), quota);
        assert_eq!(admin.get("/api/v1/quotas").await.ok(), json!([quota]));
        let mine = own(&alice).await;
        assert_eq!((&mine[0]["used"], &mine[0]["remaining"], &mine[0]["model_id"]), (&json!(0.0), &json!(1.5), &json!("echo")));
        assert_eq!(own(&admin).await, json!([]), "it is about alice only");
        let of_alice = admin.get(&format!("/api/v1/quotas/usage/{}", alice_id.as_str().unwrap())).await.ok();
        assert_eq!(of_alice["quotas"], mine);
        for (bad, word) in [
            (json!({"name": "x", "subject_type": "user", "metric": "cost", "period": "day", "limit": 1}), "subject_id"),
            (json!({"name": "x", "subject_type": "everyone", "metric": "words", "period": "day", "limit": 1}), "metric"),
            (json!({"name": "x", "subject_type": "everyone", "metric": "cost", "period": "year", "limit": 1}), "period"),
            (json!({"name": "x", "subject_type": "everyone", "metric": "cost", "period": "day", "limit": -1}), "limit"),
            (json!({"name": " ", "subject_type": "everyone", "metric": "cost", "period": "day", "limit": 1}), "name"),
        ] {
            let reply = admin.post("/api/v1/quotas", bad).await;
            assert!(reply.status == 400 && reply.body["detail"].as_str().unwrap().contains(word), "{}", reply.body);
        }
        let prices = json!({"prices": [{"model_id": "echo", "input": 1.0, "output": 2.5}]});
        assert_eq!(admin.post("/api/v1/quotas/prices", prices.clone()).await.ok(), prices);
        assert_eq!(admin.get("/api/v1/quotas/prices").await.ok(), prices);
        assert_eq!(admin.delete(&path).await.ok(), json!(true));
        assert_eq!(admin.delete(&path).await.status, 404);
        assert_eq!(own(&alice).await, json!([]));
    }

    async fn the_limit_of_a_group_holds_for_every_way_to_a_model(app: TestApp) {
        let admin = app.admin().await;
        open(&admin, "echo").await;
        let alice = app.member(&admin, "alice", "user").await;
        let alice_id = alice.get("/api/v1/auths/").await.ok()["id"].clone();
        let group = admin.post("/api/v1/groups/create", json!({"name": "Trial", "description": ""})).await.ok();
        let group_id = group["id"].as_str().unwrap();
        admin.post(&format!("/api/v1/groups/id/{group_id}/users/add"), json!({"user_ids": [alice_id]})).await.ok();
        limit(&admin, "messages", 4.0, json!({"subject_type": "group", "subject_id": group_id})).await;
        alice.post("/api/chat/completions", question("echo")).await.ok();
        alice.post("/openai/chat/completions", question("echo")).await.ok();
        let mut messages = question("echo");
        messages["max_tokens"] = json!(50);
        alice.post("/api/v1/messages", messages.clone()).await.ok();
        let responses = json!({"model": "echo", "input": "Hello"});
        alice.post("/openai/responses", responses.clone()).await.ok();
        let ways = [
            ("/api/chat/completions", question("echo")),
            ("/openai/chat/completions", question("echo")),
            ("/api/v1/messages", messages),
            ("/openai/responses", responses),
        ];
        for (path, body) in ways {
            refused(&alice.post(path, body).await);
        }
        assert_eq!(own(&alice).await[0]["used"], 4);
        admin.post("/api/chat/completions", question("echo")).await.ok();
        // A failed call is no message.
        let counters = admin.get("/api/v1/quotas").await.ok()[0]["id"].as_str().unwrap().to_owned();
        let counters = format!("/api/v1/quotas/id/{counters}/usage");
        assert_eq!(admin.get(&counters).await.ok()["usage"][0]["name"], "alice");
        assert_eq!(admin.delete(&counters).await.ok(), json!({"reset": 1}));
        app.provider.script(Script::refuse(500).for_model("echo"));
        assert_eq!(alice.post("/openai/chat/completions", question("echo")).await.status, 500);
        assert_eq!(own(&alice).await[0]["used"], 0);
    }

    async fn many_at_once_do_not_go_over(app: TestApp) {
        let admin = app.admin().await;
        limit(&admin, "messages", 5.0, json!({"shared": true})).await;
        let all = (0..12).map(|_| admin.post("/openai/chat/completions", question("echo")));
        let status: Vec<u16> = join_all(all).await.iter().map(|reply| reply.status).collect();
        assert_eq!(status.iter().filter(|status| **status == 200).count(), 5, "{status:?}");
        assert_eq!(status.iter().filter(|status| **status == 429).count(), 7, "{status:?}");
        assert_eq!(own(&admin).await[0]["used"], 5);
    }

    async fn tokens_and_costs_are_what_the_provider_counts(app: TestApp) {
        let admin = app.admin().await;
        let prices = json!({"prices": [{"model_id": "usage", "input": 1000.0, "output": 2000.0}]});
        admin.post("/api/v1/quotas/prices", prices).await.ok();
        for (metric, size) in [("cost", 1.0), ("input_tokens", 100.0), ("output_tokens", 100.0), ("total_tokens", 100.0)] {
            limit(&admin, metric, size, json!({"name": metric, "model_id": "usage"})).await;
        }
        let mut body = question("usage");
        admin.post("/openai/chat/completions", body.clone()).await.ok();
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let streamed = admin.post("/openai/chat/completions", body).await;
        assert!(streamed.body.as_str().unwrap().ends_with("data: [DONE]\n\n"));
        // 11 in and 7 out, twice.
        let expected = [("cost", json!(0.05)), ("input_tokens", json!(22)), ("output_tokens", json!(14)), ("total_tokens", json!(36))];
        let found = own(&admin).await;
        for (name, value) in expected {
            let quota = found.as_array().unwrap().iter().find(|quota| quota["name"] == name).unwrap();
            assert_eq!(quota["used"], value, "{name}");
        }
    }

    async fn an_answer_is_cut_off_where_the_limit_ends(app: TestApp) {
        let admin = app.admin().await;
        limit(&admin, "output_tokens", 10.0, json!({})).await;
        for (path, end) in [("/openai/chat/completions", "data: [DONE]\n\n"), ("/api/chat/completions", "data: [DONE]\n\n"), ("/api/v1/messages", "\n\n")] {
            app.provider.script(long_answer());
            let mut body = question("echo");
            body["stream"] = json!(true);
            body["max_tokens"] = json!(1000);
            let reply = admin.post(path, body.clone()).await;
            assert_eq!(reply.status, 200, "{path}");
            let text = reply.body.as_str().unwrap();
            assert!(text.contains("w00") && text.ends_with(end), "{path}: {text}");
            assert!(!text.contains("w39"), "{path}: {text}");
            assert!(text.contains("Quota \\\"Trial\\\" reached: 10 output tokens per day."), "{path}: {text}");
            assert!((10..30).contains(&used(&admin, |used| used >= 10).await), "{path}");
            refused(&admin.post(path, body).await);
            let id = own(&admin).await[0]["id"].as_str().unwrap().to_owned();
            admin.delete(&format!("/api/v1/quotas/id/{id}/usage?user_id={}", user_id(&admin).await)).await.ok();
        }
    }

    async fn a_reader_who_leaves_pays_for_what_came(app: TestApp) {
        let admin = app.admin().await;
        limit(&admin, "output_tokens", 1000.0, json!({})).await;
        app.provider.script(long_answer());
        let mut body = question("echo");
        body["stream"] = json!(true);
        let mut response = admin.request(Method::POST, "/openai/chat/completions").json(&body).send().await.unwrap();
        let mut came = String::new();
        while !came.contains("w03") {
            came.push_str(&String::from_utf8_lossy(&response.chunk().await.unwrap().unwrap()));
        }
        drop(response);
        let used = used(&admin, |used| (1..=40).contains(&used)).await;
        assert!((1..=40).contains(&used), "{used}");
    }

    async fn a_chat_keeps_what_came_and_says_why_it_ends(app: TestApp) {
        let admin = app.admin().await;
        let tab = Socket::connect(&app.url(), admin.token.as_deref(), Duration::from_secs(20)).await.unwrap();
        limit(&admin, "output_tokens", 10.0, json!({})).await;
        app.provider.script(long_answer());
        let request = json!({
            "stream": true, "model": "echo", "session_id": tab.sid, "parent_id": null, "id": "00000000-0000-4000-8000-00000000000a",
            "user_message": {"id": "00000000-0000-4000-8000-00000000000b", "role": "user", "content": "Hello", "parentId": null, "childrenIds": [], "models": ["echo"]},
            "messages": [{"role": "user", "content": "Hello"}], "background_tasks": {},
        });
        let started = admin.post("/api/chat/completions", request.clone()).await.ok();
        let chat = format!("/api/v1/chats/{}", started["chat_id"].as_str().unwrap());
        let mut reply = Value::Null;
        for _ in 0..500 {
            reply = admin.get(&chat).await.ok()["chat"]["history"]["messages"]["00000000-0000-4000-8000-00000000000a"].clone();
            if reply["done"] == true {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let said = reply["content"].as_str().unwrap();
        assert!(said.starts_with("w00 w01") && !said.contains("w39"), "{reply}");
        assert!(reply["error"]["content"].as_str().unwrap().starts_with("Quota \"Trial\" reached"), "{reply}");
        // The next one is refused before anything is stored for it.
        let count = admin.get("/api/v1/chats/").await.ok().as_array().unwrap().len();
        refused(&admin.post("/api/chat/completions", request).await);
        assert_eq!(admin.get("/api/v1/chats/").await.ok().as_array().unwrap().len(), count);
    }

    async fn the_page_runs_nothing_but_its_own_script(app: TestApp) {
        let admin = app.admin().await;
        let page = admin.get("/oui/quotas").await;
        let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        let html = page.body.as_str().unwrap();
        assert!(html.contains("src=\"/oui/quotas.js\"") && !html.contains("style=") && !html.contains("onclick="));
        for part in ["/oui/quotas.js", "/oui/quotas.css"] {
            assert_eq!(admin.get(part).await.status, 200);
        }
        assert_eq!(app.anonymous().get("/oui/quotas").await.status, 401);
    }
}

async fn user_id(client: &Client) -> String {
    client.get("/api/v1/auths/").await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Two servers, one database: they count together.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_count_together() {
    let Some(first) = TestApp::start(oui_testkit::Backend::Postgres).await else {
        return;
    };
    let admin = first.admin().await;
    limit(&admin, "messages", 6.0, json!({})).await;
    let second = first.beside(&[]).await;
    let there = second.sign_in("admin@example.org", "admin-password").await;
    let all = (0..10).map(|turn| {
        let client = if turn % 2 == 0 { &admin } else { &there };
        client.post("/openai/chat/completions", question("echo"))
    });
    let good = join_all(all)
        .await
        .iter()
        .filter(|reply| reply.status == 200)
        .count();
    assert_eq!(good, 6);
    assert_eq!(own(&there).await, own(&admin).await);
    second.stop().await;
    first.stop().await;
}
