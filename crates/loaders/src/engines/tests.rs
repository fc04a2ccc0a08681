//! Every engine against a scripted server in the vendor's format.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Uri};
use oui_config::Environment;
use serde_json::json;
use zip::write::SimpleFileOptions;

use super::*;

/// An answer of the script: where (`METHOD /path`), header, body.
type Answer = (&'static str, Option<(&'static str, String)>, Vec<u8>);

/// What the server was asked: method, path and query, headers and body as one text.
type Seen = Arc<Mutex<Vec<String>>>;

async fn serve(script: impl Fn(&str) -> Vec<Answer>) -> (String, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (script, seen) = (Arc::new(Mutex::new(script(&base))), Seen::default());
    let noted = seen.clone();
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (script, seen) = (script.clone(), noted.clone());
        async move {
            let place = format!("{method} {}", uri.path());
            seen.lock().unwrap().push(format!(
                "{method} {uri}\n{headers:?}\n{}",
                String::from_utf8_lossy(&body)
            ));
            let mut script = script.lock().unwrap();
            let Some(at) = script.iter().position(|(of, _, _)| *of == place) else {
                return http::Response::builder().status(404).body(Body::empty()).unwrap();
            };
            let (_, header, body) = script.remove(at);
            let mut response = http::Response::builder();
            if let Some((name, value)) = header {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    (base, seen)
}

fn plain(place: &'static str, answer: Value) -> Answer {
    (place, None, answer.to_string().into_bytes())
}

async fn read(engine: Engine, settings: &[(&str, &str)], name: &str) -> Result<Vec<Document>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = Environment::from_map(settings.iter().copied());
    let config = Config::new(&environment, BTreeMap::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stored");
    std::fs::write(&path, b"the bytes").unwrap();
    let source = Source {
        path: &path,
        name,
        content_type: Some("application/pdf"),
        file_id: Some("file-1"),
        user: None,
    };
    assert_eq!(Engine::choose(&config, name, source.content_type), Some(engine));
    let job = Job {
        config: &config,
        client: &Client::builder().build().unwrap(),
        source: &source,
        pause: Duration::from_millis(1),
    };
    job.run(engine).await
}

fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.text.as_str()).collect()
}

#[track_caller]
fn asked(seen: &Seen, parts: &[&str]) {
    let all = seen.lock().unwrap().join("\n");
    for part in parts {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

#[tokio::test]
async fn tika_of_both_versions() {
    let (base, seen) = serve(|_| {
        vec![
            plain(
                "PUT /tika/text",
                json!({"X-TIKA:content": " text \n", "Content-Type": "application/pdf"}),
            ),
            plain("PUT /tika/json/md", json!({"tk:content": "# text"})),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "tika"),
        ("TIKA_SERVER_URL", &base),
        ("PDF_EXTRACT_IMAGES", "true"),
    ];
    let read_old = read(Engine::Tika, &settings, "a.pdf").await.unwrap();
    assert_eq!(texts(&read_old), ["text"]);
    assert_eq!(read_old[0].metadata["Content-Type"], "application/pdf");
    asked(&seen, &["x-tika-pdfextractinlineimages", "the bytes"]);
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "tika"),
        ("TIKA_SERVER_URL", &base),
        ("TIKA_SERVER_VERSION", "4"),
    ];
    assert_eq!(
        texts(&read(Engine::Tika, &settings, "a.pdf").await.unwrap()),
        ["# text"]
    );
    let refused = read(Engine::Tika, &settings, "a.pdf")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.starts_with("Error calling Tika: 404"), "{refused}");
}

