//! Against a small server with Weaviate's wire format that does what is asked of it, as loosely as the real one: texts
//! match by their words, numbers come back as fractions, properties are those that were ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::*;
use crate::vector::conformance;
use crate::vector::matrix::likeness;

#[derive(Default)]
struct Class {
    properties: BTreeSet<String>,
    objects: BTreeMap<String, Value>,
}

type Shared = Arc<Mutex<BTreeMap<String, Class>>>;
type Answer = (StatusCode, Json<Value>);

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn fits(object: &Value, condition: &Value) -> bool {
    let operands = condition["operands"].as_array();
    match condition["operator"].as_str() {
        None => true,
        Some("And") => operands.unwrap().iter().all(|one| fits(object, one)),
        Some("Or") => operands.unwrap().iter().any(|one| fits(object, one)),
        Some("Equal") => {
            let name = condition["path"][0].as_str().unwrap();
            if name == "id" {
                return object["id"] == condition["valueText"];
            }
            let own = &object["properties"][name];
            match condition["valueText"].as_str() {
                Some(text) => own
                    .as_str()
                    .is_some_and(|own| words(own).is_superset(&words(text))),
                None => own.as_f64().is_some() && own.as_f64() == condition["valueNumber"].as_f64(),
            }
        }
        Some(other) => panic!("{other}"),
    }
}

/// A GraphQL value as JSON: names get their quotes back.
fn value(text: &mut &str) -> Value {
    let first = text.chars().next().unwrap();
    if first == '{' || first == '[' {
        let (mut members, mut values) = (Map::new(), Vec::new());
        *text = &text[1..];
        while !text.starts_with(['}', ']']) {
            *text = text.trim_start_matches([',', ' ']);
            if first == '{' {
                let (name, rest) = text.split_once(':').unwrap();
                *text = rest;
                members.insert(name.to_owned(), value(text));
            } else {
                values.push(value(text));
            }
        }
        *text = &text[1..];
        return if first == '{' {
            members.into()
        } else {
            values.into()
        };
    }
    if first == '-' || first.is_ascii_digit() {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = text.find(|c| !is_part(c)).unwrap();
        let number = serde_json::from_str(&text[..end]).unwrap();
        *text = &text[end..];
        return number;
    }
    if first.is_ascii_uppercase() {
        let end = text.find(|c: char| !c.is_alphabetic()).unwrap();
        let name = json!(text[..end]);
        *text = &text[end..];
        return name;
    }
    let mut parser = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let read = parser.next().unwrap().unwrap();
    *text = &text[parser.byte_offset()..];
    read
}

