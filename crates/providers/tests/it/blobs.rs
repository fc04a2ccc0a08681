//! Model files on their way to an Ollama server.

use futures::StreamExt;
use oui_core::Clock;
use oui_fake_provider::{FakeProvider, Script};
use oui_providers::ollama_blobs::{Progress, Target};
use oui_providers::{CallContext, Connection, Http, HttpOptions, ProviderKind};
use serde_json::{Value, json};

/// SHA-256 of `some weights`.
const DIGEST: &str = "sha256:a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766";

fn target(provider: &FakeProvider) -> Target {
    Target {
        http: Http::new(HttpOptions::default(), Clock::system()).unwrap(),
        connection: Connection::adhoc(ProviderKind::Ollama, &provider.ollama_url(), "sk", None),
        context: CallContext::default(),
    }
}

async fn told(events: impl futures::Stream<Item = bytes::Bytes>) -> Vec<Value> {
    let texts: Vec<_> = events.collect().await;
    let read = |text: &bytes::Bytes| {
        let text = std::str::from_utf8(text).unwrap().trim();
        serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap()
    };
    texts.iter().map(read).collect()
}

fn bodies(provider: &FakeProvider, path: &str) -> Vec<Value> {
    let requests = provider.requests();
    let fitting = requests.iter().filter(|request| request.path == path);
    fitting.map(|request| request.body.clone()).collect()
}

#[tokio::test]
async fn a_download_is_continued_stored_and_removed() {
    let provider = FakeProvider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.gguf");
    std::fs::write(&file, "some ").unwrap();
    provider.script(Script::raw(206, "application/octet-stream", ["wei", "ghts"]).for_path("/files/my.gguf"));
    let (progress, events) = Progress::channel();
    let url = format!("{}/files/my.gguf", provider.ollama_url());
    let transfer = target(&provider).download(url, file.clone(), "my.gguf".into(), progress);
    let ((), events) = tokio::join!(transfer, told(events));
    let last = events.last().unwrap();
    assert_eq!(
        (&last["done"], &last["model_created"]),
        (&json!(true), &json!("my")),
        "{events:?}"
    );
    let digest = last["blob"].as_str().unwrap();
    assert_eq!(digest, DIGEST);
    let fetched = provider
        .requests()
        .into_iter()
        .find(|request| request.path == "/files/my.gguf")
        .unwrap();
    assert_eq!(fetched.header("range"), Some("bytes=5-"));
    let blob = provider
        .requests()
        .into_iter()
        .find(|request| request.path.starts_with("/api/blobs/"))
        .unwrap();
    assert_eq!(&blob.raw[..], b"some weights");
    assert_eq!(blob.path, format!("/api/blobs/{digest}"));
    assert_eq!(blob.header("authorization"), Some("Bearer sk"));
    assert_eq!(
        bodies(&provider, "/api/create"),
        [json!({"model": "my", "files": {"my.gguf": digest}, "stream": false})]
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn a_refused_blob_is_told_and_the_upload_removed() {
    let provider = FakeProvider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upload.part");
    std::fs::write(&file, "some weights").unwrap();
    provider.script(Script::refuse(500).for_path("/api/create"));
    let (progress, events) = Progress::channel();
    let transfer = target(&provider).upload(file.clone(), "my.gguf".into(), progress);
    let ((), events) = tokio::join!(transfer, told(events));
    assert_eq!(
        events[0],
        json!({"progress": 100.0, "completed": 12, "total": 12})
    );
    let error = events.last().unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("Failed to create model in Ollama. "), "{error}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_download_that_is_refused_says_so() {
    let provider = FakeProvider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (progress, events) = Progress::channel();
    let url = format!("{}/files/gone.gguf", provider.ollama_url());
    let file = folder.path().join("gone.gguf");
    let transfer = target(&provider).download(url, file.clone(), "gone.gguf".into(), progress);
    let ((), events) = tokio::join!(transfer, told(events));
    assert_eq!(
        events,
        [json!({"error": "The download was refused with status 404."})]
    );
    assert!(!file.exists());
}
