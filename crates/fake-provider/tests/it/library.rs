//! Ollama's endpoints around models: lists, descriptions, pull and the rest.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Bench, chat, lines};

async fn names(bench: &Bench) -> Vec<String> {
    let tags = bench.get_json("/api/tags").await;
    let models = tags["models"].as_array().unwrap().iter();
    models
        .filter_map(|model| model["model"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn the_instance_tells_its_version_and_models() {
    let bench = Bench::new().await;
    assert_eq!(bench.get_json("/api/version").await, json!({"version": "0.12.0"}));
    let names = names(&bench).await;
    assert_eq!(names[0], "fake-model:latest");
    assert!(names.contains(&"embed:latest".to_owned()));
    let root = bench.client.get(bench.url("/")).send().await.unwrap();
    assert_eq!(root.text().await.unwrap(), "Ollama is running");
}

#[tokio::test]
async fn a_model_is_described() {
    let bench = Bench::new().await;
    let tools = bench.post_json("/api/show", &json!({"model": "tools"})).await;
    assert_eq!(tools["capabilities"], json!(["completion", "tools"]));
    assert_eq!(tools["model_info"]["llama.context_length"], 8192);
    let embed = bench
        .post_json("/api/show", &json!({"name": "embed:latest"}))
        .await;
    assert_eq!(embed["capabilities"], json!(["embedding"]));
    assert_eq!(
        bench
            .post("/api/show", &json!({"model": "nobody"}))
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn a_pull_reports_progress_and_adds_the_model() {
    let bench = Bench::new().await;
    let text = bench
        .post("/api/pull", &json!({"model": "llama9:1b"}))
        .await
        .text()
        .await
        .unwrap();
    let lines = lines(&text);
    assert_eq!(lines[0], json!({"status": "pulling manifest"}));
    let completed: Vec<&Value> = lines.iter().filter_map(|line| line.get("completed")).collect();
    assert_eq!(completed, [0, 250_000, 500_000, 750_000, 1_000_000]);
    assert!(lines[1]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(lines.last().unwrap(), &json!({"status": "success"}));
    assert!(names(&bench).await.contains(&"llama9:1b".to_owned()));
    let reply = bench
        .post_json("/api/chat", &chat("llama9:1b", "hello", false))
        .await;
    assert_eq!(reply["message"]["content"], oui_fake_provider::fixed_text(9));
    let missing = bench
        .post("/api/pull", &json!({"model": "missing-one"}))
        .await
        .text()
        .await
        .unwrap();
    assert!(missing.ends_with("{\"error\":\"pull model manifest: file does not exist\"}\n"));
    let quiet = bench
        .post_json("/api/pull", &json!({"model": "echo", "stream": false}))
        .await;
    assert_eq!(quiet, json!({"status": "success"}));
}

#[tokio::test]
async fn models_are_copied_created_pushed_and_deleted() {
    let bench = Bench::new().await;
    let copied = bench
        .post("/api/copy", &json!({"source": "echo", "destination": "parrot"}))
        .await;
    assert_eq!(copied.status(), 200);
    let created = bench
        .post("/api/create", &json!({"model": "mimic", "from": "parrot"}))
        .await;
    assert!(
        created
            .text()
            .await
            .unwrap()
            .ends_with("{\"status\":\"success\"}\n")
    );
    for name in ["parrot", "mimic"] {
        let reply = bench.post_json("/api/chat", &chat(name, "hello", false)).await;
        assert_eq!(reply["message"]["content"], "hello");
    }
    let pushed = bench
        .post("/api/push", &json!({"model": "mimic"}))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(lines(&pushed).last().unwrap(), &json!({"status": "success"}));
    let delete = async || {
        let request = bench.client.request(Method::DELETE, bench.url("/api/delete"));
        request
            .json(&json!({"model": "parrot"}))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(delete().await, 200);
    assert_eq!(delete().await, 404);
    assert!(!names(&bench).await.contains(&"parrot:latest".to_owned()));
}

#[tokio::test]
async fn blobs_are_known_once_uploaded() {
    let bench = Bench::new().await;
    let url = bench.url("/api/blobs/sha256:00ff");
    let head = async || bench.client.head(&url).send().await.unwrap().status();
    assert_eq!(head().await, 404);
    assert_eq!(
        bench
            .client
            .post(&url)
            .body("bytes")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    assert_eq!(head().await, 200);
}