async fn graphql_of(State(classes): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let query = body["query"].as_str().unwrap().strip_prefix("{Get{").unwrap();
    let (name, rest) = query.split_once('(').unwrap();
    let mut text = rest;
    let mut arguments = Map::new();
    while !text.starts_with(')') {
        text = text.trim_start();
        let (argument, rest) = text.split_once(':').unwrap();
        text = rest;
        arguments.insert(argument.to_owned(), value(&mut text));
    }
    let asked: Vec<&str> = text.split(['{', '}', ')', ' ']).collect();
    let classes = classes.lock().unwrap();
    let class = &classes[name];
    let near = list(
        &arguments.get("nearVector").unwrap_or(&Value::Null)["vector"],
        |n| n.as_f64().map(|n| n as f32),
    );
    let filter = arguments.get("where").cloned().unwrap_or_default();
    let sought = arguments
        .get("bm25")
        .map(|bm25| words(bm25["query"].as_str().unwrap()));
    let mut found = Vec::new();
    for object in class.objects.values().filter(|object| fits(object, &filter)) {
        let own = words(object["properties"]["text"].as_str().unwrap());
        let count = sought
            .as_ref()
            .map_or(1, |sought| sought.intersection(&own).count());
        if count == 0 {
            continue;
        }
        let vector = list(&object["vectors"][VECTOR], |n| n.as_f64().map(|n| n as f32));
        let distance = 2.0 - 2.0 * likeness(&near, &vector);
        let mut shown: Map<String, Value> = Map::new();
        for property in &class.properties {
            assert!(asked.contains(&property.as_str()), "{property} in {asked:?}");
            let own = &object["properties"][property];
            let own = own.as_f64().map_or(own.clone(), |number| json!(number));
            shown.insert(property.clone(), own);
        }
        let additional = json!({ "id": object["id"], "distance": distance, "score": count.to_string() });
        shown.insert("_additional".into(), additional);
        found.push((if near.is_empty() { 0.0 } else { distance }, Value::Object(shown)));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
    let page = found
        .into_iter()
        .skip(number("offset"))
        .take(number("limit"))
        .map(|(_, shown)| shown);
    Json(json!({ "data": { "Get": { name: page.collect::<Vec<_>>() } } }))
}

async fn make(State(classes): State<Shared>, Json(body): Json<Value>) -> Answer {
    let name = body["class"].as_str().unwrap();
    assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
    let properties = list(&body["properties"], |p| Some(p["name"].as_str()?.to_owned()));
    let class = Class {
        properties: properties.into_iter().collect(),
        ..Class::default()
    };
    classes.lock().unwrap().insert(name.to_owned(), class);
    (StatusCode::OK, Json(body))
}

async fn all(State(classes): State<Shared>) -> Json<Value> {
    let names: Vec<Value> = classes
        .lock()
        .unwrap()
        .keys()
        .map(|name| json!({ "class": name }))
        .collect();
    Json(json!({ "classes": names }))
}

async fn schema(State(classes): State<Shared>, Path(name): Path<String>) -> Answer {
    match classes.lock().unwrap().get(&name) {
        Some(class) => {
            let properties: Vec<Value> = class
                .properties
                .iter()
                .map(|name| json!({ "name": name }))
                .collect();
            (
                StatusCode::OK,
                Json(json!({ "class": name, "properties": properties })),
            )
        }
        None => (StatusCode::NOT_FOUND, Json(Value::Null)),
    }
}

async fn drop_one(State(classes): State<Shared>, Path(name): Path<String>) -> StatusCode {
    classes.lock().unwrap().remove(&name);
    StatusCode::OK
}

async fn write(State(classes): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let mut classes = classes.lock().unwrap();
    let answer = list(&body["objects"], |object| {
        if object["properties"]["text"] == "refuse me" {
            let errors = json!({ "error": [{ "message": "no room" }] });
            return Some(json!({ "result": { "errors": errors } }));
        }
        let class = classes.get_mut(object["class"].as_str()?)?;
        class
            .properties
            .extend(object["properties"].as_object()?.keys().cloned());
        class
            .objects
            .insert(object["id"].as_str()?.to_owned(), object.clone());
        Some(json!({ "result": { "status": "SUCCESS" } }))
    });
    Json(json!(answer))
}

async fn remove(State(classes): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let mut classes = classes.lock().unwrap();
    let class = classes.get_mut(body["match"]["class"].as_str().unwrap()).unwrap();
    class
        .objects
        .retain(|_, object| !fits(object, &body["match"]["where"]));
    Json(json!({}))
}

async fn start() -> Weaviate {
    let app = Router::new()
        .route("/v1/schema", get(all).post(make))
        .route("/v1/schema/{name}", get(schema).delete(drop_one))
        .route("/v1/batch/objects", post(write).delete(remove))
        .route("/v1/graphql", post(graphql_of))
        .with_state(Shared::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Weaviate::at(crate::testing::client(), &url)
}

fn item(id: &str, text: &str, metadata: Value) -> Item {
    Item {
        id: id.to_owned(),
        text: text.to_owned(),
        vector: vec![1.0, 0.0],
        metadata: metadata.as_object().cloned().unwrap(),
    }
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    conformance::check(&start().await).await;
}

#[tokio::test]
async fn texts_that_share_words_are_told_apart() {
    let store = start().await;
    let items = vec![
        item("1", "a hedgehog", json!({ "source": "a b" })),
        item("2", "a fox \"\u{e4}\"", json!({ "source": "a b c" })),
    ];
    store.insert("c", items).await.unwrap();
    store.delete("c", &Filter::eq("source", "a b")).await.unwrap();
    let left = store.query("c", &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].id.as_str(), left[0].text.as_str()),
        ("2", "a fox \"\u{e4}\"")
    );
    let hits = store
        .text_search("c", "the \"fox\"", 5, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((hits.len(), hits[0].score), (1, 1.0));
    let error = store
        .insert("c", vec![item("3", "refuse me", json!({}))])
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "Weaviate: no room");
}

#[test]
fn classes_have_names_that_the_server_takes() {
    for (collection, class) in [
        ("file-0a1b", "File_0a1b"),
        ("7c0ffee7-0000", "C7c0ffee7_0000"),
        ("_user.memory-x", "Usermemory_x"),
    ] {
        assert_eq!(class_of(collection), class);
    }
}
