//! What groups and the default tree permit. The tree is nested objects with boolean leaves; a
//! user has a permission if the default tree or any of their groups (ancestors included) grants it.

use oui_models::groups::Membership;
use serde_json::{Map, Value};

/// The effective permission tree of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Permissions(Map<String, Value>);

impl Permissions {
    /// Combines `stored` (config `user.permissions`), filled up from `defaults` (the environment's
    /// tree), with the trees of the groups.
    pub fn effective(stored: &Value, defaults: &Value, membership: &Membership) -> Self {
        let mut tree = stored.as_object().cloned().unwrap_or_default();
        if let Some(defaults) = defaults.as_object() {
            fill(&mut tree, defaults);
        }
        for group in &membership.groups {
            if let Some(Value::Object(granted)) = &group.permissions {
                combine(&mut tree, granted);
            }
        }
        Self(tree)
    }

    /// Whether the leaf at a dotted path is granted, for example `features.api_keys`.
    pub fn has(&self, path: &str) -> bool {
        let mut node = &self.0;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            match (node.get(step), steps.peek()) {
                (Some(Value::Object(next)), Some(_)) => node = next,
                (Some(leaf), None) => return truthy(leaf),
                _ => return false,
            }
        }
        false
    }

    /// The tree as the client gets it.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// Whether a stored leaf counts as granted; trees written by hand hold numbers and texts too.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(granted) => *granted,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// Adds what is missing from a template.
pub fn fill(tree: &mut Map<String, Value>, template: &Map<String, Value>) {
    for (key, value) in template {
        match (tree.get_mut(key), value) {
            (None, _) => {
                tree.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(inner)), Value::Object(template)) => fill(inner, template),
            _ => {}
        }
    }
}

/// Takes the more permissive value of each leaf.
fn combine(tree: &mut Map<String, Value>, granted: &Map<String, Value>) {
    for (key, value) in granted {
        if let Value::Object(granted) = value {
            let node = tree
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(node) = node {
                combine(node, granted);
            }
        } else if !tree.get(key).is_some_and(truthy) {
            tree.insert(key.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use oui_models::groups::GroupRow;
    use serde_json::json;

    use super::*;

    fn group(permissions: Value) -> GroupRow {
        GroupRow {
            id: "g".into(),
            user_id: None,
            name: None,
            description: None,
            data: None,
            meta: None,
            permissions: Some(permissions),
            created_at: None,
            updated_at: None,
            parent_group_id: None,
        }
    }

    #[test]
    fn groups_add_and_never_take_away() {
        let defaults = json!({"chat": {"delete": true, "edit": true}, "features": {"notes": false}});
        let stored = json!({"chat": {"delete": false}});
        let groups = vec![group(
            json!({"features": {"notes": true}, "chat": {"edit": false}}),
        )];
        let tree = Permissions::effective(&stored, &defaults, &Membership { groups });
        assert!(tree.has("features.notes") && tree.has("chat.edit"));
        assert!(!tree.has("chat.delete"));
        assert!(tree.has("chat"));
        assert!(!tree.has("chat.unknown") && !tree.has("chat.edit.more"));
        assert_eq!(
            tree.to_json(),
            json!({"chat": {"delete": false, "edit": true}, "features": {"notes": true}})
        );
    }
}
