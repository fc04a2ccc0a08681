//! What replies are based on: documents, knowledge, notes, chats, memories and the web, and that nobody is told what
//! they may not read.

use http::Method;
use oui_fake_provider::Script;
use oui_testkit::{Client, TestApp, both};
use serde_json::{Value, json};

const TEMPLATE: &str = "Sources:\n{{CONTEXT}}\nAsked: {{QUERY}}";

/// The administrator of a server that embeds with the scripted provider and tells sources in few words.
async fn admin_with_documents(app: &TestApp) -> Client {
    let admin = app.admin().await;
    let embedding = json!({
        "RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": "embed",
        "openai_config": { "url": app.provider.openai_url(), "key": "sk-provider" },
    });
    admin
        .post("/api/v1/retrieval/embedding/update", embedding)
        .await
        .ok();
    admin
        .post(
            "/api/v1/retrieval/config/update",
            json!({ "RAG_TEMPLATE": TEMPLATE }),
        )
        .await
        .ok();
    let open = json!([{ "principal_type": "user", "principal_id": "*", "permission": "read" }]);
    let echo = json!({ "id": "echo", "name": "echo", "base_model_id": null, "meta": {}, "params": {}, "access_grants": open });
    admin.post("/api/v1/models/create", echo).await.ok();
    admin
}

/// Uploads a text and waits until it can be searched.
async fn upload(client: &Client, name: &str, text: &str) -> String {
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--edge--\r\n"
    );
    let request = client
        .request(Method::POST, "/api/v1/files/?process_in_background=false")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let file: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let id = file["id"].as_str().unwrap().to_owned();
    let status = client
        .get(&format!("/api/v1/files/{id}/process/status"))
        .await
        .ok();
    assert_eq!(status["status"], "completed");
    id
}

/// The answer of a model that repeats what it was asked, sources included.
async fn ask(client: &Client, files: Value) -> Value {
    let body = json!({
        "model": "echo", "stream": false, "files": files,
        "messages": [{ "role": "user", "content": "What is told?" }],
    });
    client.post("/api/chat/completions", body).await.ok()
}

