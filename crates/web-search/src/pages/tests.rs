//! Every loader against a scripted service in the vendor's format: what is asked, and what is made of the answer.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, Method, Uri};
use oui_config::Environment;

use super::*;

const ADDRESSES: [&str; 2] = ["https://a.example/1", "https://b.example/2"];

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A service that gives these answers by path; every other path is an error.
async fn service(answers: &[(&str, Value)]) -> (String, Asked) {
    let asked = Asked::default();
    let answers: BTreeMap<String, Value> = answers
        .iter()
        .map(|(path, answer)| ((*path).to_owned(), answer.clone()))
        .collect();
    let seen = asked.clone();
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (answers, seen) = (answers.clone(), seen.clone());
        async move {
            let secret = ["authorization", "x-apikey"]
                .iter()
                .find_map(|name| headers.get(*name)?.to_str().ok());
            let line = format!("{method} {} {}", uri.path(), secret.unwrap_or_default());
            let body = serde_json::from_slice(&body).unwrap_or_default();
            seen.lock().unwrap().push((line, body));
            let answer = answers.get(uri.path()).cloned();
            match answer {
                Some(answer) => Ok(axum::Json(answer)),
                None => Err(http::StatusCode::BAD_GATEWAY),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(handler);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), asked)
}

fn loader(settings: &[(&str, &str)]) -> PageLoader {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = std::env::temp_dir();
    let folder = folder.to_string_lossy();
    let mut variables = vec![
        ("DATA_DIR", folder.as_ref()),
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
    ];
    variables.extend_from_slice(settings);
    let environment = Environment::from_map(variables);
    let config = Arc::new(Config::new(&environment, BTreeMap::new()));
    let settings = Arc::new(Settings::load(&environment).unwrap());
    PageLoader::new(config, settings).unwrap()
}

async fn load(loader: &PageLoader) -> Vec<(String, Value)> {
    let addresses = ADDRESSES.map(str::to_owned);
    let documents = loader.pages(&addresses).await.unwrap();
    documents
        .into_iter()
        .map(|document| (document.text, Value::Object(document.metadata)))
        .collect()
}

#[tokio::test]
async fn firecrawl_scrapes_page_by_page() {
    let meta =
        json!({ "sourceURL": "https://a.example/1", "title": "First", "description": "one", "other": 1 });
    let answer = json!({ "success": true, "data": { "markdown": "# First", "metadata": meta } });
    let (base, asked) = service(&[("/v2/scrape", answer)]).await;
    let found = load(&loader(&[
        ("WEB_LOADER_ENGINE", "firecrawl"),
        ("FIRECRAWL_API_BASE_URL", &base),
        ("FIRECRAWL_API_KEY", "k"),
        ("FIRECRAWL_TIMEOUT", "7"),
    ]))
    .await;
    let read = json!({ "source": "https://a.example/1", "title": "First", "description": "one" });
    assert_eq!(
        found,
        [("# First".to_owned(), read.clone()), ("# First".to_owned(), read)]
    );
    let mut asked = asked.lock().unwrap().clone();
    asked.sort_by_key(|(_, body)| body["url"].to_string());
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].0, "POST /v2/scrape Bearer k");
    assert_eq!(
        asked[0].1,
        json!({
            "url": "https://a.example/1", "formats": ["markdown"], "skipTlsVerification": false,
            "removeBase64Images": true, "timeout": 7000,
        })
    );
}

#[tokio::test]
async fn tavily_extracts_in_batches() {
    let answer = json!({ "results": [
        { "url": "https://a.example/1", "raw_content": "one" }, { "url": "https://b.example/2", "raw_content": "" },
    ], "failed_results": [] });
    let (base, asked) = service(&[("/extract", answer)]).await;
    let found = load(&loader(&[
        ("WEB_LOADER_ENGINE", "tavily"),
        ("TAVILY_API_BASE_URL", &base),
        ("TAVILY_API_KEY", "k"),
        ("TAVILY_EXTRACT_DEPTH", "advanced"),
    ]))
    .await;
    assert_eq!(
        found,
        [("one".to_owned(), json!({ "source": "https://a.example/1" }))]
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [(
            "POST /extract Bearer k".to_owned(),
            json!({ "urls": ADDRESSES, "extract_depth": "advanced" })
        )]
    );
}

#[tokio::test]
async fn ones_own_service_answers_with_documents() {
    let answer = json!([
        { "page_content": "one", "metadata": { "source": "https://a.example/1", "lang": "en" } },
        { "page_content": "two", "metadata": {} },
    ]);
    let (base, asked) = service(&[("/pages", answer)]).await;
    let found = load(&loader(&[
        ("WEB_LOADER_ENGINE", "external"),
        ("EXTERNAL_WEB_LOADER_URL", &format!("{base}/pages")),
        ("EXTERNAL_WEB_LOADER_API_KEY", "k"),
    ]))
    .await;
    assert_eq!(
        found,
        [
            (
                "one".to_owned(),
                json!({ "source": "https://a.example/1", "lang": "en" })
            ),
            ("two".to_owned(), json!({})),
        ]
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [("POST /pages Bearer k".to_owned(), json!({ "urls": ADDRESSES }))]
    );
}

#[tokio::test]
async fn microsoft_browses_page_by_page() {
    let answer = json!({ "url": "https://a.example/1", "title": "First", "content": "one" });
    let (base, asked) = service(&[("/browse", answer)]).await;
    let found = load(&loader(&[
        ("WEB_LOADER_ENGINE", "microsoft_web_iq"),
        ("MICROSOFT_WEB_IQ_API_BASE_URL", &base),
        ("MICROSOFT_WEB_IQ_API_KEY", "k"),
    ]))
    .await;
    let read = json!({ "source": "https://a.example/1", "title": "First" });
    assert_eq!(
        found,
        [("one".to_owned(), read.clone()), ("one".to_owned(), read)]
    );
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].0, "POST /browse k");
    assert_eq!(asked[0].1["contentFormat"], "markdown");
}

#[tokio::test]
async fn services_that_fail_bring_no_pages() {
    let (base, _) = service(&[]).await;
    for (engine, variable) in [
        ("firecrawl", "FIRECRAWL_API_BASE_URL"),
        ("tavily", "TAVILY_API_BASE_URL"),
        ("external", "EXTERNAL_WEB_LOADER_URL"),
        ("microsoft_web_iq", "MICROSOFT_WEB_IQ_API_BASE_URL"),
    ] {
        let loader = loader(&[("WEB_LOADER_ENGINE", engine), (variable, &base)]);
        assert!(load(&loader).await.is_empty(), "{engine}");
    }
    let inside = ["http://127.0.0.1/".to_owned(), "http://10.1.2.3/".to_owned()];
    let loader = loader(&[
        ("WEB_LOADER_ENGINE", "external"),
        ("EXTERNAL_WEB_LOADER_URL", &base),
    ]);
    assert_eq!(loader.pages(&inside).await.unwrap_err().to_string(), INVALID_URL);
}
