//! Against a small server with Qdrant's wire format that does what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post, put};
use axum::{Json, Router};

use super::*;
use crate::vector::conformance;
use crate::vector::matrix::likeness;

#[derive(Default)]
struct Peer {
    collections: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
    keys: Mutex<Vec<String>>,
}

type Shared = Arc<Peer>;

fn at<'v>(point: &'v Value, key: &str) -> &'v Value {
    let mut value = &point["payload"];
    for part in key.split('.') {
        value = &value[part];
    }
    value
}

fn fits(point: &Value, filter: &Value) -> bool {
    let must = filter["must"].as_array().cloned().unwrap_or_default();
    must.iter().all(|condition| {
        if let Some(ids) = condition["has_id"].as_array() {
            return ids.contains(&point["id"]);
        }
        let value = at(point, condition["key"].as_str().unwrap());
        match condition["match"]["any"].as_array() {
            Some(any) => any.contains(value),
            None => condition["match"]["value"] == *value,
        }
    })
}

fn result(value: Value) -> (axum::http::StatusCode, Json<Value>) {
    (
        axum::http::StatusCode::OK,
        Json(json!({ "result": value, "status": "ok" })),
    )
}

fn missing() -> (axum::http::StatusCode, Json<Value>) {
    (
        axum::http::StatusCode::NOT_FOUND,
        Json(json!({ "status": { "error": "Not found" } })),
    )
}

type Answer = (axum::http::StatusCode, Json<Value>);

async fn list(State(server): State<Shared>, headers: HeaderMap) -> Answer {
    let key = headers.get("api-key").map(|key| key.to_str().unwrap().to_owned());
    server.keys.lock().unwrap().extend(key);
    let names: Vec<Value> = server
        .collections
        .lock()
        .unwrap()
        .keys()
        .map(|name| json!({ "name": name }))
        .collect();
    result(json!({ "collections": names }))
}

async fn exists(State(server): State<Shared>, Path(name): Path<String>) -> Answer {
    result(json!({ "exists": server.collections.lock().unwrap().contains_key(&name) }))
}

async fn make(State(server): State<Shared>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    assert_eq!(
        body["vectors"],
        json!({ "size": 3, "distance": "Cosine", "on_disk": false })
    );
    server.collections.lock().unwrap().insert(name, BTreeMap::new());
    result(json!(true))
}

async fn drop_one(State(server): State<Shared>, Path(name): Path<String>) -> Answer {
    server.collections.lock().unwrap().remove(&name);
    result(json!(true))
}

async fn upsert(State(server): State<Shared>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    let mut collections = server.collections.lock().unwrap();
    let Some(points) = collections.get_mut(&name) else {
        return missing();
    };
    for point in body["points"].as_array().unwrap() {
        points.insert(point["id"].as_str().unwrap().to_owned(), point.clone());
    }
    result(json!({}))
}

async fn act(
    State(server): State<Shared>,
    Path((name, action)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let mut collections = server.collections.lock().unwrap();
    let Some(points) = collections.get_mut(&name) else {
        return missing();
    };
    let found: Vec<Value> = points
        .values()
        .filter(|point| fits(point, &body["filter"]))
        .cloned()
        .collect();
    let limit = usize::try_from(body["limit"].as_u64().unwrap_or(u64::MAX)).unwrap();
    match action.as_str() {
        "count" => result(json!({ "count": found.len() })),
        "delete" => {
            points.retain(|_, point| !fits(point, &body["filter"]));
            result(json!({}))
        }
        "scroll" => {
            let start = usize::try_from(body["offset"].as_u64().unwrap_or(0)).unwrap();
            let page: Vec<Value> = found.iter().skip(start).take(limit).cloned().collect();
            let next = start + page.len();
            let offset = if next < found.len() {
                json!(next)
            } else {
                Value::Null
            };
            result(json!({ "points": page, "next_page_offset": offset }))
        }
        _ => {
            let numbers = |value: &Value| -> Vec<f32> {
                value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|number| number.as_f64().unwrap() as f32)
                    .collect()
            };
            let question = numbers(&body["query"]);
            let mut scored: Vec<(f64, Value)> = found
                .into_iter()
                .map(|point| (2.0 * likeness(&question, &numbers(&point["vector"])) - 1.0, point))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            let points: Vec<Value> = scored
                .into_iter()
                .take(limit)
                .map(|(score, point)| json!({ "id": point["id"], "score": score, "payload": point["payload"] }))
                .collect();
            result(json!({ "points": points }))
        }
    }
}

async fn start() -> (Shared, String) {
    let server = Shared::default();
    let router = Router::new()
        .route("/collections", get(list))
        .route("/collections/{name}", put(make).delete(drop_one))
        .route("/collections/{name}/exists", get(exists))
        .route("/collections/{name}/index", put(async || result(json!({}))))
        .route("/collections/{name}/points", put(upsert))
        .route("/collections/{name}/points/{action}", post(act))
        .with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (server, url)
}

fn store(url: &str, shared: bool) -> Qdrant {
    Qdrant {
        server: Server::new("Qdrant", crate::testing::client(), url, &["/status/error"])
            .header("api-key", "secret"),
        prefix: "open-webui".into(),
        shared,
        neighbours: 16,
        on_disk: false,
    }
}

#[tokio::test]
async fn it_does_what_every_engine_does_in_both_layouts() {
    for shared in [true, false] {
        let (server, url) = start().await;
        conformance::check(&store(&url, shared)).await;
        assert_eq!(
            server.keys.lock().unwrap().first().map(String::as_str),
            Some("secret")
        );
    }
}

#[test]
fn collections_share_the_servers() {
    let store = store("", true);
    let hash = "0123456789abcdef".repeat(4)[..63].to_owned();
    for (name, kind) in [
        ("user-memory-u", "memories"),
        ("file-f", "files"),
        ("web-search-u-x", "web-search"),
        (hash.as_str(), "hash-based"),
        ("7c0ffee7-0000-4000-8000-000000000001", "knowledge"),
    ] {
        assert_eq!(store.place(name).name, format!("open-webui_{kind}"));
    }
}
