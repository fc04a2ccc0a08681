//! Accounts: second factors, what ends sessions, the audit log, events.

use http::Method;
use oui_models::{auths, users};
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

const MFA: &str = "/api/v1/auths/mfa";

/// The administrator's page with one field changed.
async fn save_admin_config(admin: &Client, name: &str, value: Value) -> Value {
    let mut page = admin.get("/api/v1/auths/admin/config").await.ok();
    page[name] = value;
    admin.post("/api/v1/auths/admin/config", page).await.ok()
}

async fn sign_in(app: &TestApp, name: &str) -> Value {
    let form = json!({ "email": format!("{name}@example.org"), "password": "user-password" });
    app.anonymous().post("/api/v1/auths/signin", form).await.ok()
}

/// The code of an authenticator at this moment, `steps` of 30 seconds on.
fn code(secret: &str, steps: i64) -> String {
    oui_access::mfa::code(secret, oui_core::Clock::system().seconds() / 30 + steps).unwrap()
}

async fn post(app: &TestApp, path: &str, body: Value) -> oui_testkit::Reply {
    app.anonymous().post(&format!("{MFA}{path}"), body).await
}

/// Signs in for the first time under MFA; answers the session, the secret and the recovery codes.
async fn enrol(app: &TestApp, name: &str) -> (String, String, Vec<String>) {
    let challenge = sign_in(app, name).await;
    assert_eq!(challenge["next_step"], "enroll", "{challenge}");
    let token = &challenge["challenge_token"];
    let setup = post(app, "/enroll/start", json!({ "challenge_token": token }))
        .await
        .ok();
    let again = post(app, "/enroll/start", json!({ "challenge_token": token }))
        .await
        .ok();
    assert_eq!(setup, again, "asked again, the secret is the same");
    let secret = setup["manual_key"].as_str().unwrap().to_owned();
    let wrong = post(
        app,
        "/enroll/confirm",
        json!({ "challenge_token": token, "code": "000000x" }),
    )
    .await;
    assert_eq!(
        (wrong.status, wrong.body["detail"].as_str()),
        (401, Some("Invalid code. Check your authenticator and try again."))
    );
    let form = json!({ "challenge_token": token, "code": code(&secret, 0) });
    let session = post(app, "/enroll/confirm", form).await;
    let cookies: Vec<_> = session.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    let session = session.ok();
    let codes = session["recovery_codes"].as_array().unwrap();
    let codes = codes
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    (session["token"].as_str().unwrap().to_owned(), secret, codes)
}

fn with_token(app: &TestApp, token: &str) -> Client {
    let mut client = app.anonymous();
    client.token = Some(token.to_owned());
    client
}

