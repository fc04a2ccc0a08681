//! Keys of the Ollama connections.

use serde_json::Value;

use crate::{derive, providers};
use crate::key::{Key, keys};

keys! {
    "Ollama providers";

    /// Talks to Ollama servers.
    pub static ENABLE_OLLAMA_API: Key<bool> = Key::bool("ollama.enable", true);
    /// Addresses of the Ollama servers, separated by semicolons.
    pub static OLLAMA_BASE_URLS: Key<Vec<String>> =
        Key::list("ollama.base_urls", &["http://localhost:11434"])
            .from(providers::ollama_urls, providers::OLLAMA_SOURCES);
    /// Per-connection options as a JSON object, keyed by the position of the address.
    pub static OLLAMA_API_CONFIGS: Key<Value> =
        Key::object("ollama.api_configs").check(derive::object).secret();
}