fn said(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

const PLAIN: &str = "What is told?";

both! {
    async fn documents_are_told_to_those_who_may_read_them(app: TestApp) {
        let admin = admin_with_documents(&app).await;
        let alice = app.member(&admin, "alice", "user").await;
        let file = upload(&admin, "secret.txt", "The treasure is under the oak.").await;
        let attached = json!([{ "type": "file", "id": file, "name": "secret.txt" }]);
        let answer = ask(&admin, attached.clone()).await;
        assert!(said(&answer).contains(">The treasure is under the oak.</source>"), "{answer}");
        assert!(said(&answer).ends_with("Asked: What is told?\nWhat is told?"));
        assert_eq!(answer["sources"][0]["source"]["id"], file);
        assert!(answer["sources"][0]["distances"][0].as_f64().is_some());

        // Whichever way a stranger names it, nothing of it is told.
        let name = format!("file-{file}");
        for attempt in [
            attached.clone(),
            json!([{ "type": "file", "id": file, "context": "full" }]),
            json!([{ "type": "file", "id": name, "legacy": true }]),
            json!([{ "collection_name": name }]),
            json!([{ "collection_names": [name] }]),
            json!([{ "type": "text", "collection_name": name }]),
            json!([{ "type": "web_search", "collection_name": name }]),
            json!([{ "type": "collection", "id": name, "collection_names": [name], "legacy": true }]),
            json!([{ "type": "doc", "collection_name": name }]),
            json!([{ "type": "folder", "id": file }]),
        ] {
            let answer = ask(&alice, attempt.clone()).await;
            assert_eq!(said(&answer), PLAIN, "{attempt}");
            assert!(answer.get("sources").is_none());
        }

        // A knowledge base that she may read brings it to her.
        let form = json!({ "name": "Secrets", "description": "d", "access_grants": [] });
        let base = admin.post("/api/v1/knowledge/create", form).await.ok();
        let base = base["id"].as_str().unwrap();
        let path = format!("/api/v1/knowledge/{base}");
        admin.post(&format!("{path}/file/add"), json!({ "file_id": file })).await.ok();
        let shared = json!([{ "type": "collection", "id": base, "name": "Secrets" }]);
        assert_eq!(said(&ask(&alice, shared.clone()).await), PLAIN);
        let alice_id = alice.get("/api/v1/auths/").await.ok()["id"].clone();
        let grant = json!({ "principal_type": "user", "principal_id": alice_id, "permission": "read" });
        admin.post(&format!("{path}/access/update"), json!({ "access_grants": [grant] })).await.ok();
        assert!(said(&ask(&alice, shared.clone()).await).contains("under the oak"));
        assert!(said(&ask(&alice, attached.clone()).await).contains("under the oak"));
        admin.post(&format!("{path}/access/update"), json!({ "access_grants": [] })).await.ok();
        assert_eq!(said(&ask(&alice, shared).await), PLAIN);
        assert_eq!(said(&ask(&alice, attached).await), PLAIN);
    }

    async fn notes_and_chats_are_told_to_their_owners(app: TestApp) {
        let admin = admin_with_documents(&app).await;
        let alice = app.member(&admin, "alice", "user").await;
        let note = json!({ "title": "Owls", "data": { "content": { "md": "The owl hoots." } }, "meta": null, "access_grants": [] });
        let note = alice.post("/api/v1/notes/create", note).await.ok()["id"].clone();
        let history = json!({ "currentId": "b", "messages": {
            "a": { "id": "a", "parentId": null, "childrenIds": ["b"], "role": "user", "content": "Where do larks nest?" },
            "b": { "id": "b", "parentId": "a", "childrenIds": [], "role": "assistant", "content": "On the ground.", "done": true },
        }});
        let chat = json!({ "chat": { "title": "Larks", "models": ["echo"], "history": history } });
        let chat = alice.post("/api/v1/chats/new", chat).await.ok()["id"].clone();
        let files = json!([{ "type": "note", "id": note, "name": "Owls" }, { "type": "chat", "id": chat, "name": "Larks" }]);
        let answer = ask(&alice, files.clone()).await;
        assert!(said(&answer).contains(">The owl hoots.</source>"), "{answer}");
        assert!(said(&answer).contains("#### User\nWhere do larks nest?\n\n#### Assistant\nOn the ground.\n"));
        let bob = app.member(&admin, "bob", "user").await;
        assert_eq!(said(&ask(&bob, files).await), PLAIN);
    }

    async fn whole_documents_and_no_thinking_up(app: TestApp) {
        let admin = admin_with_documents(&app).await;
        let one = upload(&admin, "a.txt", "Alpha is first.").await;
        let two = upload(&admin, "b.txt", "Beta is second.").await;
        let tasks = admin.get("/api/v1/tasks/config").await.ok();
        let mut quiet = tasks.clone();
        quiet["ENABLE_RETRIEVAL_QUERY_GENERATION"] = json!(false);
        admin.post("/api/v1/tasks/config/update", quiet).await.ok();
        app.provider.clear();
        let files = json!([{ "type": "file", "id": one }, { "type": "file", "id": two }]);
        let answer = ask(&admin, files.clone()).await;
        assert_eq!(answer["sources"].as_array().unwrap().len(), 2);
        let embedded = app.provider.requests_to("/v1/embeddings");
        assert!(!embedded.is_empty());
        assert!(embedded.iter().all(|request| request.body["input"] == json!([PLAIN])), "{embedded:?}");
        assert_eq!(app.provider.requests_to("/v1/chat/completions").len(), 1);

        admin.post("/api/v1/retrieval/config/update", json!({ "RAG_FULL_CONTEXT": true })).await.ok();
        app.provider.clear();
        let answer = ask(&admin, files).await;
        assert!(said(&answer).contains("Alpha is first.") && said(&answer).contains("Beta is second."));
        assert!(answer["sources"][0].get("distances").is_none());
        assert!(app.provider.requests_to("/v1/embeddings").is_empty());
    }

    async fn the_web_is_searched_by_those_who_may(app: TestApp) {
        let admin = admin_with_documents(&app).await;
        let alice = app.member(&admin, "alice", "user").await;
        let web = json!({ "web": {
            "ENABLE_WEB_SEARCH": true, "WEB_SEARCH_ENGINE": "searxng", "BYPASS_WEB_SEARCH_WEB_LOADER": true,
            "SEARXNG_QUERY_URL": format!("{}/search", app.provider.ollama_url()),
        }});
        admin.post("/api/v1/retrieval/config/update", web).await.ok();
        let found = json!({ "results": [{ "url": "https://example.com/robin", "title": "Robin", "content": "It sings.", "score": 1 }] });
        let body = json!({
            "model": "echo", "stream": false, "features": { "web_search": true }, "params": { "function_calling": "legacy" },
            "messages": [{ "role": "user", "content": "What is told?" }],
        });
        app.provider.script(Script::json(200, &found).for_path("/search"));
        let answer = admin.post("/api/chat/completions", body.clone()).await.ok();
        assert!(said(&answer).contains(">It sings.</source>"), "{answer}");
        assert_eq!(answer["sources"][0]["source"]["urls"], json!(["https://example.com/robin"]));
        assert_eq!(answer["sources"][0]["source"]["type"], "web_search");

        // A collection of somebody's search is theirs alone.
        let stolen = json!([{ "type": "web_search", "collection_name": answer["sources"][0]["source"]["collection_name"] }]);
        assert!(said(&ask(&admin, stolen.clone()).await).contains("It sings."));
        assert_eq!(said(&ask(&alice, stolen).await), PLAIN);

        let permissions = admin.get("/api/v1/users/default/permissions").await.ok();
        let mut strict = permissions.clone();
        strict["features"]["web_search"] = json!(false);
        admin.post("/api/v1/users/default/permissions", strict).await.ok();
        let answer = alice.post("/api/chat/completions", body).await.ok();
        assert_eq!(said(&answer), PLAIN);
    }

    async fn knowledge_that_lies_elsewhere_is_told_to_those_who_may_read_it(app: TestApp) {
        let admin = admin_with_documents(&app).await;
        let alice = app.member(&admin, "alice", "user").await;
        let server = json!({ "name": "Library", "provider": "qdrant", "endpoint": app.provider.ollama_url() });
        let server = admin.post("/api/v1/knowledge/external/connections", server).await.ok();
        let base = json!({
            "name": "Books", "description": "Of the library", "connection_id": server["id"],
            "source": { "name": "books", "config": { "content_field": "payload.text" } }, "access_grants": [],
        });
        let base = admin.post("/api/v1/knowledge/external/knowledge/create", base).await.ok();
        let id = base["id"].as_str().unwrap();
        let files = json!([{ "type": "collection", "id": id, "name": "Books" }]);
        let point = json!({ "id": 7, "score": 0.75, "payload": { "text": "The lynx hunts at dusk.", "metadata": { "source": "cats.md" } } });
        let points = json!({ "result": { "points": [point] } });
        let path = "/collections/books/points/query";
        let answers = || app.provider.script(Script::json(200, &points).for_path(path));

        answers();
        let answer = ask(&admin, files.clone()).await;
        assert!(said(&answer).contains(">The lynx hunts at dusk.</source>"), "{answer}");
        let source = &answer["sources"][0];
        assert_eq!(source["metadata"][0]["source"], "cats.md");
        assert_eq!(source["metadata"][0]["knowledge_id"], id);
        assert_eq!(source["metadata"][0]["external"], true);
        let asked = app.provider.requests_to(path);
        assert_eq!(asked.len(), 1);
        assert!(asked[0].body["query"].as_array().is_some_and(|vector| !vector.is_empty()));

        // Who may not read it gets nothing of it, and the other server is not even asked.
        app.provider.clear();
        assert_eq!(said(&ask(&alice, files.clone()).await), PLAIN);
        assert!(app.provider.requests_to(path).is_empty());
        let alice_id = alice.get("/api/v1/auths/").await.ok()["id"].clone();
        let grant = json!({ "principal_type": "user", "principal_id": alice_id, "permission": "read" });
        admin
            .post(&format!("/api/v1/knowledge/{id}/access/update"), json!({ "access_grants": [grant] }))
            .await
            .ok();
        answers();
        assert!(said(&ask(&alice, files.clone()).await).contains("hunts at dusk"));

        // A server that fails costs the sources, not the reply.
        app.provider.script(Script::refuse(500).for_path(path));
        assert_eq!(said(&ask(&alice, files).await), PLAIN);
    }
}