#[tokio::test]
async fn docling_with_pages_and_failures() {
    let (base, seen) = serve(|_| {
        let items = json!([
            {"content_layer": "body", "prov": [{"page_no": 1}]},
            {"content_layer": "body", "prov": [{"page_no": 3}]},
            {"content_layer": "furniture", "prov": [{"page_no": 2}]},
        ]);
        vec![
            plain("POST /v1/convert/file", json!({"status": "success", "document": {"md_content": "one\u{c}three", "json_content": {"texts": items}}})),
            plain("POST /v1/convert/file", json!({"status": "failure", "errors": [{"error_message": "too odd"}]})),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "docling"),
        ("DOCLING_SERVER_URL", &base),
        ("DOCLING_API_KEY", "k"),
        ("DOCLING_PARAMS", "{\"do_ocr\": true}"),
    ];
    let documents = read(Engine::Docling, &settings, "a.pdf").await.unwrap();
    assert_eq!(texts(&documents), ["one", "three"]);
    assert_eq!(
        (&documents[0].metadata["page"], &documents[1].metadata["page"]),
        (&json!(0), &json!(2))
    );
    asked(
        &seen,
        &[
            "x-api-key",
            "name=\"do_ocr\"",
            "name=\"files\"; filename=\"a.pdf\"",
            "the bytes",
        ],
    );
    assert_eq!(
        read(Engine::Docling, &settings, "a.pdf")
            .await
            .unwrap_err()
            .to_string(),
        "Error calling Docling: conversion status failure - too odd"
    );
}

#[tokio::test]
async fn a_service_of_ones_own() {
    let (base, seen) = serve(|_| {
        vec![
            plain(
                "PUT /process",
                json!({"page_content": "one", "metadata": {"a": 1}}),
            ),
            plain(
                "PUT /process",
                json!([{"page_content": "one"}, {"page_content": "two"}]),
            ),
            plain("PUT /process", json!([])),
        ]
    })
    .await;
    let base = format!("{base}/");
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "external"),
        ("EXTERNAL_DOCUMENT_LOADER_URL", base.as_str()),
        ("EXTERNAL_DOCUMENT_LOADER_API_KEY", "k"),
        (
            "EXTERNAL_DOCUMENT_LOADER_HEADERS",
            "{\"X-File\": \"{{FILE_ID}}\"}",
        ),
    ];
    let one = read(Engine::External, &settings, "ä b.pdf").await.unwrap();
    assert_eq!((texts(&one), &one[0].metadata["a"]), (vec!["one"], &json!(1)));
    asked(
        &seen,
        &[
            "Bearer k",
            "\"x-filename\": \"%C3%A4%20b%2Epdf\"",
            "\"x-file\": \"file-1\"",
            "application/pdf",
        ],
    );
    assert_eq!(
        texts(&read(Engine::External, &settings, "a.bin").await.unwrap()),
        ["one", "two"]
    );
    assert_eq!(
        read(Engine::External, &settings, "a.bin")
            .await
            .unwrap_err()
            .to_string(),
        "Error loading document: No content returned"
    );
}

