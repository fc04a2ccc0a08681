//! Webhooks that administrators set on events: their stored form and whom they are for.

use std::collections::HashSet;

use oui_core::ids;
use serde_json::{Value, json};

use crate::Invalid;
use crate::catalogue::NAMES;

/// Id of the webhook that was made from the single address of older versions.
pub const DEFAULT_ID: &str = "default";

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A webhook in its stored form, what is missing filled in; `now` in seconds. With `saved` it counts as changed now.
///
/// # Errors
/// It names an event or target that does not exist.
pub fn normalized(webhook: &Value, now: i64, saved: bool) -> Result<Value, Invalid> {
    let id = match text(&webhook["id"]) {
        id if id.is_empty() => ids::uuid(),
        id => id,
    };
    let listed = webhook["events"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut events: Vec<String> = listed
        .iter()
        .map(text)
        .filter(|event| !event.is_empty())
        .collect();
    if events.is_empty() {
        events.push("*".to_owned());
    }
    for event in &events {
        check_event(event)?;
    }
    let name = match text(&webhook["name"]) {
        name if !name.is_empty() => name,
        _ if id == DEFAULT_ID => "Default webhook".to_owned(),
        _ => "Webhook".to_owned(),
    };
    let seconds = |field: &str| webhook[field].as_i64().filter(|at| *at != 0).unwrap_or(now);
    Ok(json!({
        "id": id,
        "name": name,
        "url": text(&webhook["url"]),
        "enabled": webhook.get("enabled").is_none_or(|enabled| enabled.as_bool() == Some(true)),
        "events": events,
        "targets": targets(&webhook["targets"])?,
        "created_at": seconds("created_at"),
        "updated_at": if saved { now } else { seconds("updated_at") },
    }))
}

fn check_event(event: &str) -> Result<(), Invalid> {
    if event == "*" || NAMES.contains(&event) {
        return Ok(());
    }
    let Some(prefix) = event.strip_suffix(".*") else {
        return Err(Invalid::new(format!("Invalid event: {event}")));
    };
    let begins = |name: &&str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if !prefix.is_empty() && NAMES.iter().any(begins) {
        Ok(())
    } else {
        Err(Invalid::new(format!("Invalid event pattern: {event}")))
    }
}

/// Users and groups that it is for, each once; null is everybody.
fn targets(given: &Value) -> Result<Value, Invalid> {
    if given.is_null() {
        return Ok(Value::Null);
    }
    let mut kept: Vec<Value> = Vec::new();
    for target in given.as_array().ok_or_else(|| Invalid::new("Invalid targets"))? {
        let (kind, id) = (text(&target["type"]), text(&target["id"]));
        if !target.is_object() || !["user", "group"].contains(&kind.as_str()) || id.is_empty() {
            return Err(Invalid::new("Invalid target"));
        }
        let target = json!({ "type": kind, "id": id });
        if !kept.contains(&target) {
            kept.push(target);
        }
    }
    Ok(Value::Array(kept))
}

/// Whether the webhook is switched on for events of this name.
pub fn wants(webhook: &Value, name: &str) -> bool {
    let filters = webhook["events"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    webhook["enabled"].as_bool().unwrap_or(true)
        && filters.iter().filter_map(Value::as_str).any(|filter| {
            filter == "*"
                || filter == name
                || filter
                    .strip_suffix('*')
                    .is_some_and(|prefix| prefix.ends_with('.') && name.starts_with(prefix))
        })
}

fn target_ids<'a>(targets: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let listed = targets.as_array().map(Vec::as_slice).unwrap_or_default();
    listed
        .iter()
        .filter(move |target| target["type"] == kind)
        .filter_map(|target| target["id"].as_str())
}

/// Whether groups are among the targets.
pub(crate) fn names_groups(webhook: &Value) -> bool {
    target_ids(&webhook["targets"], "group").next().is_some()
}

/// Whether the targets reach somebody that an event concerns. An empty list is for events that concern nobody.
pub(crate) fn reaches(targets: &Value, user_ids: &[String], group_ids: &HashSet<String>) -> bool {
    match targets.as_array() {
        None => true,
        Some(list) if list.is_empty() => user_ids.is_empty(),
        Some(_) => {
            target_ids(targets, "user").any(|id| user_ids.iter().any(|user| user == id))
                || target_ids(targets, "group").any(|id| group_ids.contains(id))
        }
    }
}

/// The list with a webhook put in place of the one with its id, or at its end, and that webhook.
pub fn put(mut list: Vec<Value>, mut webhook: Value) -> (Vec<Value>, Value) {
    match list.iter_mut().find(|known| known["id"] == webhook["id"]) {
        Some(known) => {
            webhook["created_at"] = known["created_at"].clone();
            *known = webhook.clone();
        }
        None => list.push(webhook.clone()),
    }
    (list, webhook)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_filled_in_and_unknown_events_are_refused() {
        let webhook = normalized(&json!({"url": " https://h/ "}), 7, true).unwrap();
        assert_eq!(
            (
                &webhook["url"],
                &webhook["events"],
                &webhook["name"],
                &webhook["updated_at"],
                &webhook["targets"]
            ),
            (
                &json!("https://h/"),
                &json!(["*"]),
                &json!("Webhook"),
                &json!(7),
                &Value::Null
            )
        );
        let refuse = |webhook: Value| normalized(&webhook, 7, true).unwrap_err().0;
        assert_eq!(
            refuse(json!({"events": ["chat.nothing"]})),
            "Invalid event: chat.nothing"
        );
        assert_eq!(
            refuse(json!({"events": ["cha.*"]})),
            "Invalid event pattern: cha.*"
        );
        assert_eq!(
            refuse(json!({"targets": [{"type": "role", "id": "x"}]})),
            "Invalid target"
        );
        assert_eq!(refuse(json!({"targets": {}})), "Invalid targets");
    }

    #[test]
    fn filters_and_targets() {
        let hook = json!({"events": ["chat.*", "user.created"], "enabled": true});
        assert!(wants(&hook, "chat.tag_added") && wants(&hook, "user.created"));
        assert!(!wants(&hook, "user.deleted") && !wants(&hook, "chats.x"));
        assert!(!wants(
            &json!({"events": ["*"], "enabled": false}),
            "user.created"
        ));
        let (nobody, ada) = (Vec::new(), vec!["ada".to_owned()]);
        let none = HashSet::new();
        assert!(reaches(&Value::Null, &ada, &none));
        assert!(reaches(&json!([]), &nobody, &none) && !reaches(&json!([]), &ada, &none));
        assert!(reaches(&json!([{"type": "user", "id": "ada"}]), &ada, &none));
        let group = json!([{"type": "group", "id": "g"}]);
        assert!(!reaches(&group, &ada, &none) && reaches(&group, &ada, &HashSet::from(["g".to_owned()])));
    }
}
