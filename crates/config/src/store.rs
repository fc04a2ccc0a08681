//! The effective configuration: defaults of the environment under the rows of the database.
//!
//! [`Config`] holds values only. Reading and writing rows is the caller's task, as is telling other nodes;
//! what must be written is answered here, because it depends on the same precedence as reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::Value;

use crate::environment::Environment;
use crate::key::Key;
use crate::keys::registry;
use crate::settings::{Persistence, Reader};
use crate::value::ConfigType;

/// Values at one moment. Cheap to share; a request that reads several keys takes one snapshot.
#[derive(Debug, Default)]
pub struct Snapshot {
    values: IndexMap<String, Value>,
}

impl Snapshot {
    /// The typed value. A row that does not fit the type counts as missing.
    pub fn get<T: ConfigType>(&self, key: &Key<T>) -> T {
        let stored = self.values.get(key.path()).and_then(T::read);
        stored
            .or_else(|| T::read(&key.default_value()))
            .unwrap_or_else(T::empty)
    }

    /// The JSON value of a stored key, also of one that is not declared.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.values.get(path)
    }

    /// The values below a dotted prefix: `namespace("ui")` gives `ui.enable_signup` and so on.
    pub fn namespace<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let prefix = format!("{prefix}.");
        self.iter().filter(move |(path, _)| path.starts_with(&prefix))
    }

    /// All values: declared keys in the order of the registry, then other rows by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value))
    }
}

/// What may change while the server runs.
#[derive(Default)]
struct State {
    /// Rows of the database.
    stored: BTreeMap<String, Value>,
    /// Changes of keys that are not stored; they last until the process ends.
    transient: BTreeMap<String, Value>,
}

/// The configuration of a running server.
pub struct Config {
    /// What the environment says, for every declared key.
    defaults: IndexMap<&'static str, Value>,
    persistence: Persistence,
    state: Mutex<State>,
    current: ArcSwap<Snapshot>,
}

impl Config {
    /// What the environment says for a key, whatever is stored.
    pub fn environment_value<T: ConfigType>(&self, key: &Key<T>) -> T {
        self.defaults
            .get(key.path())
            .and_then(T::read)
            .unwrap_or_else(T::empty)
    }

    /// Combines the environment with the rows of table `config`.
    ///
    /// A row wins over the environment, except for `oauth.*` (unless `ENABLE_OAUTH_PERSISTENT_CONFIG` is on)
    /// and for everything while `ENABLE_PERSISTENT_CONFIG` is off. Faults in variables give the declared
    /// default here; [`crate::Settings::load`] has reported them before.
    pub fn new(environment: &Environment, stored: BTreeMap<String, Value>) -> Self {
        let config = Self {
            defaults: registry()
                .map(|meta| (meta.path(), meta.resolve(environment).value))
                .collect(),
            persistence: Persistence::load(&mut Reader::new(environment)),
            state: Mutex::default(),
            current: ArcSwap::default(),
        };
        config.reset_to(stored);
        config
    }

    /// The typed value of a key.
    pub fn get<T: ConfigType>(&self, key: &Key<T>) -> T {
        self.current.load().get(key)
    }

    /// The JSON value of a key or of an undeclared row.
    pub fn value(&self, path: &str) -> Option<Value> {
        self.current.load().value(path).cloned()
    }

    /// All values at this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Whether rows of this key are read and written.
    pub fn persists(&self, path: &str) -> bool {
        self.persistence.enabled && (self.persistence.oauth || !path.starts_with("oauth."))
    }

