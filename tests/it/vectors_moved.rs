//! Vectors after a move to another store: all that is stored is found there, and what the former one still has of
//! another time is not found when it is used again.

use std::time::Duration;

use oui_models::db::sql;
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

use crate::files::upload;

async fn kept(admin: &Client, name: &str, text: &str) -> String {
    let query = "?process=true&process_in_background=false";
    let made = upload(admin, query, name, "text/plain", text.as_bytes())
        .await
        .ok();
    made["id"].as_str().unwrap().to_owned()
}

async fn texts(admin: &Client, base: &str) -> Vec<String> {
    let form = json!({ "collection_names": [base], "query": "animals", "k": 9 });
    let found = admin.post("/api/v1/retrieval/query/collection", form).await.ok();
    let texts = found["documents"][0].as_array().cloned().unwrap_or_default();
    let mut texts: Vec<String> = texts
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    texts.sort();
    texts
}

/// Waits until the server has noted that this store has everything.
async fn filled(app: &TestApp, store: &str) {
    for _ in 0..600 {
        let mark = sql(
            "SELECT value FROM oui_meta WHERE key = ?",
            vec!["vectors_in".into()],
        );
        let mark: Option<Option<String>> = mark.scalar(app.db()).await.unwrap();
        if mark.flatten().as_deref() == Some(store) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store {store} was not filled");
}

both! {
    async fn what_changed_meanwhile_is_found_as_it_is(app: TestApp) {
        #[expect(clippy::disallowed_methods, reason = "tests are pointed at their services by variables")]
        let Ok(other) = std::env::var("OUI_TEST_PGVECTOR_URL") else {
            eprintln!("skipped: no PostgreSQL with vectors");
            return;
        };
        app.admin().await;
        let folder = tempfile::tempdir().unwrap();
        let here = [("DATA_DIR", folder.path().to_str().unwrap())];
        let there = [here[0], ("VECTOR_DB", "pgvector"), ("PGVECTOR_DB_URL", other.as_str())];

        let first = app.beside(&here).await;
        let admin = first.admin().await;
        let form = json!({ "name": "Animals", "description": "", "access_grants": null });
        let base = admin.post("/api/v1/knowledge/create", form).await.ok()["id"].as_str().unwrap().to_owned();
        let fox = kept(&admin, "fox.txt", "The fox hunts.").await;
        let hare = kept(&admin, "hare.txt", "The hare runs.").await;
        for file in [&fox, &hare] {
            let form = json!({ "file_id": file });
            admin.post(&format!("/api/v1/knowledge/{base}/file/add"), form).await.ok();
        }
        assert_eq!(texts(&admin, &base).await, ["The fox hunts.", "The hare runs."]);
        first.stop().await;

        let second = app.beside(&there).await;
        filled(&second, "pgvector").await;
        let admin = second.admin().await;
        assert_eq!(texts(&admin, &base).await, ["The fox hunts.", "The hare runs."]);
        let form = json!({ "file_id": fox });
        let path = format!("/api/v1/knowledge/{base}/file/remove?delete_file=false");
        admin.post(&path, form).await.ok();
        let form = json!({ "content": "The hare sleeps." });
        admin.post(&format!("/api/v1/files/{hare}/data/content/update"), form).await.ok();
        let own: Value = json!({ "file_id": hare });
        admin.post(&format!("/api/v1/knowledge/{base}/file/update"), own).await.ok();
        assert_eq!(texts(&admin, &base).await, ["The hare sleeps."]);
        second.stop().await;

        let third = app.beside(&here).await;
        filled(&third, "embedded").await;
        let admin = third.admin().await;
        assert_eq!(texts(&admin, &base).await, ["The hare sleeps."]);
        assert_eq!(texts(&admin, &format!("file-{hare}")).await, ["The hare sleeps."]);
        assert_eq!(texts(&admin, &format!("file-{fox}")).await, ["The fox hunts."]);
        third.stop().await;
    }
}