#[tokio::test]
async fn document_intelligence_is_asked_until_done() {
    let (base, seen) = serve(|base| {
        let place = Some(("Operation-Location", format!("{base}/result")));
        vec![
            (
                "POST /documentintelligence/documentModels/prebuilt-layout:analyze",
                place,
                Vec::new(),
            ),
            plain("GET /result", json!({"status": "running"})),
            plain(
                "GET /result",
                json!({"status": "succeeded", "analyzeResult": {"content": "# text", "modelId": "m"}}),
            ),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "document_intelligence"),
        ("DOCUMENT_INTELLIGENCE_ENDPOINT", base.as_str()),
        ("DOCUMENT_INTELLIGENCE_KEY", "k"),
    ];
    let documents = read(Engine::Azure, &settings, "a.pdf").await.unwrap();
    assert_eq!(
        (texts(&documents), &documents[0].metadata["modelId"]),
        (vec!["# text"], &json!("m"))
    );
    asked(
        &seen,
        &["outputContentFormat=markdown", "ocp-apim-subscription-key"],
    );
}

#[tokio::test]
async fn mistral_forgets_the_file() {
    let (base, seen) = serve(|_| {
        vec![
            plain("POST /files", json!({"id": "f1"})),
            plain("GET /files/f1/url", json!({"url": "https://signed.example/"})),
            plain(
                "POST /ocr",
                json!({"pages": [{"index": 0, "markdown": " one "}, {"index": 1, "markdown": " "}]}),
            ),
            plain("DELETE /files/f1", json!({})),
            plain(
                "POST /ocr",
                json!({"pages": [{"index": 0, "markdown": "inline"}]}),
            ),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "mistral_ocr"),
        ("MISTRAL_OCR_API_BASE_URL", base.as_str()),
        ("MISTRAL_OCR_API_KEY", "k"),
    ];
    let documents = read(Engine::Mistral, &settings, "a.pdf").await.unwrap();
    assert_eq!(texts(&documents), ["one"]);
    assert_eq!(documents[0].metadata["total_pages"], 2);
    asked(
        &seen,
        &[
            "https://signed.example/",
            "name=\"purpose\"",
            "DELETE /files/f1",
            "/files/f1/url?expiry=1",
        ],
    );
    let mut inline = settings.to_vec();
    inline.push(("MISTRAL_OCR_USE_BASE64", "true"));
    assert_eq!(
        texts(&read(Engine::Mistral, &inline, "a.pdf").await.unwrap()),
        ["inline"]
    );
    asked(&seen, &["data:application/pdf;base64,dGhlIGJ5dGVz"]);
}

#[tokio::test]
async fn marker_of_both_kinds() {
    let (base, seen) = serve(|base| {
        let place = format!("{base}/check");
        vec![
            plain(
                "POST /marker",
                json!({"success": true, "request_id": "r", "request_check_url": place}),
            ),
            plain("GET /check", json!({"status": "processing"})),
            plain(
                "GET /check",
                json!({"status": "complete", "success": true, "markdown": "# text", "page_count": 2}),
            ),
            plain("POST /marker", json!({"success": true, "output": "at once"})),
            plain("POST /marker", json!({"success": false, "error": "no credits"})),
        ]
    })
    .await;
    let address = format!("{base}/marker");
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "datalab_marker"),
        ("DATALAB_MARKER_API_BASE_URL", address.as_str()),
        ("DATALAB_MARKER_API_KEY", "k"),
        ("DATALAB_MARKER_FORCE_OCR", "true"),
    ];
    let documents = read(Engine::Marker, &settings, "a.pdf").await.unwrap();
    assert_eq!(
        (texts(&documents), &documents[0].metadata["page_count"]),
        (vec!["# text"], &json!(2))
    );
    asked(
        &seen,
        &[
            "x-api-key",
            "name=\"force_ocr\"\r\n\r\ntrue",
            "name=\"use_llm\"\r\n\r\nfalse",
        ],
    );
    assert_eq!(
        texts(&read(Engine::Marker, &settings, "a.pdf").await.unwrap()),
        ["at once"]
    );
    assert_eq!(
        read(Engine::Marker, &settings, "a.pdf")
            .await
            .unwrap_err()
            .to_string(),
        "Datalab Marker request failed: no credits"
    );
}

