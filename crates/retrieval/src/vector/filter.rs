//! Which entries of a collection: conditions on their metadata and ids, all of which must hold.

use serde_json::{Value, json};

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

    /// Whether nothing can match: a list to choose from is empty. Most engines cannot be asked that.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.ids.as_ref().is_some_and(Vec::is_empty)
            || self.fields.iter().any(|(_, values)| values.is_empty())
    }

    /// The conditions in the language of an engine, which says how it writes a choice of ids and a choice of a
    /// field's values. What is returned must all hold.
    pub(crate) fn terms<T>(
        &self,
        ids: impl Fn(&[String]) -> T,
        field: impl Fn(&str, &[Value]) -> T,
    ) -> Vec<T> {
        let chosen = self.ids.iter().map(|list| ids(list));
        let fields = self.fields.iter().map(|(name, values)| field(name, values));
        chosen.chain(fields).collect()
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

/// A choice of values, as many engines write it: one member for a single value, another for several.
pub(super) fn choice(values: &[Value], one: &str, several: &str) -> Value {
    match values {
        [value] => json!({ one: value }),
        values => json!({ several: values }),
    }
}

#[cfg(test)]
mod tests {
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
    #[test]
    fn conditions_are_written_one_by_one() {
        let filter = Filter::ids(["x".to_owned()])
            .and("page", [json!(1)])
            .and("hash", [json!("h"), json!("i")]);
        let terms = filter.terms(
            |ids| json!({ "has": ids }),
            |name, values| json!({ name: choice(values, "is", "in") }),
        );
        assert_eq!(
            Value::Array(terms),
            json!([{"has": ["x"]}, {"page": {"is": 1}}, {"hash": {"in": ["h", "i"]}}])
        );
        assert!(!filter.is_hopeless());
        assert!(Filter::ids(Vec::new()).is_hopeless());
        assert!(Filter::all().and("page", []).is_hopeless());
    }
}
