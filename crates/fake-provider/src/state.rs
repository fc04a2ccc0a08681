//! What an instance holds while it runs: models, recorded requests, queued scripts, a counter.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    catalogue::Behaviour,
    script::Script,
    settings::{ListedModel, Settings},
    wire::{Family, SERIALS, precomputed::Precomputed, transport::Closing},
};

/// One request as the provider received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, without the question mark.
    pub query: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as JSON; null if it is none.
    pub body: Value,
    /// The body as it came.
    pub raw: Bytes,
}

impl Recorded {
    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The key that came as `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
    }

    /// The request as JSON, header names in lower case; a repeated header keeps its last value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let headers = self.headers.iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                json!(String::from_utf8_lossy(value.as_bytes())),
            )
        });
        let headers: serde_json::Map<String, Value> = headers.collect();
        json!({
            "method": self.method.as_str(), "path": self.path, "query": self.query,
            "headers": headers, "body": self.body,
        })
    }
}

/// A request as it is kept; its body is parsed when it is asked for.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) raw: Bytes,
}

impl Kept {
    fn read(&self) -> Recorded {
        Recorded {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: serde_json::from_slice(&self.raw).unwrap_or(Value::Null),
            raw: self.raw.clone(),
        }
    }
}

/// The models of an instance. Ollama's endpoints can add, remove, load and unload them.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) models: Vec<ListedModel>,
    /// Ollama names of the models that have been used and not unloaded.
    pub(crate) loaded: BTreeSet<String>,
    /// Digests of uploaded blobs.
    pub(crate) blobs: BTreeSet<String>,
}

impl Shelf {
    /// Finds a model by the name that a client of this API gives it.
    pub(crate) fn find(&self, family: Family, name: &str) -> Option<&ListedModel> {
        self.models.iter().find(|model| match family {
            Family::OpenAi | Family::Anthropic => model.id == name || ollama_name(&model.id) == name,
            Family::Ollama => ollama_name(&model.id) == ollama_name(name),
        })
    }

    /// Adds a model unless it is there.
    pub(crate) fn add(&mut self, model: ListedModel) {
        if self.find(Family::Ollama, &model.id).is_none() {
            self.models.push(model);
        }
    }

    /// Removes a model; false if there was none.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.models.len();
        let name = ollama_name(name);
        self.models.retain(|model| ollama_name(&model.id) != name);
        self.loaded.remove(&name);
        self.models.len() < before
    }
}

/// The name that Ollama lists: with a tag, `:latest` if there is no other.
pub(crate) fn ollama_name(id: &str) -> String {
    if id.contains(':') {
        id.to_owned()
    } else {
        format!("{id}:latest")
    }
}

/// Everything that the handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) precomputed: Precomputed,
    pub(crate) closing: Closing,
    shelf: Mutex<Shelf>,
    kept: Mutex<VecDeque<Kept>>,
    scripts: Mutex<VecDeque<Script>>,
    replies: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings, closing: Closing) -> Self {
        Self {
            precomputed: Precomputed::new(&settings),
            closing,
            shelf: Mutex::new(Shelf {
                models: settings.models.clone(),
                loaded: BTreeSet::new(),
                blobs: BTreeSet::new(),
            }),
            kept: Mutex::default(),
            scripts: Mutex::default(),
            replies: AtomicU64::new(0),
            settings,
        }
    }

    /// The number of the next reply, from 1.
    pub(crate) fn next_serial(&self) -> u64 {
        (self.replies.fetch_add(1, Ordering::Relaxed) + 1) % SERIALS
    }

    pub(crate) fn keep(&self, kept: Kept) {
        let mut all = lock(&self.kept);
        if all.len() == self.settings.keep {
            all.pop_front();
        }
        all.push_back(kept);
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.kept).iter().map(Kept::read).collect()
    }

    /// Forgets requests, queued scripts and the count of replies; models stay as they are.
    pub(crate) fn clear(&self) {
        lock(&self.kept).clear();
        lock(&self.scripts).clear();
        self.replies.store(0, Ordering::Relaxed);
    }

    pub(crate) fn queue(&self, script: Script) {
        lock(&self.scripts).push_back(script);
    }

    pub(crate) fn queued(&self) -> usize {
        lock(&self.scripts).len()
    }

    /// Takes the first queued script that fits.
    pub(crate) fn take_script(&self, fits: impl Fn(&Script) -> bool) -> Option<Script> {
        let mut scripts = lock(&self.scripts);
        let place = scripts.iter().position(fits)?;
        scripts.remove(place)
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }

    /// The behaviour of a listed model.
    pub(crate) fn behaviour(&self, family: Family, name: &str) -> Option<Behaviour> {
        self.shelf().find(family, name).map(|model| model.behaviour)
    }
}

/// A poisoned lock only means that a test panicked while it held it; the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn shared(settings: Settings) -> Shared {
        Shared::new(settings, watch::channel(false).1)
    }

    #[test]
    fn models_are_found_with_and_without_the_latest_tag() {
        let shared = shared(Settings::with_models(["a", "b:1b"]));
        let shelf = shared.shelf();
        assert!(shelf.find(Family::OpenAi, "a").is_some());
        assert!(shelf.find(Family::OpenAi, "a:latest").is_some());
        assert!(shelf.find(Family::Ollama, "a").is_some());
        assert!(shelf.find(Family::Ollama, "b:1b").is_some());
        assert!(shelf.find(Family::Ollama, "b").is_none());
    }

    #[test]
    fn only_the_latest_requests_are_kept() {
        let shared = shared(Settings {
            keep: 2,
            ..Settings::default()
        });
        for path in ["/1", "/2", "/3"] {
            shared.keep(Kept {
                method: Method::GET,
                path: path.to_owned(),
                query: None,
                headers: HeaderMap::new(),
                raw: Bytes::new(),
            });
        }
        let paths: Vec<String> = shared
            .requests()
            .into_iter()
            .map(|request| request.path)
            .collect();
        assert_eq!(paths, ["/2", "/3"]);
    }

    #[test]
    fn scripts_are_taken_in_order() {
        let shared = shared(Settings::default());
        shared.queue(Script::text("one"));
        shared.queue(Script::text("two").for_model("m"));
        shared.queue(Script::text("three"));
        let for_m = |script: &Script| script.model.is_some();
        assert_eq!(
            shared.take_script(for_m),
            Some(Script::text("two").for_model("m"))
        );
        assert_eq!(shared.take_script(|_| true), Some(Script::text("one")));
        assert_eq!(shared.queued(), 1);
        assert_eq!(shared.take_script(for_m), None);
    }
}
