//! Against a scripted server that speaks as the service does: it refuses what is not signed, keys that it does not
//! know, and filters that it would not take.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::vector::conformance;

/// Index by name: its length of vectors, and what is in it by key.
#[derive(Default)]
struct Bucket {
    indexes: BTreeMap<String, (usize, BTreeMap<String, Value>)>,
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Bucket>>;
type Answer = (StatusCode, axum::Json<Value>);

fn refused(status: StatusCode, message: &str) -> Answer {
    (status, axum::Json(json!({ "message": message })))
}

fn holds(metadata: &Value, filter: &Value) -> bool {
    let filter = filter.as_object().unwrap();
    filter.iter().all(|(name, wanted)| match name.as_str() {
        "$and" => wanted
            .as_array()
            .unwrap()
            .iter()
            .all(|part| holds(metadata, part)),
        _ => {
            assert_ne!(name, "text", "not filterable");
            let (operator, value) = wanted.as_object().unwrap().iter().next().unwrap();
            match operator.as_str() {
                "$eq" => metadata.get(name) == Some(value),
                "$in" => metadata
                    .get(name)
                    .is_some_and(|own| value.as_array().unwrap().contains(own)),
                other => panic!("no operator {other}"),
            }
        }
    })
}

fn numbers(data: &Value) -> Vec<f64> {
    list(&data["float32"], Value::as_f64)
}

async fn answer(
    State(bucket): State<Shared>,
    Path(operation): Path<String>,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Answer {
    let signature = headers["authorization"].to_str().unwrap();
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=id/")
            && signature.contains("/eu-west-1/s3vectors/aws4_request")
            && signature.contains("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date"),
        "{signature}"
    );
    let mut bucket = bucket.lock();
    bucket.calls.push(operation.clone());
    assert_eq!(body["vectorBucketName"], "vectors");
    if operation == "ListIndexes" {
        let names: Vec<Value> = bucket
            .indexes
            .keys()
            .map(|name| json!({ "indexName": name }))
            .collect();
        return (StatusCode::OK, axum::Json(json!({ "indexes": names })));
    }
    let name = body["indexName"].as_str().unwrap().to_owned();
    if operation == "CreateIndex" {
        assert_eq!(
            (&body["dataType"], &body["distanceMetric"]),
            (&json!("float32"), &json!("cosine"))
        );
        assert_eq!(
            body["metadataConfiguration"]["nonFilterableMetadataKeys"],
            json!(["text"])
        );
        if bucket.indexes.contains_key(&name) {
            return refused(StatusCode::CONFLICT, "An index with that name is there");
        }
        let width = body["dimension"].as_u64().unwrap() as usize;
        bucket.indexes.insert(name, (width, BTreeMap::new()));
        return (StatusCode::OK, axum::Json(json!({ "indexArn": "arn" })));
    }
    let Some((width, vectors)) = bucket.indexes.get_mut(&name) else {
        return refused(StatusCode::NOT_FOUND, "The specified index could not be found");
    };
    let out = match operation.as_str() {
        "GetIndex" => json!({ "index": { "indexName": name } }),
        "DeleteIndex" => {
            bucket.indexes.remove(&name);
            json!({})
        }
        "PutVectors" => {
            for vector in body["vectors"].as_array().unwrap() {
                if numbers(&vector["data"]).len() != *width {
                    return refused(StatusCode::BAD_REQUEST, "vector has the wrong dimension");
                }
                assert!(vector["metadata"].as_object().unwrap().len() <= MEMBERS);
                vectors.insert(vector["key"].as_str().unwrap().to_owned(), vector.clone());
            }
            json!({})
        }
        "DeleteVectors" => {
            for key in body["keys"].as_array().unwrap() {
                vectors.remove(key.as_str().unwrap());
            }
            json!({})
        }
        "GetVectors" => {
            let keys = list(&body["keys"], |key| Some(key.as_str()?.to_owned()));
            let found: Vec<&Value> = keys.iter().filter_map(|key| vectors.get(key)).collect();
            json!({ "vectors": found })
        }
        "ListVectors" => {
            // Two at once, whatever is asked for: pages may be shorter than wanted.
            let start = body["nextToken"]
                .as_str()
                .map_or(0, |token| token.parse().unwrap());
            let found: Vec<Value> = vectors
                .values()
                .skip(start)
                .take(2)
                .map(|vector| json!({ "key": vector["key"], "metadata": vector["metadata"] }))
                .collect();
            let end = start + found.len();
            let mut out = json!({ "vectors": found });
            if end < vectors.len() {
                out["nextToken"] = json!(end.to_string());
            }
            out
        }
        "QueryVectors" => {
            let sought = numbers(&body["queryVector"]);
            let length = |numbers: &[f64]| numbers.iter().map(|n| n * n).sum::<f64>().sqrt();
            let far = |vector: &Value| {
                let own = numbers(&vector["data"]);
                let product: f64 = own.iter().zip(&sought).map(|(a, b)| a * b).sum();
                1.0 - product / (length(&own) * length(&sought))
            };
            let meant =
                |vector: &&Value| body["filter"].is_null() || holds(&vector["metadata"], &body["filter"]);
            let mut found: Vec<Value> = vectors
                .values()
                .filter(meant)
                .map(|vector| json!({ "key": vector["key"], "metadata": vector["metadata"], "distance": far(vector) }))
                .collect();
            found.sort_by(|a, b| {
                a["distance"]
                    .as_f64()
                    .unwrap()
                    .total_cmp(&b["distance"].as_f64().unwrap())
            });
            found.truncate(body["topK"].as_u64().unwrap() as usize);
            json!({ "vectors": found, "distanceMetric": "cosine" })
        }
        other => panic!("no operation {other}"),
    };
    (StatusCode::OK, axum::Json(out))
}

async fn store() -> (S3Vectors, Shared) {
    let bucket = Shared::default();
    let app = Router::new()
        .route("/{operation}", post(answer))
        .with_state(bucket.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let signer = Signer::with_key("s3vectors", "eu-west-1", "id", "secret");
    (
        S3Vectors::at(crate::testing::client(), &url, "vectors", signer),
        bucket,
    )
}

fn item(id: &str, metadata: Value) -> Item {
    Item {
        id: id.into(),
        text: format!("text of {id}"),
        vector: vec![1.0, 0.5],
        metadata: metadata.as_object().cloned().unwrap(),
    }
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    let (store, _) = store().await;
    conformance::check(&store).await;
}

#[tokio::test]
async fn all_pages_are_listed_and_refusals_are_told() {
    let (store, bucket) = store().await;
    let items = (0..5)
        .map(|id| item(&id.to_string(), json!({ "even": id % 2 == 0 })))
        .collect();
    store.insert("file-1", items).await.unwrap();
    let even = store
        .query("file-1", &Filter::eq("even", true), None)
        .await
        .unwrap()
        .unwrap();
    let ids: Vec<&str> = even.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["0", "2", "4"]);
    assert_eq!(
        bucket
            .lock()
            .calls
            .iter()
            .filter(|call| *call == "ListVectors")
            .count(),
        3
    );
    let ids = ["3".to_owned(), "1".to_owned()];
    let scores = store.scores("file-1", &[1.0, 0.5], &ids).await.unwrap().unwrap();
    assert_eq!(scores.len(), 2);
    assert!((scores["3"] - 1.0).abs() < 1e-6);

    let wide = Item {
        vector: vec![1.0],
        ..item("6", json!({}))
    };
    let error = store.insert("file-1", vec![wide]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "S3 Vectors: 400: vector has the wrong dimension"
    );
}

#[test]
fn only_so_much_metadata_is_kept() {
    let mut many = json!({ "hash": "h", "file_id": "f" });
    for number in 0..12 {
        many[format!("other{number}")] = json!(number);
    }
    let kept = metadata(&item("1", many));
    assert_eq!(kept.len(), MEMBERS);
    assert_eq!(
        (&kept["text"], &kept["file_id"], &kept["hash"]),
        (&json!("text of 1"), &json!("f"), &json!("h"))
    );
    let few = metadata(&item("1", json!({ "a": 1 })));
    assert_eq!(Value::Object(few), json!({ "a": 1, "text": "text of 1" }));
}

/// Moto knows all operations but the search; it reads the scope of the signature to tell services apart.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are pointed at their services by variables"
)]
async fn another_implementation_understands_it() {
    let Ok(url) = std::env::var("OUI_TEST_S3_URL") else {
        eprintln!("skipped: no S3 server");
        return;
    };
    let bucket = format!("vectors-{}", std::process::id());
    let signer = Signer::with_key("s3vectors", "eu-west-1", "id", "secret");
    let store = S3Vectors::at(crate::testing::client(), &url, &bucket, signer);
    let body = json!({ "vectorBucketName": bucket });
    store
        .server
        .call(Method::POST, "/CreateVectorBucket", Some(body))
        .await
        .unwrap()
        .unwrap();
    assert!(!store.has("file-1").await.unwrap());
    store
        .insert(
            "file-1",
            vec![item("1", json!({ "a": 1 })), item("2", json!({ "a": 2 }))],
        )
        .await
        .unwrap();
    assert!(store.has("file-1").await.unwrap());
    let found = store
        .query("file-1", &Filter::eq("a", 2), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.as_str(), found[0].text.as_str()), ("2", "text of 2"));
    let ids = ["1".to_owned()];
    let scores = store.scores("file-1", &[1.0, 0.5], &ids).await.unwrap().unwrap();
    assert!((scores["1"] - 1.0).abs() < 1e-6);
    store.delete("file-1", &Filter::eq("a", 2)).await.unwrap();
    let left = store
        .query("file-1", &Filter::all(), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left.len(), 1);
    store.reset().await.unwrap();
    assert!(!store.has("file-1").await.unwrap());
}