    /// The rows that a change has to write, before [`Config::apply`].
    pub fn rows_to_write<'c>(
        &self,
        changes: &'c BTreeMap<String, Value>,
    ) -> impl Iterator<Item = (&'c str, &'c Value)> {
        changes
            .iter()
            .map(|(path, value)| (path.as_str(), value))
            .filter(|(path, _)| self.persists(path))
    }

    /// The rows that a start inserts: every stored key without a row. 378 in an empty database.
    pub fn defaults_to_seed(&self) -> Vec<(&'static str, Value)> {
        let state = self.state.lock();
        registry()
            .filter(|meta| meta.is_seeded() && self.persists(meta.path()))
            .filter(|meta| !state.stored.contains_key(meta.path()))
            .filter_map(|meta| Some((meta.path(), self.defaults.get(meta.path())?.clone())))
            .collect()
    }

    /// Makes a change visible to all readers at once. The caller has written [`Config::rows_to_write`];
    /// changes of keys that are not stored last until the process ends.
    pub fn apply(&self, changes: &BTreeMap<String, Value>) {
        let mut state = self.state.lock();
        for (path, value) in changes {
            let values = if self.persists(path) {
                &mut state.stored
            } else {
                &mut state.transient
            };
            values.insert(path.clone(), value.clone());
        }
        self.publish(&state);
    }

    /// Takes over the rows as they are in the database now: after seeding, after a write of another node.
    pub fn reset_to(&self, stored: BTreeMap<String, Value>) {
        let mut state = self.state.lock();
        state.stored = stored;
        self.publish(&state);
    }

    /// Swaps the snapshot while the state is locked, so that the last change is never overtaken.
    fn publish(&self, state: &State) {
        let mut values: IndexMap<String, Value> = IndexMap::with_capacity(self.defaults.len());
        let defaults = self.defaults.iter().filter(|(path, _)| {
            // Rows that only administrators create are absent until they do.
            crate::keys::by_path(path).is_some_and(crate::Meta::is_seeded)
        });
        values.extend(defaults.map(|(path, value)| ((*path).to_owned(), value.clone())));
        let stored = state.stored.iter().filter(|(path, _)| self.persists(path));
        for (path, value) in stored.chain(&state.transient) {
            values.insert(path.clone(), value.clone());
        }
        self.current.store(Arc::new(Snapshot { values }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oauth, rag, ui};
    use serde_json::json;

    fn rows(values: Value) -> BTreeMap<String, Value> {
        values.as_object().unwrap().clone().into_iter().collect()
    }

    fn config(environment: &[(&str, &str)], stored: Value) -> Config {
        Config::new(&Environment::from_map(environment.iter().copied()), rows(stored))
    }

    #[test]
    fn rows_win_over_the_environment_except_for_oauth() {
        let stored = json!({"ui.enable_signup": false, "oauth.enable_signup": true});
        let mixed = config(&[("ENABLE_SIGNUP", "true")], stored.clone());
        assert!(!mixed.get(&ui::ENABLE_SIGNUP));
        assert!(!mixed.get(&oauth::ENABLE_OAUTH_SIGNUP));

        let both = config(&[("ENABLE_OAUTH_PERSISTENT_CONFIG", "true")], stored.clone());
        assert!(both.get(&oauth::ENABLE_OAUTH_SIGNUP));

        let neither = config(
            &[("ENABLE_PERSISTENT_CONFIG", "false"), ("RAG_TOP_K", "9")],
            json!({"rag.top_k": 1}),
        );
        assert_eq!(neither.get(&rag::RAG_TOP_K), 9);
        assert!(neither.defaults_to_seed().is_empty());
    }

    #[test]
    fn changes_are_visible_at_once_and_transient_ones_survive_a_reload() {
        let config = config(&[], json!({}));
        let changes =
            rows(json!({"ui.enable_signup": false, "oauth.client_id": "c", "events.webhooks": [1]}));
        let written: Vec<&str> = config.rows_to_write(&changes).map(|(path, _)| path).collect();
        assert_eq!(written, ["events.webhooks", "ui.enable_signup"]);
        let before = config.snapshot();
        config.apply(&changes);
        assert!(before.get(&ui::ENABLE_SIGNUP));
        assert!(!config.get(&ui::ENABLE_SIGNUP));
        assert_eq!(config.value("events.webhooks"), Some(json!([1])));

        config.reset_to(BTreeMap::new());
        assert!(config.get(&ui::ENABLE_SIGNUP));
        assert_eq!(config.get(&oauth::OAUTH_CLIENT_ID), "c");
        assert_eq!(config.value("events.webhooks"), None);
    }

    #[test]
    fn seeding_inserts_what_is_missing_and_nothing_of_oauth() {
        let empty = config(&[], json!({}));
        assert_eq!(empty.defaults_to_seed().len(), 378);
        let seeded = config(&[], empty.defaults_to_seed().into_iter().collect());
        assert!(seeded.defaults_to_seed().is_empty());
        let partly = config(&[], json!({"rag.top_k": 5, "other.row": 1}));
        assert_eq!(partly.defaults_to_seed().len(), 377);
        assert_eq!(partly.value("other.row"), Some(json!(1)));
        let all = config(&[("ENABLE_OAUTH_PERSISTENT_CONFIG", "true")], json!({}));
        assert_eq!(all.defaults_to_seed().len(), 431);
    }

    #[test]
    fn rows_of_the_wrong_type_count_as_missing() {
        let config = config(
            &[],
            json!({"rag.top_k": {"a": 1}, "rag.chunk_size": "500", "rag.file.max_size": ""}),
        );
        assert_eq!(config.get(&rag::RAG_TOP_K), 3);
        assert_eq!(config.get(&rag::CHUNK_SIZE), 500);
        assert_eq!(config.get(&rag::RAG_FILE_MAX_SIZE), None);
        assert_eq!(config.value("rag.chunk_size"), Some(json!("500")));
    }

    #[test]
    fn namespaces_end_at_the_dot() {
        let snapshot = config(&[], json!({"uix.a": 1})).snapshot();
        assert!(snapshot.namespace("ui").all(|(path, _)| path.starts_with("ui.")));
        assert_eq!(snapshot.namespace("ldap").count(), 18);
    }
}
