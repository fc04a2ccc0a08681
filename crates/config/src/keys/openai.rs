//! Keys of the OpenAI-compatible connections.

use serde_json::Value;

use crate::{derive, providers};
use crate::key::{Key, keys};

keys! {
    "OpenAI-compatible providers";

    /// Talks to OpenAI-compatible providers.
    pub static ENABLE_OPENAI_API: Key<bool> = Key::bool("openai.enable", true);
    /// Base addresses of the providers, separated by semicolons.
    pub static OPENAI_API_BASE_URLS: Key<Vec<String>> =
        Key::list("openai.api_base_urls", &["https://api.openai.com/v1"])
            .from(providers::openai_urls, &["OPENAI_API_BASE_URL"]);
    /// Keys of the providers, separated by semicolons, in the order of the addresses.
    pub static OPENAI_API_KEYS: Key<Vec<String>> =
        Key::list("openai.api_keys", &[""]).from(providers::openai_keys, &["OPENAI_API_KEY"]).secret();
    /// Per-connection options as a JSON object, keyed by the position of the address.
    pub static OPENAI_API_CONFIGS: Key<Value> =
        Key::object("openai.api_configs").check(derive::object).secret();
}
