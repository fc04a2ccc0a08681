//! Which entries of a collection: conditions on their metadata and ids, all of which must hold.

use serde_json::Value;

use super::Metadata;

/// Conditions on entries. [`Filter::default`] has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Ids to choose from, when only these count.
    pub ids: Option<Vec<String>>,
    /// Name of a metadata field and the values of which it must have one.
    pub fields: Vec<(String, Vec<Value>)>,
}

impl Filter {
    /// No condition.
    pub fn all() -> Self {
        Self::default()
    }

    /// The field has this value.
    pub fn eq(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::all().and(name, [value.into()])
    }

    /// Entries with these ids.
    pub fn ids(ids: impl IntoIterator<Item = String>) -> Self {
        Self {
            ids: Some(ids.into_iter().collect()),
            fields: Vec::new(),
        }
    }

    /// And the field has one of these values.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        self.fields.push((name.into(), values.into_iter().collect()));
        self
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.ids.is_none() && self.fields.is_empty()
    }

    /// Whether an entry with this id and metadata is meant.
    pub fn matches(&self, id: &str, metadata: &Metadata) -> bool {
        self.ids
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|wanted| wanted == id))
            && self
                .fields
                .iter()
                .all(|(name, values)| metadata.get(name).is_some_and(|value| values.contains(value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_conditions_must_hold() {
        let metadata = json!({"file_id": "a", "page": 2}).as_object().cloned().unwrap();
        assert!(Filter::all().matches("x", &metadata));
        assert!(
            Filter::eq("file_id", "a")
                .and("page", [json!(1), json!(2)])
                .matches("x", &metadata)
        );
        assert!(
            !Filter::eq("file_id", "a")
                .and("page", [json!(1)])
                .matches("x", &metadata)
        );
        assert!(!Filter::eq("hash", "a").matches("x", &metadata));
        assert!(Filter::ids(["x".to_owned()]).matches("x", &metadata));
        assert!(!Filter::ids(Vec::new()).matches("x", &metadata));
    }
}
