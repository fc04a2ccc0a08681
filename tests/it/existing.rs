//! A database that the original wrote is opened in place: accounts, chats and settings are all there.

use std::path::{Path, PathBuf};

use oui_testkit::{TestApp, repository};
use serde_json::{Value, json};

const VARIABLES: &[(&str, &str)] = &[("WEBUI_SECRET_KEY", "fixture-secret")];

fn copy_of_fixture(folder: &Path) -> PathBuf {
    let copy = folder.join("webui.db");
    std::fs::copy(
        repository().join("crates/migrations/fixtures/reference-0.12.4.db"),
        &copy,
    )
    .unwrap();
    copy
}

fn backups(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().contains(".backup-"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_and_a_copy_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = copy_of_fixture(folder.path());
    let app = TestApp::on_file(&file, VARIABLES).await;
    assert_eq!(backups(folder.path()), 1);

    let user = app.sign_in("user@example.com", "fixture-user-1").await;
    let session = user.get("/api/v1/auths/").await.ok();
    assert_eq!(
        (&session["name"], &session["role"]),
        (&json!("Ursula Ünal"), &json!("user"))
    );
    let pinned = user.get("/api/v1/chats/pinned").await.ok();
    let id = pinned[0]["id"].as_str().expect("the pinned chat").to_owned();
    let chat = user.get(&format!("/api/v1/chats/{id}")).await.ok();
    let texts: Vec<&Value> = chat["chat"]["history"]["messages"]
        .as_object()
        .unwrap()
        .values()
        .map(|message| &message["content"])
        .collect();
    assert!(
        texts.contains(&&json!("Grüße aus dem Fixture-Modell.")),
        "{texts:?}"
    );

    let admin = app.sign_in("admin@example.com", "fixture-admin-1").await;
    let config = admin.get("/api/v1/auths/admin/config").await.ok();
    assert_eq!(config["RESPONSE_WATERMARK"], "written by the fixture");
    assert_eq!(config["ENABLE_SIGNUP"], true);
    app.stop().await;

    let again = TestApp::on_file(&file, VARIABLES).await;
    again.sign_in("user@example.com", "fixture-user-1").await;
    assert_eq!(backups(folder.path()), 1);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_server_are_good_at_the_other() {
    // Same secret, same claims: what matters is that the stamp in the database decides.
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::on_file(&copy_of_fixture(folder.path()), VARIABLES).await;
    let user = app.sign_in("user@example.com", "fixture-user-1").await;
    let form = json!({"password": "fixture-user-1", "new_password": "another-password"});
    assert_eq!(
        user.post("/api/v1/auths/update/password", form).await.ok(),
        json!(true)
    );
    assert_eq!(user.get("/api/v1/auths/").await.status, 401);
    app.sign_in("user@example.com", "another-password").await;
}
