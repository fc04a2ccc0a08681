//! Against Milvus Lite, the small form of the server.

use oui_core::Clock;
use oui_providers::{Http, HttpOptions};

use super::*;
use crate::vector::conformance;

#[expect(
    clippy::disallowed_methods,
    reason = "tests are pointed at their services by variables"
)]
fn server() -> Option<String> {
    std::env::var("OUI_TEST_MILVUS_URL").ok()
}

fn store(url: &str, shared: &str) -> Milvus {
    let environment = oui_config::Environment::from_map([
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
        ("DATA_DIR", "/nonexistent"),
        ("MILVUS_URI", url),
        ("MILVUS_TOKEN", "root:Milvus"),
        ("ENABLE_MILVUS_MULTITENANCY_MODE", shared),
        ("MILVUS_COLLECTION_PREFIX", "many-in-one"),
    ]);
    let settings = oui_config::Settings::load(&environment).unwrap();
    let options = HttpOptions {
        prior_http2: true,
        ..HttpOptions::default()
    };
    let plain = Http::new(options, Clock::system()).unwrap();
    Milvus::new(
        crate::testing::client(),
        plain.client().clone(),
        &settings.vectors,
    )
    .unwrap()
}

#[tokio::test]
async fn many_collections_share_few() {
    let Some(url) = server() else {
        eprintln!("skipped: no Milvus server");
        return;
    };
    let store = store(&url, "true");
    store.reset().await.unwrap();
    conformance::check(&store).await;
    let item = |id: &str, text: &str| Item {
        id: id.to_owned(),
        text: text.to_owned(),
        vector: vec![1.0, 0.5],
        metadata: Metadata::new(),
    };
    store.reset().await.unwrap();
    store
        .insert("user-memory-a", vec![item("1", "a sleeping hedgehog")])
        .await
        .unwrap();
    store
        .insert("user-memory-b", vec![item("2", "another hedgehog")])
        .await
        .unwrap();
    let names: wire::Names = store
        .grpc
        .call("ShowCollections", &store.named(""))
        .await
        .unwrap()
        .unwrap();
    let names = names.collection_names.into_iter();
    let ours: Vec<String> = names.filter(|name| name.starts_with("many_in_one_")).collect();
    assert_eq!(ours, ["many_in_one_memories"]);
    let hits = store
        .text_search("user-memory-b", "hedgehog", 5, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].entry.id, "2");
    store.reset().await.unwrap();
    assert!(!store.has("user-memory-a").await.unwrap());
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    let Some(url) = server() else {
        eprintln!("skipped: no Milvus server");
        return;
    };
    let store = store(&url, "false");
    store.reset().await.unwrap();
    conformance::check(&store).await;
    let item = |id: usize, text: &str| Item {
        id: format!("{id:05}"),
        text: text.to_owned(),
        vector: vec![1.0, 0.5],
        metadata: Metadata::new(),
    };
    // More than a page, and words that stand alone.
    let mut items: Vec<Item> = (0..2 * ROWS + 5).map(|id| item(id, "nothing at all")).collect();
    items.push(item(9_999, "a sleeping hedgehog"));
    store.insert("words", items).await.unwrap();
    let all = store.query("words", &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(all.len(), 2 * ROWS + 6);
    let some = store
        .query("words", &Filter::all(), Some(ROWS + 1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(some.len(), ROWS + 1);
    let hits = store
        .text_search("words", "hedgehog", 5, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].entry.id, "09999");
    // As a collection of others: any field, and the server's own number.
    let rows = store
        .foreign("open_webui_words", "vector", &[1.0, 0.5], 1, vec!["text".into()])
        .await
        .unwrap()
        .unwrap();
    assert!(rows[0].0["text"].as_str().is_some_and(|text| !text.is_empty()));
    assert!((rows[0].1 - 1.0).abs() < 1e-4, "{}", rows[0].1);
    store.reset().await.unwrap();
}

#[test]
fn filters_are_expressions() {
    let own = Place::own("name".into());
    assert_eq!(expression(&own, &Filter::all(), None), "");
    let filter = Filter::eq("a\"b", 1).and("c", [json!("x'y"), json!(true)]);
    assert_eq!(
        expression(&own, &filter, None),
        r#"(metadata["a\"b"] == 1) and (metadata["c"] == "x'y" or metadata["c"] == true)"#
    );
    let ids = Filter::ids(["i".to_owned(), "j".to_owned()]);
    assert_eq!(expression(&own, &ids, None), r#"id in ["i","j"]"#);
    let shared = Place::shared("p", "file-1", "_");
    assert_eq!(
        expression(&shared, &Filter::all(), Some("a")),
        r#"resource_id == "file-1" and id > "a""#
    );
}

#[test]
fn words_came_with_a_version() {
    for (version, has) in [
        ("v2.4.9", false),
        ("2.5.0", true),
        ("v2.6.1-dev", true),
        ("", false),
        ("3.0", true),
    ] {
        assert_eq!(knows_words(version), has, "{version}");
    }
}

#[test]
fn long_texts_are_cut_between_letters() {
    let long = format!("{}ä", "x".repeat(LONGEST - 1));
    assert_eq!(cut(&long).len(), LONGEST - 1);
    assert_eq!(cut("short"), "short");
}
