//! What accounts may do: the own effective tree, and the default tree that administrators edit. Groups and
//! switches of the tree are those of the configuration's default.

use std::collections::BTreeMap;

use axum::Json;
use oui_access::permissions::fill;
use oui_config::users::USER_PERMISSIONS;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field};
use oui_web::body::AnyJson;
use oui_web::{Admin, Caller, Verified};
use serde_json::{Map, Value};

/// Group, switch and default of every permission.
type Tree = Map<String, Value>;

fn known() -> Tree {
    USER_PERMISSIONS
        .default_value()
        .as_object()
        .cloned()
        .unwrap_or_default()
}

fn switches(group: &Value) -> impl Iterator<Item = (&String, bool)> {
    group
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name, value.as_bool().unwrap_or(false)))
}

/// The known switches of a tree; what it lacks has the default.
fn complete(tree: &Value) -> Tree {
    let mut complete = known();
    for (group, default) in &mut complete {
        let Some(default) = default.as_object_mut() else {
            continue;
        };
        for (name, value) in default {
            if let Some(stored) = tree
                .get(group)
                .and_then(|group| group.get(name))
                .and_then(Value::as_bool)
            {
                *value = Value::Bool(stored);
            }
        }
    }
    complete
}

pub(super) async fn own(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    Ok(Json(caller.permissions().await?.to_json()))
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Tree> {
    let config = &caller.app().config;
    let mut stored = config
        .get(&USER_PERMISSIONS)
        .as_object()
        .cloned()
        .unwrap_or_default();
    if let Some(environment) = config.environment_value(&USER_PERMISSIONS).as_object() {
        fill(&mut stored, environment);
    }
    Json(complete(&Value::Object(stored)))
}

pub(super) async fn defaults(caller: Caller<Admin>) -> Json<Tree> {
    Json(complete(
        &caller.app().config.environment_value(&USER_PERMISSIONS),
    ))
}

pub(super) async fn save(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Tree>> {
    let tree = read(&body)?;
    let change = BTreeMap::from([(USER_PERMISSIONS.path().to_owned(), Value::Object(tree.clone()))]);
    caller.app().save_config(change).await?;
    let about = ("config", "user.permissions");
    caller.tell_of("user.permissions_updated", about, Value::Null);
    Ok(Json(tree))
}

const NO_OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

/// Reads a tree: every group must be there, switches may be left out.
fn read(body: &Value) -> ApiResult<Tree> {
    let mut issues = Issues::at("body");
    let mut tree = Map::new();
    match body.as_object() {
        Some(object) => {
            for (name, defaults) in &known() {
                let group = issues.inside(name.as_str(), |issues| match object.get(name) {
                    Some(group) => read_group(group, defaults, issues),
                    None => {
                        issues.missing(body);
                        None
                    }
                });
                tree.extend(group.map(|group| (name.clone(), group)));
            }
        }
        None => issues.push("model_attributes_type", NO_OBJECT, body),
    }
    if issues.is_empty() {
        Ok(tree)
    } else {
        Err(ApiError::unprocessable(issues.into_found()))
    }
}

fn read_group(input: &Value, defaults: &Value, issues: &mut Issues) -> Option<Value> {
    let Some(object) = input.as_object() else {
        issues.push("model_attributes_type", NO_OBJECT, input);
        return None;
    };
    let mut group = Map::new();
    for (name, default) in switches(defaults) {
        let value = match object.get(name) {
            Some(value) => issues.inside(name.as_str(), |issues| bool::parse(value, issues)),
            None => Some(default),
        };
        group.insert(name.clone(), value.unwrap_or(default).into());
    }
    Some(Value::Object(group))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_are_completed_and_unknown_switches_dropped() {
        let groups = json!({"workspace": {"models": "yes", "odd": true}, "sharing": {}, "access_grants": {},
                            "chat": {"delete": false}, "features": {}, "settings": {}});
        let tree = Value::Object(read(&groups).unwrap());
        assert_eq!(
            (&tree["workspace"]["models"], &tree["chat"]["delete"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(
            (&tree["chat"]["edit"], &tree["workspace"]["odd"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(Value::Object(complete(&tree)), tree);
    }

    #[test]
    fn missing_groups_and_bad_switches_are_reported() {
        let refused = read(&json!({"workspace": {"models": "perhaps"}, "sharing": []})).unwrap_err();
        let places: Vec<&Value> = refused
            .detail()
            .as_array()
            .unwrap()
            .iter()
            .map(|issue| &issue["loc"])
            .collect();
        assert_eq!(places[0], &json!(["body", "workspace", "models"]));
        assert_eq!(places[1], &json!(["body", "sharing"]));
        assert_eq!(places.len(), 6);
    }
}
