//! The first start writes the rows that the original writes, compared with rows read from its database.

use std::collections::BTreeMap;

use oui_config::{Config, Environment, by_path};
use serde_json::Value;

/// Rows of a fresh database of version 0.12.4; two long texts, which are our own, are left out.
const ROWS: &str = include_str!("fixtures/fresh-rows.json");

/// The variables that its server was started with and that a key could depend on.
fn environment() -> Environment {
    Environment::from_map([
        ("WEBUI_SECRET_KEY", "reference-secret"),
        ("OFFLINE_MODE", "true"),
        ("HF_HUB_OFFLINE", "1"),
        ("RAG_EMBEDDING_MODEL_AUTO_UPDATE", "false"),
        ("ENABLE_OLLAMA_API", "false"),
        ("CORS_ALLOW_ORIGIN", "*"),
    ])
}

/// SQLite stores `0.0` as `0`; numbers are compared as numbers.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

#[test]
fn the_first_start_seeds_the_same_rows() {
    let expected: BTreeMap<String, Value> = serde_json::from_str(ROWS).unwrap();
    let seeded: BTreeMap<&str, Value> = Config::new(&environment(), BTreeMap::new())
        .defaults_to_seed()
        .into_iter()
        .collect();
    assert_eq!(expected.len(), 378);
    assert_eq!(
        seeded.keys().copied().collect::<Vec<_>>(),
        expected.keys().map(String::as_str).collect::<Vec<_>>()
    );
    for (path, value) in &expected {
        let ours = &seeded[path.as_str()];
        if value == "<own text>" {
            assert!(ours.as_str().is_some_and(|text| text.len() > 100), "{path}");
        } else {
            assert!(same(ours, value), "{path}: {ours} is not {value}");
        }
    }
}

#[test]
fn the_original_rows_are_valid_and_read_back() {
    let expected: BTreeMap<String, Value> = serde_json::from_str(ROWS).unwrap();
    for (path, value) in &expected {
        let meta = by_path(path).unwrap();
        assert!(meta.validate(value).is_ok(), "{path}: {:?}", meta.validate(value));
    }
    let config = Config::new(&environment(), expected.clone());
    assert!(config.defaults_to_seed().is_empty());
    assert_eq!(config.snapshot().iter().count(), 431);
    assert_eq!(config.get(&oui_config::rag::RAG_RELEVANCE_THRESHOLD), 0.0);
    assert!(!config.get(&oui_config::ollama::ENABLE_OLLAMA_API));
}
