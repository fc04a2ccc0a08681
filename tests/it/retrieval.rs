//! Knowledge bases, memories and searches, with embeddings by the scripted provider and the embedded vector store.

use oui_models::db::{Arg, sql};
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

/// The administrator of a server that embeds with the scripted provider.
async fn embedding_admin(app: &TestApp) -> Client {
    let admin = app.admin().await;
    let form = json!({
        "RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": "embed", "RAG_EMBEDDING_BATCH_SIZE": 8,
        "openai_config": { "url": app.provider.openai_url(), "key": "sk-provider" },
    });
    admin.post("/api/v1/retrieval/embedding/update", form).await.ok();
    admin
}

/// A file whose text is known, as an upload leaves it.
async fn file(app: &TestApp, owner: &Client, name: &str, text: &str) -> String {
    let user = owner.get("/api/v1/auths/").await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let id = oui_core::ids::uuid();
    let statement = "INSERT INTO file (id, user_id, filename, meta, data, hash, path, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let meta = json!({ "name": name, "content_type": "text/plain", "size": text.len() });
    let args = vec![
        Arg::from(id.as_str()),
        Arg::from(user),
        Arg::from(name),
        Arg::from(meta),
        Arg::from(json!({ "content": text, "status": "completed" })),
        Arg::from("hash"),
        Arg::from(""),
        Arg::from(1_700_000_000_i64),
        Arg::from(1_700_000_000_i64),
    ];
    sql(statement, args).execute(app.db()).await.unwrap();
    id
}

async fn knowledge(owner: &Client, name: &str) -> String {
    let form = json!({ "name": name, "description": "about animals", "access_grants": null });
    let made = owner.post("/api/v1/knowledge/create", form).await.ok();
    assert_eq!(made["name"], name);
    made["id"].as_str().unwrap().to_owned()
}

async fn ask(client: &Client, collection: &str, question: &str) -> Value {
    let form = json!({ "collection_names": [collection], "query": question, "k": 2 });
    client.post("/api/v1/retrieval/query/collection", form).await.ok()
}

