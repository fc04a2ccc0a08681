//! All keys in three unusual environments, compared with what the original computes from the same variables.
//!
//! `full` sets every variable to something else than its default, `empty` sets them to nothing, `older` uses
//! older names and wrong texts.

use std::collections::BTreeMap;

use oui_config::{Config, Environment};
use serde_json::{Map, Value};

/// Recorded from version 0.12.4: name, then `environment` and `values`.
const RECORDED: &str = include_str!("fixtures/environments.json");

fn check(name: &str) -> serde_json::Result<()> {
    let recorded: Value = serde_json::from_str(RECORDED)?;
    let recorded = &recorded[name];
    let variables: BTreeMap<String, String> = serde_json::from_value(recorded["environment"].clone())?;
    let values: Map<String, Value> = serde_json::from_value(recorded["values"].clone())?;
    assert_eq!(values.len(), 431);
    let config = Config::new(&Environment::from_map(variables), BTreeMap::new());
    let different: Vec<String> = values
        .iter()
        .filter(|(_, value)| *value != "<own text>")
        .filter(|(path, value)| config.value(path).as_ref() != Some(value))
        .map(|(path, value)| format!("{path}: {:?} is not {value}", config.value(path)))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

#[test]
fn every_variable_set() -> serde_json::Result<()> {
    check("full")
}

#[test]
fn every_variable_empty() -> serde_json::Result<()> {
    check("empty")
}

#[test]
fn older_names_and_wrong_texts() -> serde_json::Result<()> {
    check("older")
}
