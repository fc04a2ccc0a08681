//! Against a small server with Pinecone's wire format that does what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::*;
use crate::vector::conformance;

#[derive(Default)]
struct Peer {
    url: Mutex<String>,
    /// What the index was made as.
    made: Mutex<Option<Value>>,
    vectors: Mutex<BTreeMap<String, Value>>,
}

type Shared = Arc<Peer>;

fn fits(vector: &Value, filter: &Value) -> bool {
    filter.as_object().into_iter().flatten().all(|(name, condition)| {
        let value = &vector["metadata"][name];
        match condition["$in"].as_array() {
            Some(any) => any.iter().any(|one| same(one, value)),
            None => same(&condition["$eq"], value),
        }
    })
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

async fn index(
    State(peer): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    assert_eq!(headers["api-key"], "secret");
    assert_eq!(headers["x-pinecone-api-version"], VERSION);
    match peer
        .made
        .lock()
        .unwrap()
        .as_ref()
        .filter(|made| made["name"] == name)
    {
        Some(_) => (StatusCode::OK, Json(json!({ "host": *peer.url.lock().unwrap() }))),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "error": { "code": "NOT_FOUND", "message": "no index" }, "status": 404 })),
        ),
    }
}

async fn make(State(peer): State<Shared>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    *peer.made.lock().unwrap() = Some(body);
    (
        StatusCode::CREATED,
        Json(json!({ "host": *peer.url.lock().unwrap() })),
    )
}

async fn upsert(State(peer): State<Shared>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut vectors = peer.vectors.lock().unwrap();
    let given = body["vectors"].as_array().unwrap();
    for vector in given {
        if vector["values"].as_array().unwrap().len() != 4 {
            let text = "Vector dimension does not match the dimension of the index 4";
            return (
                StatusCode::BAD_REQUEST,
                Json(json!({ "code": 3, "message": text, "details": [] })),
            );
        }
        let mut vector = vector.clone();
        for value in vector["metadata"].as_object_mut().unwrap().values_mut() {
            if let Some(number) = value.as_f64() {
                *value = json!(number);
            }
        }
        vectors.insert(vector["id"].as_str().unwrap().to_owned(), vector);
    }
    (StatusCode::OK, Json(json!({ "upsertedCount": given.len() })))
}

async fn query(State(peer): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let question = numbers(&body["vector"]);
    let vectors = peer.vectors.lock().unwrap();
    let mut found: Vec<(f64, &Value)> = vectors
        .values()
        .filter(|vector| fits(vector, &body["filter"]))
        .map(|vector| {
            (
                2.0 * likeness(&question, &numbers(&vector["values"])) - 1.0,
                vector,
            )
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let limit = usize::try_from(body["topK"].as_u64().unwrap()).unwrap();
    let matches: Vec<Value> = found
        .into_iter()
        .take(limit)
        .map(|(score, vector)| json!({ "id": vector["id"], "score": score, "metadata": vector["metadata"] }))
        .collect();
    Json(json!({ "matches": matches, "namespace": "" }))
}

async fn fetch(State(peer): State<Shared>, RawQuery(query): RawQuery) -> Json<Value> {
    let asked = format!("http://pinecone/?{}", query.unwrap_or_default());
    let asked = reqwest::Url::parse(&asked).unwrap();
    let vectors = peer.vectors.lock().unwrap();
    let found: BTreeMap<String, Value> = asked
        .query_pairs()
        .filter_map(|(_, id)| Some((id.to_string(), vectors.get(id.as_ref())?.clone())))
        .collect();
    Json(json!({ "vectors": found, "namespace": "" }))
}

async fn delete(State(peer): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let mut vectors = peer.vectors.lock().unwrap();
    vectors.retain(|id, vector| {
        let named = body["ids"].as_array().is_some_and(|ids| ids.contains(&json!(id)));
        let meant = body.get("filter").is_some_and(|filter| fits(vector, filter));
        !(named || meant || body["deleteAll"] == true)
    });
    Json(json!({}))
}

async fn start() -> (Shared, Pinecone) {
    let peer = Shared::default();
    let router = Router::new()
        .route("/indexes", post(make))
        .route("/indexes/{name}", get(index))
        .route("/query", post(query))
        .route("/vectors/upsert", post(upsert))
        .route("/vectors/fetch", get(fetch))
        .route("/vectors/delete", post(delete))
        .with_state(peer.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    peer.url.lock().unwrap().clone_from(&url);
    let client = crate::testing::client();
    let store = Pinecone {
        control: server(client.clone(), &url, "secret"),
        client,
        key: "secret".into(),
        name: "open-webui-index".into(),
        width: 4,
        metric: "cosine".into(),
        cloud: "aws".into(),
        region: "us-east-1".into(),
        index: OnceCell::new(),
    };
    (peer, store)
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    let (peer, store) = start().await;
    conformance::check(&store).await;
    let made = peer.made.lock().unwrap().clone().unwrap();
    assert_eq!(
        made,
        json!({
            "name": "open-webui-index", "dimension": 4, "metric": "cosine",
            "spec": { "serverless": { "cloud": "aws", "region": "us-east-1" } },
        })
    );
}

#[tokio::test]
async fn vectors_that_are_too_wide_are_refused() {
    let (_, store) = start().await;
    let item = Item {
        id: "a".into(),
        text: "t".into(),
        vector: vec![1.0; 5],
        metadata: super::super::Metadata::new(),
    };
    let error = store.insert("c", vec![item]).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "Pinecone: 400: Vector dimension does not match the dimension of the index 4"
    );
}