both! {
    async fn a_knowledge_base_answers(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let user = app.member(&admin, "user", "user").await;
        let id = knowledge(&admin, "Animals").await;
        let one = file(&app, &admin, "hedgehog.md", "The hedgehog sleeps in winter.").await;
        let two = file(&app, &admin, "fox.md", "The fox hunts at night.").await;
        let path = format!("/api/v1/knowledge/{id}");
        let added = admin.post(&format!("{path}/file/add"), json!({ "file_id": one })).await.ok();
        assert_eq!(added["files"][0]["id"], one);
        let both = json!([{ "file_id": one }, { "file_id": two }]);
        let added = admin.post(&format!("{path}/files/batch/add"), both).await.ok();
        assert_eq!(added["files"].as_array().unwrap().len(), 2);

        let found = ask(&admin, &id, "The hedgehog sleeps in winter.").await;
        assert_eq!(found["documents"][0][0], "The hedgehog sleeps in winter.");
        assert_eq!(found["metadatas"][0][0]["file_id"], one);
        assert_eq!(found["metadatas"][0][0]["source"], "hedgehog.md");
        assert_eq!(found["metadatas"][0][0]["embedding_config"], "{'engine': 'openai', 'model': 'embed'}");
        assert!(found["distances"][0][0].as_f64().unwrap() > 0.999);
        assert_eq!(found["documents"][0].as_array().unwrap().len(), 2);

        // Others may search it only when they were given it.
        let form = json!({ "collection_names": [id], "query": "fox" });
        assert_eq!(user.post("/api/v1/retrieval/query/collection", form.clone()).await.status, 403);
        let user_id = user.get("/api/v1/auths/").await.ok()["id"].clone();
        let grant = json!({ "principal_type": "user", "principal_id": user_id, "permission": "read" });
        let grants = json!({ "access_grants": [grant] });
        assert_eq!(admin.post(&format!("{path}/access/update"), grants).await.status, 200);
        assert_eq!(user.post("/api/v1/retrieval/query/collection", form).await.status, 200);
        let own = json!({ "collection_name": format!("file-{two}"), "query": "fox" });
        assert_eq!(user.post("/api/v1/retrieval/query/doc", own).await.status, 200);
        let foreign = json!({ "collection_name": "user-memory-somebody", "query": "fox" });
        assert_eq!(user.post("/api/v1/retrieval/query/doc", foreign).await.status, 403);

        // A file that is taken out is gone for the search, and deleted when nothing else has it.
        let removed = admin.post(&format!("{path}/file/remove"), json!({ "file_id": one })).await.ok();
        assert_eq!(removed["files"].as_array().unwrap().len(), 1);
        let found = ask(&admin, &id, "hedgehog").await;
        assert_eq!(found["documents"][0], json!(["The fox hunts at night."]));
        let again = admin.post(&format!("{path}/file/add"), json!({ "file_id": one })).await;
        assert_eq!((again.status, &again.body["detail"]), (400, &json!("We could not find what you're looking for :/")));

        assert_eq!(admin.post("/api/v1/knowledge/reindex", json!({})).await.ok(), json!(true));
        assert_eq!(ask(&admin, &id, "fox").await["documents"][0], json!(["The fox hunts at night."]));
        assert_eq!(admin.delete(&format!("{path}/delete")).await.ok(), json!(true));
        assert_eq!(admin.get(&path).await.status, 404);
        assert_eq!(ask(&admin, &id, "fox").await["documents"], json!([[]]));
    }

    async fn the_same_text_twice_is_refused(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let id = knowledge(&admin, "Animals").await;
        let one = file(&app, &admin, "a.md", "The same text.").await;
        let two = file(&app, &admin, "b.md", "The same text.").await;
        let path = format!("/api/v1/knowledge/{id}/file/add");
        assert_eq!(admin.post(&path, json!({ "file_id": one })).await.status, 200);
        let refused = admin.post(&path, json!({ "file_id": two })).await;
        let text = "400: Duplicate content detected. Please provide unique content to proceed.";
        assert_eq!((refused.status, &refused.body["detail"]), (400, &json!(text)));
        // The same file again replaces its own chunks.
        assert_eq!(admin.post(&path, json!({ "file_id": one })).await.status, 200);
        assert_eq!(ask(&admin, &id, "text").await["documents"][0].as_array().unwrap().len(), 1);
    }

    async fn words_count_in_hybrid_search(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let on = json!({ "ENABLE_RAG_HYBRID_SEARCH": true, "HYBRID_BM25_WEIGHT": 1.0, "TOP_K": 1, "TOP_K_RERANKER": 1 });
        let config = admin.post("/api/v1/retrieval/config/update", on).await.ok();
        assert_eq!((&config["ENABLE_RAG_HYBRID_SEARCH"], &config["TOP_K"]), (&json!(true), &json!(1)));
        assert!(config.get("RAG_RERANKING_BATCH_SIZE").is_none());
        let id = knowledge(&admin, "Animals").await;
        for (name, text) in [("a.md", "Quercus means oak."), ("b.md", "The common words of this file are common.")] {
            let file = file(&app, &admin, name, text).await;
            let added = admin.post(&format!("/api/v1/knowledge/{id}/file/add"), json!({ "file_id": file })).await;
            assert_eq!(added.status, 200, "{}", added.body);
        }
        let found = ask(&admin, &id, "what is QUERCUS").await;
        assert_eq!(found["documents"], json!([["Quercus means oak."]]));
        assert_eq!(found["metadatas"][0][0]["score"], found["distances"][0][0]);
    }

    async fn folders_of_a_knowledge_base(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let id = knowledge(&admin, "Animals").await;
        let path = format!("/api/v1/knowledge/{id}");
        let make = async |name: &str, parent: Value| {
            let form = json!({ "name": name, "parent_id": parent });
            admin.post(&format!("{path}/dirs/create"), form).await.ok()["id"].clone()
        };
        let top = make("docs", Value::Null).await;
        let inner = make("api", top.clone()).await;
        let one = file(&app, &admin, "a.md", "Text in a folder.").await;
        let form = json!({ "file_id": one, "directory_id": inner });
        assert_eq!(admin.post(&format!("{path}/file/add"), form).await.status, 200);
        let manifest = json!({ "manifest": [
            { "filename": "new.md", "path": "docs/guides", "checksum": "c", "size": 1 },
        ]});
        let diff = admin.post(&format!("{path}/sync/diff"), manifest).await.ok();
        assert_eq!(diff["added"], json!([{ "filename": "new.md", "path": "docs/guides" }]));
        assert_eq!(diff["deleted"], json!([{ "file_id": one, "filename": "a.md" }]));
        assert_eq!((&diff["mkdir"], &diff["rmdir"]), (&json!(["docs/guides"]), &json!([inner])));
        assert_eq!(diff["directory_map"]["docs/api"], inner);
        let circle = json!({ "parent_id": inner });
        let top_path = format!("{path}/dirs/{}/update", top.as_str().unwrap());
        assert_eq!(admin.post(&top_path, circle).await.status, 400);
        assert_eq!(admin.post(&top_path, json!({ "name": "texts" })).await.ok()["name"], "texts");
        let gone = admin.delete(&format!("{path}/dirs/{}/delete", inner.as_str().unwrap())).await.ok();
        assert_eq!(gone, json!({ "status": true, "file_ids": [] }));
        let files = admin.get(&format!("{path}/files")).await.ok();
        assert_eq!((&files["items"][0]["directory_id"], &files["total"]), (&top, &json!(1)));
        let moved = json!({ "file_id": one, "directory_id": null });
        assert_eq!(admin.post(&format!("{path}/file/move"), moved).await.ok(), json!({ "status": true }));
        let cleanup = json!({ "file_ids": [one], "dir_ids": [top] });
        assert_eq!(admin.post(&format!("{path}/sync/cleanup"), cleanup).await.ok(), json!({ "status": true }));
        let files = admin.get(&format!("{path}/files")).await.ok();
        assert_eq!((&files["total"], &files["directories"]), (&json!(0), &json!([])));
    }

    async fn memories_are_found_by_meaning_and_place(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let path = "/api/v1/memories";
        let none = admin.post(&format!("{path}/query"), json!({ "content": "x" })).await;
        assert_eq!((none.status, &none.body["detail"]), (404, &json!("No memories found for user")));
        let add = |content: &str, place: Value| json!({ "content": content, "path": place });
        let first = admin.post(&format!("{path}/add"), add("likes hedgehogs", json!("/pets//wild/"))).await.ok();
        assert_eq!((&first["path"], &first["type"]), (&json!("pets/wild"), &json!("context")));
        admin.post(&format!("{path}/add"), add("works at night", Value::Null)).await.ok();
        let found = admin.post(&format!("{path}/query"), json!({ "content": "works at night", "k": 1 })).await.ok();
        assert_eq!(found["documents"], json!([["works at night"]]));
        let near = admin.post(&format!("{path}/search"), json!({ "path": "pets" })).await.ok();
        assert_eq!(near[0]["id"], first["id"]);
        let bad = admin.post(&format!("{path}/add"), add(" ", Value::Null)).await;
        assert_eq!((bad.status, &bad.body["detail"]), (400, &json!("Memory content cannot be empty")));

        let operations = json!({ "operations": [
            { "action": "add", "content": "has a dog" },
            { "action": "add", "content": "has a dog" },
            { "action": "replace", "id": first["id"], "content": "likes foxes" },
        ]});
        let done = admin.post(&format!("{path}/update"), operations).await.ok();
        let states: Vec<&str> = done.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["created", "skipped", "updated"]);
        // One that fails takes the others back.
        let broken = json!({ "operations": [{ "action": "add", "content": "z" }, { "action": "remove", "id": "no" }]});
        let refused = admin.post(&format!("{path}/update"), broken).await;
        assert_eq!((refused.status, &refused.body["detail"]), (404, &json!("Memory not found: no")));
        assert_eq!(admin.get(&format!("{path}/")).await.ok().as_array().unwrap().len(), 3);

        let all = admin.post(&format!("{path}/reindex"), json!({})).await.ok();
        assert_eq!(all, json!({ "status": true, "total_users": 1, "total_memories": 3 }));
        let id = first["id"].as_str().unwrap();
        assert_eq!(admin.delete(&format!("{path}/{id}")).await.ok(), json!(true));
        assert_eq!(admin.delete(&format!("{path}/{id}")).await.ok(), json!(false));
        assert_eq!(admin.delete(&format!("{path}/delete/user")).await.ok(), json!(true));
        assert_eq!(admin.get(&format!("{path}/")).await.ok(), json!([]));
    }

    async fn embedding_settings_are_shown_and_changed(app: TestApp) {
        let admin = embedding_admin(&app).await;
        let user = app.member(&admin, "user", "user").await;
        assert_eq!(user.get("/api/v1/retrieval/embedding").await.status, 401);
        let form = json!({
            "RAG_EMBEDDING_ENGINE": "ollama", "RAG_EMBEDDING_MODEL": " m ", "ollama_config": { "url": "http://o", "key": "k" },
        });
        let changed = admin.post("/api/v1/retrieval/embedding/update", form).await.ok();
        assert_eq!((&changed["RAG_EMBEDDING_MODEL"], &changed["RAG_EMBEDDING_BATCH_SIZE"]), (&json!("m"), &json!(1)));
        assert_eq!(changed["ollama_config"], json!({ "url": "http://o", "key": "k" }));
        assert_eq!(admin.get("/api/v1/retrieval/embedding").await.ok(), changed);
        let web = json!({ "web": { "WEB_SEARCH_RESULT_COUNT": "many" } });
        let refused = admin.post("/api/v1/retrieval/config/update", web).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.body["detail"][0]["loc"], json!(["body", "web", "WEB_SEARCH_RESULT_COUNT"]));
    }
}
