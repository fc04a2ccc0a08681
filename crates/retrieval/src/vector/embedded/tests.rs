//! The embedded store on files of its own: what it keeps, finds, forgets and survives.

use serde_json::json;

use super::*;
use crate::vector::conformance;

async fn open(folder: &std::path::Path) -> EmbeddedStore {
    let options = EmbeddedOptions {
        folder: folder.to_owned(),
        memory: 1 << 20,
    };
    EmbeddedStore::open(options).await.unwrap()
}

fn item(id: &str, text: &str, vector: &[f32]) -> Item {
    Item {
        id: id.into(),
        text: text.into(),
        vector: vector.to_vec(),
        metadata: json!({"file_id": id}).as_object().cloned().unwrap(),
    }
}

fn names(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.entry.id.as_str()).collect()
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(&open(folder.path()).await).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store
        .insert("c", vec![item("a", "one", &[1.0, 0.0])])
        .await
        .unwrap();
    // The first one is neither closed nor dropped, as if the process had been killed.
    let again = open(folder.path()).await;
    let hits = again
        .search("c", &[1.0, 0.0], &Filter::all(), 5)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&hits), ["a"]);
    assert_eq!(
        names(&again.text_search("c", "ONE", 5, false).await.unwrap().unwrap()),
        ["a"]
    );
}

#[tokio::test]
async fn a_vector_of_another_width_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store
        .insert("c", vec![item("a", "one", &[1.0, 0.0])])
        .await
        .unwrap();
    let bad = vec![item("b", "two", &[1.0, 0.0]), item("d", "three", &[1.0])];
    let error = store
        .replace("c", &Filter::eq("file_id", "a"), bad)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Collection expecting embedding with dimension of 2, got 1"
    );
    let left = store.query("c", &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, "a");
    let error = store.search("c", &[1.0], &Filter::all(), 5).await.unwrap_err();
    assert!(matches!(error, Error::Dimension { expected: 2, got: 1 }));
}

#[tokio::test]
async fn words_follow_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let texts = vec![
        item("a", "The hedgehog sleeps in winter", &[1.0, 0.0]),
        item("b", "Hedgehogs and a hedgehog, hedgehog again", &[0.0, 1.0]),
        item("c", "Nothing of the kind", &[1.0, 1.0]),
    ];
    store.insert("one", texts.clone()).await.unwrap();
    store.insert("two", vec![texts[0].clone()]).await.unwrap();
    let hits = store
        .text_search("one", "hedgehog?", 5, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&hits), ["b", "a"]);
    assert!(hits[0].score > hits[1].score);
    assert_eq!(
        store
            .text_search("one", "hedgehog", 1, false)
            .await
            .unwrap()
            .unwrap()
            .len(),
        1
    );
    store.delete("one", &Filter::ids(["b".to_owned()])).await.unwrap();
    assert_eq!(
        names(
            &store
                .text_search("one", "hedgehog", 5, false)
                .await
                .unwrap()
                .unwrap()
        ),
        ["a"]
    );
    store
        .insert("one", vec![item("a", "now of moles", &[1.0, 0.0])])
        .await
        .unwrap();
    assert!(
        store
            .text_search("one", "hedgehog", 5, false)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        names(
            &store
                .text_search("one", "moles", 5, false)
                .await
                .unwrap()
                .unwrap()
        ),
        ["a"]
    );
    assert_eq!(
        names(
            &store
                .text_search("two", "hedgehog", 5, false)
                .await
                .unwrap()
                .unwrap()
        ),
        ["a"]
    );
    store.drop_collection("two").await.unwrap();
    store
        .insert("two", vec![item("z", "badger", &[1.0])])
        .await
        .unwrap();
    assert!(
        store
            .text_search("two", "hedgehog", 5, false)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .text_search("nowhere", "hedgehog", 5, false)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );

    // A lost index is built anew.
    drop(store);
    std::fs::remove_dir_all(folder.path().join("words")).unwrap();
    let store = open(folder.path()).await;
    assert_eq!(
        names(
            &store
                .text_search("one", "moles", 5, false)
                .await
                .unwrap()
                .unwrap()
        ),
        ["a"]
    );
}

#[tokio::test]
async fn memory_follows_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store
        .insert("c", vec![item("a", "", &[1.0, 0.0]), item("b", "", &[0.9, 0.1])])
        .await
        .unwrap();
    let nearest = async |vector: &[f32]| {
        let hits = store
            .search("c", vector, &Filter::all(), 1)
            .await
            .unwrap()
            .unwrap();
        hits.first().map(|hit| hit.entry.id.clone())
    };
    assert_eq!(nearest(&[1.0, 0.0]).await.as_deref(), Some("a"));
    store.insert("c", vec![item("d", "", &[0.0, 1.0])]).await.unwrap();
    assert_eq!(nearest(&[0.0, 1.0]).await.as_deref(), Some("d"));
    store.delete("c", &Filter::eq("file_id", "a")).await.unwrap();
    assert_eq!(nearest(&[1.0, 0.0]).await.as_deref(), Some("b"));
    let scores = store
        .scores("c", &[0.0, 1.0], &["d".into(), "gone".into()])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(scores, HashMap::from([("d".to_owned(), 1.0)]));
}
