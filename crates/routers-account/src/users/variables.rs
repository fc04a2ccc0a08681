//! Variables that users fill into prompts: texts under short names.

use axum::Json;
use oui_core::{ApiError, ApiResult, form};
use oui_models::db::Changes;
use oui_models::users;
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::unknown_user;

/// Characters of one value.
const MAX_VALUE: usize = 20_000;
/// Characters of all of them as JSON.
const MAX_ALL: usize = 100_000;

form! {
    pub(super) struct VariablesForm {
        variables: Map<String, Value> = Map::new(),
    }
}

pub(super) async fn show(caller: Caller<Verified>) -> Json<Value> {
    let stored = caller.user().variables.as_ref().and_then(Value::as_object);
    let texts: Map<String, Value> = stored
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.is_string())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Json(json!({ "variables": texts }))
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Body { form, .. }: Body<VariablesForm>,
) -> ApiResult<Json<Value>> {
    let variables = Value::Object(checked(&form.variables).map_err(ApiError::bad_request)?);
    let changes = Changes::new().set("variables", &variables);
    users::update(caller.db(), caller.id(), changes)
        .await?
        .ok_or_else(unknown_user)?;
    Ok(Json(json!({ "variables": variables })))
}

fn checked(variables: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    if json!(variables).to_string().chars().count() > MAX_ALL {
        return Err("User variables are too large.".into());
    }
    let mut checked = Map::new();
    for (name, value) in variables {
        if !is_name(name) {
            return Err(format!("Invalid user variable key: {name}"));
        }
        let text = value
            .as_str()
            .ok_or_else(|| format!("User variable must be a string: {name}"))?;
        let text = text.replace("\r\n", "\n");
        if text.chars().count() > MAX_VALUE {
            return Err(format!("User variable is too long: {name}"));
        }
        checked.insert(name.clone(), text.into());
    }
    Ok(checked)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|ch: char| ch.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let check = |value: Value| checked(value.as_object().unwrap()).map(Value::Object);
        assert_eq!(check(json!({"city_2": "a\r\nb"})), Ok(json!({"city_2": "a\nb"})));
        assert_eq!(
            check(json!({"CITY": "x"})),
            Err("Invalid user variable key: CITY".into())
        );
        assert_eq!(
            check(json!({"2": "x"})),
            Err("Invalid user variable key: 2".into())
        );
        assert_eq!(
            check(json!({"a": 1})),
            Err("User variable must be a string: a".into())
        );
        assert_eq!(
            check(json!({"a": "x".repeat(MAX_VALUE + 1)})),
            Err("User variable is too long: a".into())
        );
        assert_eq!(
            check(json!({"a": "x".repeat(MAX_ALL)})),
            Err("User variables are too large.".into())
        );
    }
}
