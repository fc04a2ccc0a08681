//! What every engine must do, as tests that take any of them.

use serde_json::{Value, json};

use super::{Entry, Filter, Item, VectorStore};

fn item(id: &str, vector: [f32; 3], metadata: Value) -> Item {
    Item {
        id: id.to_owned(),
        text: format!("text of {id}"),
        vector: vector.to_vec(),
        metadata: metadata.as_object().cloned().unwrap(),
    }
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    let mut ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Runs all of it. The store must be empty; it is empty again afterwards.
pub(crate) async fn check(store: &dyn VectorStore) {
    let (one, two) = ("file-0a1b", "7c0ffee7-0000-4000-8000-000000000001");
    assert!(!store.has(one).await.unwrap());
    let nothing = store.query(one, &Filter::eq("file_id", "a"), None).await.unwrap();
    assert!(nothing.is_none_or(|found| found.is_empty()));
    store.delete(one, &Filter::eq("file_id", "a")).await.unwrap();
    store.drop_collection(one).await.unwrap();

    let items = vec![
        item(
            "11111111-0000-4000-8000-000000000001",
            [1.0, 0.0, 0.0],
            json!({"file_id": "a", "page": 1, "hash": "h1"}),
        ),
        item(
            "11111111-0000-4000-8000-000000000002",
            [0.8, 0.6, 0.0],
            json!({"file_id": "a", "page": 2, "hash": "h1"}),
        ),
        item(
            "11111111-0000-4000-8000-000000000003",
            [0.0, 0.0, 2.0],
            json!({"file_id": "b", "page": 1, "hash": "h2"}),
        ),
    ];
    let (first, second, third) = (items[0].id.clone(), items[1].id.clone(), items[2].id.clone());
    store.insert(one, items.clone()).await.unwrap();
    // Ids are unique over all collections: some engines have one table for all.
    let elsewhere = item(
        "11111111-0000-4000-8000-000000000009",
        [0.0, 0.0, 2.0],
        json!({"file_id": "b"}),
    );
    store.insert(two, vec![elsewhere.clone()]).await.unwrap();
    assert!(store.has(one).await.unwrap() && store.has(two).await.unwrap());

    let hits = store
        .search(one, &[1.0, 0.0, 0.0], &Filter::all(), 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hits.len(), 2);
    assert_eq!(
        (hits[0].entry.id.as_str(), hits[1].entry.id.as_str()),
        (first.as_str(), second.as_str())
    );
    assert!((hits[0].score - 1.0).abs() < 1e-4, "{}", hits[0].score);
    assert!((hits[1].score - 0.9).abs() < 1e-4, "{}", hits[1].score);
    assert_eq!(hits[0].entry.text, format!("text of {first}"));
    assert_eq!(hits[0].entry.metadata["file_id"], "a");
    assert_eq!(hits[0].entry.metadata["page"], 1);

    let only_b = Filter::eq("file_id", "b");
    let hits = store
        .search(one, &[1.0, 0.0, 0.0], &only_b, 5)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].entry.id, third);

    let asked = [
        second.clone(),
        third.clone(),
        "11111111-0000-4000-8000-00000000000f".to_owned(),
    ];
    if let Some(scores) = store.scores(one, &[1.0, 0.0, 0.0], &asked).await.unwrap() {
        assert_eq!(scores.len(), 2, "{scores:?}");
        assert!((scores[&second] - 0.9).abs() < 1e-4 && (scores[&third] - 0.5).abs() < 1e-4);
    }

    let found = store
        .query(one, &Filter::eq("file_id", "a"), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ids(&found), [first.as_str(), second.as_str()]);
    let both = Filter::eq("file_id", "a").and("page", [json!(2), json!(3)]);
    assert_eq!(
        ids(&store.query(one, &both, None).await.unwrap().unwrap()),
        [second.as_str()]
    );
    let either = Filter::all().and("hash", [json!("h2"), json!("h9")]);
    assert_eq!(
        ids(&store.query(one, &either, None).await.unwrap().unwrap()),
        [third.as_str()]
    );
    assert_eq!(
        store
            .query(one, &Filter::eq("file_id", "a"), Some(1))
            .await
            .unwrap()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        store
            .query(one, &Filter::all(), None)
            .await
            .unwrap()
            .unwrap()
            .len(),
        3
    );

    // The same id again replaces.
    let changed = Item {
        text: "another text".into(),
        ..item(&first, [0.0, 1.0, 0.0], json!({"file_id": "c"}))
    };
    store.insert(one, vec![changed]).await.unwrap();
    let hits = store
        .search(one, &[0.0, 1.0, 0.0], &Filter::all(), 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (hits[0].entry.id.as_str(), hits[0].entry.text.as_str()),
        (first.as_str(), "another text")
    );
    assert_eq!(
        store
            .query(one, &Filter::all(), None)
            .await
            .unwrap()
            .unwrap()
            .len(),
        3
    );

    store.delete(one, &Filter::ids([third.clone()])).await.unwrap();
    assert!(store.query(one, &only_b, None).await.unwrap().unwrap().is_empty());
    let fresh = item(
        "11111111-0000-4000-8000-000000000004",
        [0.0, 0.0, 1.0],
        json!({"file_id": "c", "odd \"name'": "x"}),
    );
    store
        .replace(one, &Filter::eq("file_id", "c"), vec![fresh.clone()])
        .await
        .unwrap();
    let left = store.query(one, &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(ids(&left), [second.as_str(), fresh.id.as_str()]);
    store.delete(one, &Filter::eq("file_id", "c")).await.unwrap();
    store.delete(one, &Filter::all()).await.unwrap();
    let left = store.query(one, &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(ids(&left), [second.as_str()]);

    // What happens in one collection does not touch another.
    let other = store.query(two, &Filter::all(), None).await.unwrap().unwrap();
    assert_eq!(ids(&other), [elsewhere.id.as_str()]);
    store.drop_collection(one).await.unwrap();
    assert!(!store.has(one).await.unwrap());
    assert!(store.has(two).await.unwrap());
    store.reset().await.unwrap();
    assert!(!store.has(two).await.unwrap());
}
