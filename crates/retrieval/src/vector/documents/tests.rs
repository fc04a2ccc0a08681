//! Against a small server with the wire format of both that does what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::*;
use crate::vector::conformance;
use crate::vector::matrix::likeness;

#[derive(Default)]
struct Peer {
    indexes: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
    /// Pages of searches that go on.
    scrolls: Mutex<Vec<Vec<Value>>>,
    keys: Mutex<Vec<String>>,
}

/// The value of a field as it is indexed: texts of OpenSearch whole only as `.keyword`.
fn at<'v>(document: &'v Value, field: &str) -> &'v Value {
    let field = field.strip_suffix(".keyword").unwrap_or(field);
    let pointer = format!("/{}", field.replacen("metadata.", "metadata/", 1));
    document.pointer(&pointer).unwrap_or(&Value::Null)
}

fn fits(id: &str, document: &Value, query: &Value) -> bool {
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    if let Some(term) = query["term"].as_object() {
        let (field, value) = term.iter().next().unwrap();
        return at(document, field) == value;
    }
    if query["ids"].is_object() {
        return list(&query["ids"]["values"]).contains(&json!(id));
    }
    if let Some(text) = query["match"]["text"].as_str() {
        let own = document["text"].as_str().unwrap();
        return text.split_whitespace().any(|word| own.contains(word));
    }
    let all = ["filter", "must"].iter().all(|part| {
        list(&query["bool"][*part])
            .iter()
            .all(|one| fits(id, document, one))
    });
    let should = list(&query["bool"]["should"]);
    all && (should.is_empty() || should.iter().any(|one| fits(id, document, one)))
}

fn found(peer: &Peer, pattern: &str, body: &Value) -> Option<Vec<Value>> {
    let indexes = peer.indexes.lock().unwrap();
    let script = &body["query"]["script_score"];
    let query = if script.is_object() {
        &script["query"]
    } else {
        &body["query"]
    };
    let params = &script["script"]["params"];
    let vector = if params["vector"].is_array() {
        &params["vector"]
    } else {
        &params["query_value"]
    };
    let numbers = |value: &Value| list(value, |number| number.as_f64().map(|number| number as f32));
    let mut hits = Vec::new();
    let mut known = pattern.ends_with('*');
    for (index, documents) in indexes.iter() {
        let named = match pattern.strip_suffix('*') {
            Some(prefix) => index.starts_with(prefix),
            None => index == pattern,
        };
        known |= named;
        for (id, document) in documents.iter().filter(|_| named) {
            if fits(id, document, query) {
                let score = likeness(&numbers(vector), &numbers(&document["vector"]));
                hits.push(json!({ "_index": index, "_id": id, "_score": score, "_source": document }));
            }
        }
    }
    if script.is_object() {
        hits.sort_by(|a, b| {
            b["_score"]
                .as_f64()
                .unwrap()
                .total_cmp(&a["_score"].as_f64().unwrap())
        });
    }
    known.then_some(hits)
}

