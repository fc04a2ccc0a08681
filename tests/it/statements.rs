//! What requests cost in statements: who somebody is, which groups they are in and what these permit is known from
//! memory, so that the checks of a warm request add none.

use std::sync::OnceLock;

use oui_fake_provider::Script;
use oui_testkit::{Client, both};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Every statement that this process runs, as the driver tells of it.
static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Statements;

#[derive(Default)]
struct Text {
    summary: String,
    statement: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = Text::default();
            event.record(&mut text);
            let whole = if text.statement.trim().is_empty() {
                text.summary
            } else {
                text.statement
            };
            STATEMENTS
                .lock()
                .push(whole.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}

/// Notes statements from now on, in this process; the tests of this file have one each.
fn watch() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Statements)).unwrap();
    });
}

/// The statements of a request that was made twice before, without those that begin and end transactions.
async fn of(client: &Client, method: http::Method, path: &str, body: &Value) -> Vec<String> {
    for turn in 0..3 {
        if turn == 2 {
            STATEMENTS.lock().clear();
        }
        let reply = client.send(method.clone(), path, body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    }
    let all = STATEMENTS.lock().clone();
    all.into_iter()
        .filter(|text| !matches!(text.as_str(), "BEGIN" | "COMMIT" | "BEGIN IMMEDIATE"))
        .collect()
}

/// Tables that only checks read.
const OF_CHECKS: &[&str] = &[
    "group_member",
    "\"group\"",
    "access_grant",
    "FROM \"user\"",
    "FROM auth",
    "api_key",
];

fn checks(statements: &[String]) -> Vec<&String> {
    let is_check = |text: &&String| OF_CHECKS.iter().any(|table| text.contains(table));
    statements.iter().filter(is_check).collect()
}

async fn make(admin: &Client, path: &str, body: Value) -> Value {
    admin.post(path, body).await.ok()["id"].clone()
}

both! {
    async fn permission_checks_add_no_query(app: TestApp) {
        watch();
        let admin = app.admin().await;
        let alice = app.member(&admin, "alice", "user").await;
        let tree = json!({ "workspace": { "prompts": true }, "features": { "memories": true } });
        let defaults = json!({ "config": { "user.permissions": { "features": { "memories": false }, "workspace": {} } } });
        admin.post("/api/v1/configs/import", defaults).await.ok();
        // What permits is two groups above those that she is in.
        let above = make(&admin, "/api/v1/groups/create", json!({ "name": "above", "description": "", "permissions": tree })).await;
        let middle = make(&admin, "/api/v1/groups/create", json!({ "name": "middle", "description": "", "parent_group_id": above })).await;
        let id = alice.get("/api/v1/auths/").await.ok()["id"].clone();
        for name in ["one", "two", "three"] {
            let group = make(&admin, "/api/v1/groups/create", json!({ "name": name, "description": "", "parent_group_id": middle })).await;
            admin.post(&format!("/api/v1/groups/id/{}/users/add", group.as_str().unwrap()), json!({ "user_ids": [id] })).await.ok();
        }
        let grants = json!([{ "principal_type": "group", "principal_id": above, "permission": "read" }]);
        admin.post("/api/v1/models/create", json!({ "id": "echo", "name": "Echo", "meta": {}, "params": {}, "access_grants": grants })).await.ok();
        let shown = alice.get("/api/models").await.ok();
        assert_eq!(shown["data"][0]["id"], "echo", "{shown}");

        // Nothing but who calls and what they may do: no statement.
        for path in ["/api/v1/auths/", "/api/v1/users/permissions", "/api/v1/configs/banners", "/api/models", "/api/config"] {
            let statements = of(&alice, http::Method::GET, path, &Value::Null).await;
            assert!(statements.is_empty(), "{path}: {statements:#?}");
        }
        // What needs a permission that comes from a group above costs what it does itself.
        let statements = of(&alice, http::Method::GET, "/api/v1/memories/", &Value::Null).await;
        assert_eq!((statements.len(), checks(&statements).len()), (1, 0), "{statements:#?}");
        let statements = of(&alice, http::Method::GET, "/api/v1/chats/?page=1", &Value::Null).await;
        assert_eq!((statements.len(), checks(&statements).len()), (1, 0), "{statements:#?}");

        // The way of a chat: who asks, whether they may, and whether the model is open to them are known.
        for _ in 0..3 {
            app.provider.script(Script::text("Yes."));
        }
        let asked = json!({ "model": "echo", "messages": [{ "role": "user", "content": "Hello" }] });
        let statements = of(&alice, http::Method::POST, "/api/chat/completions", &asked).await;
        assert_eq!(checks(&statements), Vec::<&String>::new());
        assert!(statements.is_empty(), "{statements:#?}");

        // The same for somebody without any group: the groups cost nothing.
        let bob = app.member(&admin, "bob", "user").await;
        let of_bob = of(&bob, http::Method::GET, "/api/v1/chats/?page=1", &Value::Null).await;
        let of_alice = of(&alice, http::Method::GET, "/api/v1/chats/?page=1", &Value::Null).await;
        assert_eq!(of_alice, of_bob);
        // The counter counts: what is looked up anew is seen.
        admin.post(&format!("/api/v1/groups/id/{}/users/add", middle.as_str().unwrap()), json!({ "user_ids": [id] })).await.ok();
        STATEMENTS.lock().clear();
        alice.get("/api/v1/memories/").await.ok();
        let statements = STATEMENTS.lock().clone();
        assert_eq!(checks(&statements).len(), 1, "{statements:#?}");
    }
}
