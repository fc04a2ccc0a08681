//! A server that is killed in the middle of embedding a file: after the next start the file is there whole or not at
//! all, what was there before answers as it did, and the work can be done again.
#![expect(clippy::unwrap_used, reason = "a failure is the test's failure")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::sync::Semaphore;

use support::Server;

/// A server that embeds, as many texts as it is allowed to; the next one waits and tells so.
struct Embedding {
    allowed: AtomicUsize,
    stuck: Semaphore,
    /// Permits let a text that waits go on.
    go_on: Semaphore,
}

async fn embed(State(server): State<Arc<Embedding>>, Json(body): Json<Value>) -> Json<Value> {
    let texts = body["input"].as_array().cloned().unwrap_or_default();
    let take = |left: usize| left.checked_sub(texts.len());
    if server
        .allowed
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        .is_err()
    {
        server.stuck.add_permits(1);
        server.go_on.acquire().await.unwrap().forget();
    }
    // The same text has the same vector, others have others.
    let vector = |text: &Value| {
        let bytes = text.as_str().unwrap_or_default().bytes();
        let mut numbers = [0_u32; 8];
        bytes
            .enumerate()
            .for_each(|(place, byte)| numbers[place % 8] += u32::from(byte));
        json!({ "embedding": numbers })
    };
    let data: Vec<Value> = texts.iter().map(vector).collect();
    Json(json!({ "data": data }))
}

async fn start(folder: &Path, embedding: &str) -> Server {
    let environment = [
        ("ENABLE_OPENAI_API", "false"),
        ("RAG_EMBEDDING_ENGINE", "openai"),
        ("RAG_EMBEDDING_MODEL", "embed"),
        ("RAG_OPENAI_API_BASE_URL", embedding),
        ("RAG_OPENAI_API_KEY", "key"),
        ("ENABLE_ASYNC_EMBEDDING", "false"),
        ("CHUNK_SIZE", "60"),
        ("CHUNK_OVERLAP", "0"),
    ];
    Server::start(folder, &environment).await
}

impl Server {
    async fn upload(&self, name: &str, text: String) -> String {
        let part = Part::text(text)
            .file_name(name.to_owned())
            .mime_str("text/plain")
            .unwrap();
        let call = self.call(reqwest::Method::POST, "/api/v1/files/");
        let answer = call
            .multipart(Form::new().part("file", part))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the file is read and embedded, or has failed; answers after ten seconds what there is.
    async fn status(&self, file: &str) -> String {
        let mut last = String::new();
        for _ in 0..500 {
            let status = self.get(&format!("/api/v1/files/{file}")).await["data"]["status"].clone();
            status.as_str().unwrap_or_default().clone_into(&mut last);
            if !matches!(last.as_str(), "" | "pending" | "processing") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        last
    }

    /// Texts of a file in a collection, in order.
    async fn chunks(&self, collection: &str, file: &str) -> Vec<String> {
        let question = json!({ "collection_names": [collection], "query": "line", "k": 1000 });
        let found = self.post("/api/v1/retrieval/query/collection", question).await;
        let texts = found["documents"][0].as_array().cloned().unwrap_or_default();
        let about = found["metadatas"][0].as_array().cloned().unwrap_or_default();
        let own = texts
            .into_iter()
            .zip(about)
            .filter(|(_, about)| about["file_id"] == file);
        let mut own: Vec<String> = own.map(|(text, _)| text.as_str().unwrap().to_owned()).collect();
        own.sort();
        own
    }
}

/// Forty paragraphs, each a chunk.
fn text(of: &str) -> String {
    let line = |number: u32| format!("This is line {number:03} of the file that is named {of}.");
    (0..40).map(line).collect::<Vec<_>>().join("\n\n")
}

async fn assert_listed_once(server: &Server, base: &str) {
    let listed = server.get(&format!("/api/v1/knowledge/{base}/files")).await;
    assert_eq!(listed["total"], 1);
}

#[tokio::test]
async fn a_file_is_there_whole_or_not_at_all() {
    let embedding = Arc::new(Embedding {
        allowed: AtomicUsize::new(usize::MAX),
        stuck: Semaphore::new(0),
        go_on: Semaphore::new(0),
    });
    let app = Router::new()
        .route("/v1/embeddings", post(embed))
        .route("/v1/models", get(async || Json(json!({ "data": [] }))))
        .with_state(embedding.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().unwrap();

    let server = start(folder.path(), &address).await;
    let base = json!({ "name": "Files", "description": "" });
    let base = server.post("/api/v1/knowledge/create", base).await["id"].clone();
    let base = base.as_str().unwrap().to_owned();
    let add = format!("/api/v1/knowledge/{base}/file/add");
    let first = server.upload("first.txt", text("first")).await;
    assert_eq!(server.status(&first).await, "completed");
    let added = server.post(&add, json!({ "file_id": first })).await;
    assert_eq!(added["files"].as_array().map(Vec::len), Some(1), "{added}");
    let before = server.chunks(&base, &first).await;
    assert_eq!(before.len(), 40);

    // Killed while an upload is embedded.
    embedding.allowed.store(17, Ordering::SeqCst);
    let second = server.upload("second.txt", text("second")).await;
    embedding.stuck.acquire().await.unwrap().forget();
    server.kill().await;
    embedding.allowed.store(usize::MAX, Ordering::SeqCst);
    let server = start(folder.path(), &address).await;
    let own = format!("file-{second}");
    match server.status(&second).await.as_str() {
        "completed" => assert_eq!(server.chunks(&own, &second).await.len(), 40),
        _ => assert_eq!(server.chunks(&own, &second).await, Vec::<String>::new()),
    }
    assert_eq!(server.chunks(&base, &first).await, before);
    let again = json!({ "file_id": second });
    server.post("/api/v1/retrieval/process/file", again.clone()).await;
    assert_eq!(server.chunks(&own, &second).await.len(), 40);

    // Killed while a file is put into a knowledge base.
    embedding.allowed.store(17, Ordering::SeqCst);
    tokio::spawn(server.call(reqwest::Method::POST, &add).json(&again).send());
    embedding.stuck.acquire().await.unwrap().forget();
    server.kill().await;
    embedding.allowed.store(usize::MAX, Ordering::SeqCst);
    let server = start(folder.path(), &address).await;
    assert_listed_once(&server, &base).await;
    assert_eq!(server.chunks(&base, &first).await, before);
    assert_eq!(server.chunks(&base, &second).await, Vec::<String>::new());

    // Killed when its chunks are kept and the file is not in the knowledge base yet: the database is locked then.
    embedding.allowed.store(39, Ordering::SeqCst);
    tokio::spawn(server.call(reqwest::Method::POST, &add).json(&again).send());
    embedding.stuck.acquire().await.unwrap().forget();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("webui.db"));
    let mut database = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut database)
        .await
        .unwrap();
    embedding.allowed.store(usize::MAX, Ordering::SeqCst);
    embedding.go_on.add_permits(1);
    while server.chunks(&base, &second).await.len() < 40 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill().await;
    database.close().await.unwrap();
    let server = start(folder.path(), &address).await;
    assert_listed_once(&server, &base).await;
    assert_eq!(server.chunks(&base, &first).await, before);
    assert_eq!(server.chunks(&base, &second).await, Vec::<String>::new());
    assert_eq!(server.chunks(&own, &second).await.len(), 40);
    let added = server.post(&add, again).await;
    assert_eq!(added["files"].as_array().map(Vec::len), Some(2), "{added}");
    assert_eq!(server.chunks(&base, &second).await.len(), 40);
}