fn said(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn missing() -> Response {
    said(404, json!({ "error": { "type": "index_not_found_exception" } }))
}

async fn index(
    State(peer): State<Arc<Peer>>,
    method: axum::http::Method,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let key = headers
        .get("authorization")
        .map(|key| key.to_str().unwrap().to_owned());
    peer.keys.lock().unwrap().extend(key);
    let mut indexes = peer.indexes.lock().unwrap();
    match method.as_str() {
        "PUT" => {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(body["mappings"]["properties"]["vector"].is_object());
            indexes.insert(name, BTreeMap::new());
            said(200, json!({ "acknowledged": true }))
        }
        "DELETE" => match indexes.remove(&name) {
            Some(_) => said(200, json!({ "acknowledged": true })),
            None => missing(),
        },
        _ => {
            let of = |prefix: &str| {
                indexes
                    .keys()
                    .filter(|key| key.starts_with(prefix))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            let names = match name.strip_suffix('*') {
                Some(prefix) => of(prefix),
                None if indexes.contains_key(&name) => vec![name],
                None => return missing(),
            };
            said(
                200,
                names.into_iter().map(|name| (name, json!({}))).collect::<Value>(),
            )
        }
    }
}

async fn act(
    State(peer): State<Arc<Peer>>,
    Path((name, action)): Path<(String, String)>,
    uri: Uri,
    body: String,
) -> Response {
    if action == "_bulk" {
        let mut indexes = peer.indexes.lock().unwrap();
        let documents = indexes.get_mut(&name).unwrap();
        let lines: Vec<Value> = body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for pair in lines.chunks(2) {
            let id = pair[0]["index"]["_id"].as_str().unwrap();
            if pair[1]["text"] == "refuse me" {
                let item = json!({ "index": { "error": { "reason": "no room" } } });
                return said(200, json!({ "errors": true, "items": [item] }));
            }
            documents.insert(id.to_owned(), pair[1].clone());
        }
        return said(200, json!({ "errors": false }));
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let Some(hits) = found(&peer, &name, &body) else {
        return missing();
    };
    match action.as_str() {
        "_count" => said(200, json!({ "count": hits.len() })),
        "_delete_by_query" => {
            let mut indexes = peer.indexes.lock().unwrap();
            for hit in hits {
                let documents = indexes.get_mut(hit["_index"].as_str().unwrap()).unwrap();
                documents.remove(hit["_id"].as_str().unwrap());
            }
            said(200, json!({}))
        }
        _ => {
            let size = usize::try_from(body["size"].as_u64().unwrap()).unwrap();
            let mut pages = hits
                .chunks(size.max(1))
                .map(<[Value]>::to_vec)
                .collect::<Vec<_>>();
            pages.reverse();
            let first = pages.pop().unwrap_or_default();
            let scroll = uri.query().is_some_and(|query| query.contains("scroll"));
            *peer.scrolls.lock().unwrap() = pages;
            let id = if scroll { json!("s1") } else { Value::Null };
            said(200, json!({ "_scroll_id": id, "hits": { "hits": first } }))
        }
    }
}

async fn scroll(State(peer): State<Arc<Peer>>, method: axum::http::Method) -> Response {
    if method.as_str() == "DELETE" {
        peer.scrolls.lock().unwrap().clear();
        return said(200, json!({}));
    }
    let page = peer.scrolls.lock().unwrap().pop().unwrap_or_default();
    said(200, json!({ "_scroll_id": "s1", "hits": { "hits": page } }))
}

async fn start() -> (Arc<Peer>, String) {
    let peer = Arc::new(Peer::default());
    let app = Router::new()
        .route("/_search/scroll", any(scroll))
        .route("/{name}", any(index))
        .route("/{name}/{action}", any(act))
        .with_state(peer.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (peer, url)
}

fn store(url: &str, dialect: Dialect) -> Documents {
    let server = Documents::server("Peer", crate::testing::client(), url);
    Documents {
        server: basic(server, Some("me"), Some("secret")),
        dialect,
        prefix: "open_webui".into(),
    }
}

#[tokio::test]
async fn both_do_what_every_engine_does() {
    for dialect in [Dialect::Elastic, Dialect::Open] {
        let (peer, url) = start().await;
        conformance::check(&store(&url, dialect)).await;
        assert_eq!(
            peer.keys.lock().unwrap().first().map(String::as_str),
            Some("Basic bWU6c2VjcmV0")
        );
    }
}

fn item(id: usize, text: &str) -> Item {
    Item {
        id: format!("{id:05}"),
        text: text.to_owned(),
        vector: vec![1.0, 0.0],
        metadata: super::super::Metadata::new(),
    }
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let (peer, url) = start().await;
    let store = store(&url, Dialect::Elastic);
    let items = (0..2 * FETCHED + 5).map(|id| item(id, "text")).collect();
    store.insert("c", items).await.unwrap();
    let all = store.query("c", &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(all.len(), 2 * FETCHED + 5);
    assert_eq!(all[2004].id, "02004");
    let some = store
        .query("c", &Filter::all(), Some(FETCHED + 1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(some.len(), FETCHED + 1);
    assert!(peer.scrolls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn words_are_found_and_refusals_are_told() {
    let (_, url) = start().await;
    let store = store(&url, Dialect::Open);
    store
        .insert("c", vec![item(1, "a hedgehog"), item(2, "a fox")])
        .await
        .unwrap();
    let hits = store
        .text_search("c", "hedgehog", 5, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].entry.id, "00001");
    assert!(store.text_search("c", "fox", 5, true).await.unwrap().is_none());
    let error = store.insert("c", vec![item(3, "refuse me")]).await.unwrap_err();
    assert_eq!(error.to_string(), "Peer: no room");
}

#[test]
fn names_of_the_cloud_hold_addresses() {
    let name = format!("mine:{}", STANDARD.encode("eu-west-1.aws.found.io$abc$def"));
    assert_eq!(
        cloud_url(&name).as_deref(),
        Some("https://abc.eu-west-1.aws.found.io:443")
    );
    let name = STANDARD.encode("host.example:9243$abc");
    assert_eq!(
        cloud_url(&format!("x:{name}")).as_deref(),
        Some("https://abc.host.example:9243")
    );
    assert_eq!(cloud_url("nonsense"), None);
}