#[tokio::test]
async fn paddle_reads_pictures_and_pages() {
    let pages = json!({"result": {"layoutParsingResults": [{"markdown": {"text": "one"}}, {"markdown": {"text": ""}}]}});
    let (base, seen) = serve(|_| {
        vec![
            plain("POST /layout-parsing", pages.clone()),
            plain("POST /layout-parsing", json!({})),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "paddleocr_vl"),
        ("PADDLEOCR_VL_BASE_URL", base.as_str()),
        ("PADDLEOCR_VL_TOKEN", "t"),
    ];
    assert_eq!(
        texts(&read(Engine::Paddle, &settings, "a.png").await.unwrap()),
        ["one"]
    );
    asked(&seen, &["token t", "\"fileType\":1", "\"file\":\"dGhlIGJ5dGVz\""]);
    assert_eq!(
        read(Engine::Paddle, &settings, "a.pdf")
            .await
            .unwrap_err()
            .to_string(),
        "No valid text content found in document"
    );
}

#[tokio::test]
async fn mineru_in_three_ways() {
    let (base, _) = serve(|_| {
        vec![plain(
            "POST /file_parse",
            json!({"backend": "b", "results": {"a": {"md_content": "old"}}}),
        )]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "mineru"),
        ("MINERU_API_URL", base.as_str()),
    ];
    let old = read(Engine::MinerU, &settings, "a.pdf").await.unwrap();
    assert_eq!(
        (texts(&old), &old[0].metadata["backend"]),
        (vec!["old"], &json!("b"))
    );

    let (base, seen) = serve(|_| {
        let done = json!({"job_id": "j", "status": "completed", "tier": "t", "files": [{"output_files": {"markdown": {"file_id": "m"}}}]});
        vec![
            plain("GET /v1/health", json!({})),
            plain("POST /v1/uploads", json!({"id": "u"})),
            plain("PUT /v1/uploads/u/content", json!({})),
            plain("POST /v1/uploads/u/complete", json!({"file": {"id": "f"}})),
            plain("POST /v1/parse/jobs", json!({"job_id": "j", "status": "queued"})),
            plain("GET /v1/parse/jobs/j", done),
            ("GET /v1/files/m/content", None, b"new ![x](data:image/png;base64,AA)<img src=a>".to_vec()),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "mineru"),
        ("MINERU_API_URL", base.as_str()),
    ];
    assert_eq!(
        texts(&read(Engine::MinerU, &settings, "a.pdf").await.unwrap()),
        ["new x"]
    );
    asked(
        &seen,
        &["\"file_id\":\"f\"", "\"ocr_mode\":\"auto\"", "the bytes"],
    );

    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("full.md", SimpleFileOptions::default()).unwrap();
    zip.write_all(b"# cloud").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let (base, seen) = serve(|base| {
        let data = json!({"batch_id": "b", "file_urls": [format!("{base}/upload")]});
        let result = json!({"file_name": "a.pdf", "state": "done", "full_zip_url": format!("{base}/zip")});
        vec![
            plain("POST /file-urls/batch", json!({"code": 0, "data": data})),
            plain("PUT /upload", json!({})),
            plain(
                "GET /extract-results/batch/b",
                json!({"code": 0, "data": {"extract_result": [{"file_name": "a.pdf", "state": "pending"}]}}),
            ),
            plain(
                "GET /extract-results/batch/b",
                json!({"code": 0, "data": {"extract_result": [result]}}),
            ),
            ("GET /zip", None, zip.clone()),
        ]
    })
    .await;
    let settings = [
        ("CONTENT_EXTRACTION_ENGINE", "mineru"),
        ("MINERU_API_MODE", "cloud"),
        ("MINERU_API_URL", base.as_str()),
        ("MINERU_API_KEY", "k"),
    ];
    assert_eq!(
        texts(&read(Engine::MinerU, &settings, "a.pdf").await.unwrap()),
        ["# cloud"]
    );
    asked(&seen, &["Bearer k", "\"is_ocr\":false"]);
}

#[test]
fn engines_leave_what_they_do_not_take() {
    let chosen = |settings: &[(&str, &str)], name: &str, kind: Option<&str>| {
        let environment = Environment::from_map(settings.iter().copied());
        Engine::choose(&Config::new(&environment, BTreeMap::new()), name, kind)
    };
    assert_eq!(chosen(&[], "a.pdf", None), None);
    assert_eq!(
        chosen(&[("CONTENT_EXTRACTION_ENGINE", "tika")], "a.py", None),
        None
    );
    assert_eq!(
        chosen(
            &[("CONTENT_EXTRACTION_ENGINE", "tika")],
            "a.txt",
            Some("text/plain")
        ),
        None
    );
    assert_eq!(
        chosen(
            &[("CONTENT_EXTRACTION_ENGINE", "tika")],
            "a.html",
            Some("text/html")
        ),
        Some(Engine::Tika)
    );
    assert_eq!(
        chosen(&[("CONTENT_EXTRACTION_ENGINE", "mistral_ocr")], "a.pdf", None),
        None
    );
    assert_eq!(
        chosen(&[("CONTENT_EXTRACTION_ENGINE", "mineru")], "a.docx", None),
        None
    );
}