both! {
    async fn a_second_factor_from_its_setup_to_its_loss(app: TestApp) {
        let admin = app.admin().await;
        let ada = app.member(&admin, "ada", "user").await;
        let saved = save_admin_config(&admin, "ENABLE_MFA", json!(true)).await;
        assert_eq!((&saved["ENABLE_MFA"], &saved["sessions_revoked"]), (&json!(true), &json!(true)));
        assert_eq!(ada.get("/api/v1/auths/").await.status, 401, "sessions of before have ended");

        let (token, secret, codes) = enrol(&app, "ada").await;
        let ada = with_token(&app, &token);
        let status = ada.get(&format!("{MFA}/status")).await.ok();
        assert_eq!(status, json!({"enabled": true, "required": true, "recovery_codes_remaining": 10}));

        // The next sign-in asks for a code, each good once; a recovery code does as well.
        let challenge = sign_in(&app, "ada").await;
        assert_eq!(challenge["next_step"], "verify");
        let token = &challenge["challenge_token"];
        let form = |code: &str, recovery: bool| {
            json!({ "challenge_token": token, "code": code, "recovery": recovery })
        };
        let used = post(&app, "/verify", form(&code(&secret, 0), false)).await;
        assert_eq!((used.status, &used.body["detail"]), (401, &json!("Invalid or already used code.")));
        let session = post(&app, "/verify", form(&codes[0], true)).await.ok();
        assert_eq!(session["role"], "user");
        assert_eq!(post(&app, "/verify", form(&codes[1], true)).await.status, 401, "the challenge is over");
        let ada = with_token(&app, session["token"].as_str().unwrap());
        assert_eq!(ada.get("/api/v1/auths/").await.status, 200);

        // New recovery codes end every session.
        let renewed = ada
            .post(&format!("{MFA}/recovery/codes"), json!({ "code": codes[1], "recovery": true }))
            .await
            .ok();
        assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
        assert_eq!(ada.get("/api/v1/auths/").await.status, 401);

        // The operator's reset leaves nothing but the ticket.
        let user = users::by_email(app.db(), "ada@example.org").await.unwrap().unwrap();
        let settings = || (*app.running().app.settings).clone();
        let nobody = oui_server::mfa::reset(settings(), "nobody@example.org", "lost").await.unwrap_err();
        assert_eq!(nobody.to_string(), "no account has the address nobody@example.org");
        let silent = oui_server::mfa::reset(settings(), "ada@example.org", " ").await.unwrap_err();
        assert!(silent.to_string().contains("reason"), "{silent}");
        let before = auths::by_id(app.db(), &user.id).await.unwrap().unwrap();
        let ticket = oui_server::mfa::reset(settings(), " ada@example.org", "phone lost").await.unwrap();
        let after = auths::by_id(app.db(), &user.id).await.unwrap().unwrap();
        assert_ne!(before.mfa, after.mfa);
        assert!(!after.mfa.unwrap().to_string().contains(&ticket), "the ticket itself is not stored");
        let challenge = sign_in(&app, "ada").await;
        assert_eq!(challenge["next_step"], "recover");
        let token = &challenge["challenge_token"];
        let redeem = |ticket: &str| json!({ "challenge_token": token, "reset_token": ticket });
        let wrong = post(&app, "/recover", redeem("not-the-ticket-of-the-operator")).await;
        assert_eq!(wrong.body["detail"], "Invalid or expired operator recovery token.");
        let next = post(&app, "/recover", redeem(&ticket)).await.ok();
        assert_eq!(next["next_step"], "enroll");
        let setup = post(&app, "/enroll/start", json!({ "challenge_token": next["challenge_token"] })).await.ok();
        assert_ne!(setup["manual_key"], secret);
    }

    async fn codes_are_tried_five_times_a_challenge(app: TestApp) {
        let admin = app.admin().await;
        app.member(&admin, "ada", "user").await;
        save_admin_config(&admin, "ENABLE_MFA", json!(true)).await;
        enrol(&app, "ada").await;
        let challenge = sign_in(&app, "ada").await;
        let form = json!({ "challenge_token": challenge["challenge_token"], "code": "12345x" });
        for _ in 0..5 {
            assert_eq!(post(&app, "/verify", form.clone()).await.status, 401);
        }
        let refused = post(&app, "/verify", form).await;
        assert_eq!(refused.status, 429);
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(refused.headers["cache-control"], "no-store");
    }

    async fn an_authenticator_is_replaced(app: TestApp) {
        let admin = app.admin().await;
        app.member(&admin, "ada", "user").await;
        save_admin_config(&admin, "ENABLE_MFA", json!(true)).await;
        let (token, secret, codes) = enrol(&app, "ada").await;
        let ada = with_token(&app, &token);
        let form = json!({ "code": codes[4], "recovery": true });
        let challenge = ada.post(&format!("{MFA}/replace"), form).await.ok();
        let token = &challenge["challenge_token"];
        let setup = post(&app, "/enroll/start", json!({ "challenge_token": token })).await.ok();
        let new_secret = setup["manual_key"].as_str().unwrap();
        assert_ne!(new_secret, secret);
        let form = json!({ "challenge_token": token, "code": code(new_secret, 0) });
        let done = post(&app, "/enroll/confirm", form).await.ok();
        assert_eq!(done.as_object().unwrap().len(), 1, "no session comes with it");
        assert_eq!(ada.get("/api/v1/auths/").await.status, 401);
        let challenge = sign_in(&app, "ada").await;
        let form = json!({ "challenge_token": challenge["challenge_token"], "code": code(new_secret, 1) });
        assert_eq!(post(&app, "/verify", form).await.status, 200);
    }

    async fn api_keys_reach_only_the_paths_they_may(app: TestApp, &[
        ("ENABLE_API_KEYS", "true"),
        ("ENABLE_API_KEYS_ENDPOINT_RESTRICTIONS", "true"),
        ("API_KEYS_ALLOWED_ENDPOINTS", "/api/v1/users/user, /api/models"),
    ]) {
        let admin = app.admin().await;
        let key = admin.post("/api/v1/auths/api_key", Value::Null).await.ok();
        let client = with_token(&app, key["api_key"].as_str().unwrap());
        assert_eq!(client.get("/api/v1/users/user/settings").await.status, 200);
        assert_eq!(client.get("/api/v1/users/all").await.status, 403);
        // Users need the permission as well, which is off unless the administrator gives it.
        let ada = app.member(&admin, "ada", "user").await;
        assert_eq!(ada.post("/api/v1/auths/api_key", Value::Null).await.status, 403);
    }

    async fn groups_are_inspected(app: TestApp) {
        let admin = app.admin().await;
        let ada = app.member(&admin, "ada", "user").await;
        let me = ada.get("/api/v1/auths/").await.ok();
        let form = json!({ "name": "Staff", "description": "", "permissions": {"features": {"api_keys": true}} });
        let staff = admin.post("/api/v1/groups/create", form).await.ok();
        let form = json!({
            "name": "Writers", "description": "", "parent_group_id": staff["id"],
            "data": {"config": {"default_models": ["echo"]}},
        });
        let writers = admin.post("/api/v1/groups/create", form).await.ok();
        let id = writers["id"].as_str().unwrap();
        admin.post(&format!("/api/v1/groups/id/{id}/users/add"), json!({ "user_ids": [me["id"]] })).await.ok();
        let path = format!("/api/v1/groups/id/{}/members", staff["id"].as_str().unwrap());
        let members = admin.get(&path).await.ok();
        assert_eq!(members["counts"], json!({"direct": 0, "effective": 1, "inherited": 1}));
        assert_eq!(members["items"][0]["via_group_ids"], json!([id]));
        let preview = admin.get(&format!("/api/v1/groups/id/{id}/preview")).await.ok();
        assert_eq!(preview["effective_permissions"]["features"]["api_keys"], true);
        assert_eq!(preview["permissions"], json!({}));
        assert_eq!(preview["default_models"]["source_group_id"], id);
    }

    async fn one_search_finds_chats_and_notes(app: TestApp) {
        let admin = app.admin().await;
        let ada = app.member(&admin, "ada", "user").await;
        let chat = json!({
            "title": "Pets",
            "history": {"currentId": "m1", "messages": {"m1": {
                "id": "m1", "role": "user", "parentId": null, "childrenIds": [], "content": "100% Katzen und Äpfel",
            }}},
        });
        let chat = ada.post("/api/v1/chats/new", json!({ "chat": chat })).await.ok();
        let note = json!({ "title": "Katzen", "data": {"content": {"md": "They purr."}} });
        admin.post("/api/v1/notes/create", note.clone()).await.ok();
        ada.post("/api/v1/notes/create", note).await.ok();
        let find = async |query: &str| ada.get(&format!("/api/v1/search?{query}")).await.ok();
        let all = find("q=KATZEN").await;
        let titles: Vec<_> = all["items"].as_array().unwrap().iter().map(|hit| hit["title"].as_str().unwrap()).collect();
        assert_eq!(titles, ["Katzen", "Pets"], "a title that is the text itself comes first");
        let hit = &find("q=100%25&kind=chat").await["items"][0];
        let id = chat["id"].as_str().unwrap();
        assert_eq!(hit["url"], format!("/c/{id}?message=m1"));
        assert_eq!((&hit["context"], &hit["shared"]), (&json!("Personal chat"), &json!(false)));
        assert_eq!(find("q=1%25Katzen").await["items"], json!([]), "signs stand for themselves");
        assert_eq!(find("q=katzen&sharing=shared").await["items"], json!([]));
        assert_eq!(find("q=katzen&scope=folder:unknown").await["items"], json!([]));
        assert_eq!(find("q=katzen&page=2").await["items"], json!([]));
    }

    async fn preflights_and_heads_are_answered_as_the_reference_does(app: TestApp) {
        let nobody = app.anonymous();
        let preflight = nobody
            .request(Method::OPTIONS, "/api/v1/chats/")
            .header("origin", "https://example.com")
            .header("access-control-request-method", "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 200);
        assert_eq!(preflight.headers()["access-control-allow-origin"], "https://example.com");
        assert_eq!(preflight.text().await.unwrap(), "OK");
        let other = nobody.request(Method::OPTIONS, "/api/config").send().await.unwrap();
        assert_eq!((other.status().as_u16(), &other.headers()["allow"]), (405, &"GET, HEAD".parse().unwrap()));
        let page = nobody.get("/api/v1/auths/signin").await;
        assert!(!page.headers.contains_key("allow"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_says_who_did_what_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let env = [
        ("AUDIT_LOG_LEVEL", "REQUEST_RESPONSE"),
        ("AUDIT_LOGS_FILE_PATH", path.to_str().unwrap()),
    ];
    let app = TestApp::with_environment(oui_testkit::Backend::Sqlite, &env)
        .await
        .unwrap();
    let admin = app.admin().await;
    let form = json!({
        "ENABLE_OPENAI_API": true, "OPENAI_API_BASE_URLS": [app.provider.openai_url()],
        "OPENAI_API_KEYS": ["sk-very-secret"], "OPENAI_API_CONFIGS": {},
    });
    admin.post("/openai/config/update", form).await.ok();
    let password = json!({ "password": "admin-password", "new_password": "another-Password1" });
    admin.post("/api/v1/auths/update/password", password).await.ok();
    app.anonymous()
        .post("/api/v1/chats/new", json!({ "chat": {} }))
        .await;
    app.stop().await;
    let text = std::fs::read_to_string(&path).unwrap();
    for secret in ["sk-very-secret", "admin-password", "another-Password1"] {
        assert!(!text.contains(secret), "{secret} is in the audit log");
    }
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["user"]["email"].as_str(),
                line["response_status_code"].as_u64(),
            )
        })
        .collect();
    assert_eq!(seen.last(), Some(&(Some("admin@example.org"), Some(200))));
    let update = lines
        .iter()
        .find(|line| {
            line["request_uri"]
                .as_str()
                .unwrap()
                .ends_with("/openai/config/update")
        })
        .unwrap();
    assert!(
        update["request_object"]
            .as_str()
            .unwrap()
            .contains("OPENAI_API_BASE_URLS")
    );
    assert_eq!(update["audit_level"], "REQUEST_RESPONSE");
    assert_eq!(update["source_ip"], "127.0.0.1");
    // What nobody sent with credentials is not audited, but for signing in and out.
    assert!(!text.contains("/api/v1/chats/new"));
}
