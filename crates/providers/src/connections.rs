//! The configured providers, made from the stored configuration values. The only file that knows how
//! those values are laid out: lists of addresses and keys, and an object of per-connection settings
//! keyed by the position as text (older databases: by the address).

use serde_json::{Map, Value};

use crate::python::truthy;
use crate::secret::{Secret, loggable_url};

/// The stored keys that [`ProviderSettings::read`] asks for.
pub const SETTING_KEYS: [&str; 7] = [
    "openai.enable",
    "openai.api_base_urls",
    "openai.api_keys",
    "openai.api_configs",
    "ollama.enable",
    "ollama.base_urls",
    "ollama.api_configs",
];

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Chat Completions or Responses over HTTP, Azure included.
    OpenAi,
    /// Ollama's own API.
    Ollama,
}

impl ProviderKind {
    /// Name in logs and in failure events.
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "openai-compatible",
            Self::Ollama => "ollama",
        }
    }
}

/// One configured provider. Printing it shows neither its key nor its header values.
#[derive(Clone, PartialEq)]
pub struct Connection {
    /// What it speaks.
    pub kind: ProviderKind,
    /// Position in the stored list; models carry it as `urlIdx` or in `urls`.
    pub index: usize,
    /// Base address as stored; paths are appended to it unchanged.
    pub url: String,
    /// Key, possibly empty.
    pub key: Secret,
    config: Map<String, Value>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("kind", &self.kind)
            .field("index", &self.index)
            .field("url", &loggable_url(&self.url))
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Where a bearer token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// The stored key.
    Bearer,
    /// No token.
    None,
    /// The token that the caller came with.
    Session,
    /// The caller's token at the identity provider.
    SystemOauth,
    /// A Microsoft Entra token.
    EntraId,
    /// A type that the reference does not know either: no token.
    Unknown,
}

impl Connection {
    /// A connection that is not stored, as a form sends it for verification.
    pub fn adhoc(kind: ProviderKind, url: &str, key: &str, config: Option<&Value>) -> Self {
        let config = config.and_then(Value::as_object).cloned().unwrap_or_default();
        Self {
            kind,
            index: 0,
            url: url.to_owned(),
            key: Secret::new(key),
            config,
        }
    }

    /// All settings as stored.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// A setting, unless it is absent or empty.
    fn set(&self, name: &str) -> Option<&Value> {
        self.config.get(name).filter(|value| truthy(value))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.set(name).and_then(Value::as_str)
    }

    /// Whether the connection is switched on; on unless it says otherwise.
    pub fn enabled(&self) -> bool {
        self.config.get("enable").is_none_or(truthy)
    }

    /// What model ids are prefixed with (`prefix.id`).
    pub fn prefix_id(&self) -> Option<&str> {
        self.text("prefix_id")
    }

    /// The model ids that are offered; empty means whatever the provider lists.
    pub fn model_ids(&self) -> Vec<&str> {
        let ids = self.set("model_ids").and_then(Value::as_array);
        ids.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Tags that every model of this connection gets.
    pub fn tags(&self) -> Option<&Value> {
        self.set("tags")
    }

    /// `external` or `local`; `None` when stored as empty.
    pub fn connection_type(&self) -> Option<&str> {
        match self.config.get("connection_type") {
            Some(stored) => stored.as_str().filter(|text| !text.is_empty()),
            None => Some(match self.kind {
                ProviderKind::OpenAi => "external",
                ProviderKind::Ollama => "local",
            }),
        }
    }

    /// `azure`, `llama.cpp`, `lmstudio`, ...; empty when not said.
    pub fn provider(&self) -> &str {
        self.text("provider").unwrap_or_default()
    }

    /// Whether requests take Azure's form.
    pub fn is_azure(&self) -> bool {
        self.set("azure").is_some() || self.provider() == "azure"
    }

    /// Whether it is Azure's older form, where a deployment is addressed for each model.
    pub fn takes_deployments(&self) -> bool {
        self.is_azure() && !crate::azure::is_v1(&self.url)
    }

    /// Azure's `api-version`, if one is stored (an empty text counts as stored).
    pub fn api_version(&self) -> Option<&str> {
        self.config.get("api_version").and_then(Value::as_str)
    }

    /// Whether chats go to `/responses` instead of `/chat/completions`.
    pub fn speaks_responses(&self) -> bool {
        self.text("api_type") == Some("responses")
    }

    /// Where the bearer token comes from.
    pub fn auth_type(&self) -> AuthType {
        match self.config.get("auth_type") {
            None | Some(Value::Null) => AuthType::Bearer,
            Some(Value::String(name)) => match name.as_str() {
                "bearer" => AuthType::Bearer,
                "none" => AuthType::None,
                "session" => AuthType::Session,
                "system_oauth" => AuthType::SystemOauth,
                "azure_ad" | "microsoft_entra_id" => AuthType::EntraId,
                _ => AuthType::Unknown,
            },
            Some(_) => AuthType::Unknown,
        }
    }

    /// Whether the caller's cookies are sent along.
    pub fn forwards_cookies(&self) -> bool {
        self.set("forward_cookies").is_some()
    }

    /// Extra request headers; values may hold `{{...}}` placeholders.
    pub fn custom_headers(&self) -> Option<&Map<String, Value>> {
        self.set("headers").and_then(Value::as_object)
    }

    /// Whether a header refers to the caller's groups: only then do they have to be loaded.
    pub fn needs_user_groups(&self) -> bool {
        self.header_texts()
            .any(|text| text.contains("{{USER_GROUPS}}") || text.contains("{{USER_GROUP_IDS}}"))
    }

    /// Whether what the provider answers can depend on who asks.
    pub(crate) fn depends_on_user(&self) -> bool {
        matches!(self.auth_type(), AuthType::Session | AuthType::SystemOauth)
            || self.forwards_cookies()
            || self.header_texts().any(|text| text.contains("{{"))
    }

    fn header_texts(&self) -> impl Iterator<Item = &str> {
        self.custom_headers()
            .into_iter()
            .flat_map(Map::values)
            .filter_map(Value::as_str)
    }
}

/// All configured providers. Rebuild it whenever one of [`SETTING_KEYS`] changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProviderSettings {
    /// `openai.enable`.
    pub openai_enabled: bool,
    /// OpenAI-compatible connections by position.
    pub openai: Vec<Connection>,
    /// `ollama.enable`.
    pub ollama_enabled: bool,
    /// Ollama connections by position.
    pub ollama: Vec<Connection>,
}

impl ProviderSettings {
    /// Reads the stored values; `value` returns the value of a key of [`SETTING_KEYS`].
    pub fn read(value: impl Fn(&str) -> Option<Value>) -> Self {
        let configs = value("openai.api_configs").unwrap_or_default();
        let keys = value("openai.api_keys").unwrap_or_default();
        let openai = texts(&value("openai.api_base_urls").unwrap_or_default())
            .into_iter()
            .enumerate()
            .map(|(index, url)| Connection {
                kind: ProviderKind::OpenAi,
                index,
                key: Secret::new(keys.get(index).and_then(Value::as_str).unwrap_or_default()),
                config: config_for(&configs, index, &url),
                url,
            })
            .collect();

        let configs = value("ollama.api_configs").unwrap_or_default();
        let ollama = texts(&value("ollama.base_urls").unwrap_or_default())
            .into_iter()
            .enumerate()
            .map(|(index, url)| {
                let config = config_for(&configs, index, &url);
                Connection {
                    kind: ProviderKind::Ollama,
                    index,
                    key: Secret::new(ollama_key(&configs, &config, index, &url)),
                    config,
                    url,
                }
            })
            .collect();

        Self {
            openai_enabled: value("openai.enable").is_some_and(|flag| truthy(&flag)),
            openai,
            ollama_enabled: value("ollama.enable").is_some_and(|flag| truthy(&flag)),
            ollama,
        }
    }

    /// The connection at a position, switched on or not.
    pub fn get(&self, kind: ProviderKind, index: usize) -> Option<&Connection> {
        match kind {
            ProviderKind::OpenAi => self.openai.get(index),
            ProviderKind::Ollama => self.ollama.get(index),
        }
    }

    /// Whether the lists of models can differ between callers.
    pub(crate) fn depends_on_user(&self) -> bool {
        self.openai
            .iter()
            .chain(&self.ollama)
            .any(Connection::depends_on_user)
    }

    /// Whether any connection signs in with a token of Microsoft Entra.
    pub fn needs_entra(&self) -> bool {
        let mut all = self.openai.iter().chain(&self.ollama);
        all.any(|connection| connection.auth_type() == AuthType::EntraId)
    }

    /// Whether any connection's headers refer to the caller's groups.
    pub fn needs_user_groups(&self) -> bool {
        self.openai
            .iter()
            .chain(&self.ollama)
            .any(Connection::needs_user_groups)
    }
}

/// Texts of a list; other values keep their place as empty texts, so that positions stay right.
fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn config_for(configs: &Value, index: usize, url: &str) -> Map<String, Value> {
    let stored = configs.get(index.to_string()).or_else(|| configs.get(url));
    stored.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Ollama keys live inside the settings object; the oldest form keyed that by scheme and host alone.
fn ollama_key<'a>(configs: &'a Value, config: &'a Map<String, Value>, index: usize, url: &str) -> &'a str {
    let by_index = configs.get(index.to_string());
    let key = match by_index {
        Some(found) => found.get("key"),
        None => config
            .get("key")
            .or_else(|| configs.get(origin(url)).and_then(|found| found.get("key"))),
    };
    key.and_then(Value::as_str).unwrap_or_default()
}

/// `scheme://host:port` of an address.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| start + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(values: Value) -> ProviderSettings {
        ProviderSettings::read(|key| values.get(key).cloned())
    }

    #[test]
    fn positions_pair_addresses_keys_and_settings() {
        let found = settings(json!({
            "openai.enable": true,
            "openai.api_base_urls": ["http://a/v1", "http://b/v1", "http://c/v1"],
            "openai.api_keys": ["ka"],
            "openai.api_configs": {
                "1": {"enable": false, "prefix_id": "b", "connection_type": "local", "auth_type": "none"},
                "http://c/v1": {"model_ids": ["m"], "tags": [{"name": "t"}], "api_type": "responses"},
            },
        }));
        assert!(found.openai_enabled && !found.ollama_enabled);
        let [a, b, c] = found.openai.as_slice() else {
            panic!("three connections")
        };
        assert_eq!(
            (a.key.expose(), a.enabled(), a.connection_type()),
            ("ka", true, Some("external"))
        );
        assert_eq!(
            (b.key.expose(), b.enabled(), b.prefix_id()),
            ("", false, Some("b"))
        );
        assert_eq!(
            (b.connection_type(), b.auth_type()),
            (Some("local"), AuthType::None)
        );
        assert_eq!((c.model_ids(), c.speaks_responses()), (vec!["m"], true));
        assert_eq!(c.tags(), Some(&json!([{"name": "t"}])));
    }

    #[test]
    fn ollama_keys_are_found_in_old_and_new_forms() {
        let found = settings(json!({
            "ollama.enable": true,
            "ollama.base_urls": ["http://a:1/x", "http://b:2", "http://c:3/deep"],
            "ollama.api_configs": {"0": {"key": "ka"}, "http://b:2": {"key": "kb"}, "http://c:3": {"key": "kc"}},
        }));
        let keys: Vec<_> = found
            .ollama
            .iter()
            .map(|connection| connection.key.expose())
            .collect();
        assert_eq!(keys, ["ka", "kb", "kc"]);
        assert_eq!(found.ollama[0].connection_type(), Some("local"));
    }

    #[test]
    fn nonsense_makes_no_connections() {
        assert_eq!(settings(json!({})), ProviderSettings::default());
        let found = settings(
            json!({"openai.api_base_urls": "http://a", "openai.api_configs": [1], "openai.enable": 0}),
        );
        assert_eq!(found, ProviderSettings::default());
    }

    #[test]
    fn printing_shows_no_key() {
        let config = json!({"key": "hidden-1", "headers": {"x-api-key": "hidden-2"}});
        let connection = Connection::adhoc(
            ProviderKind::OpenAi,
            "https://u:hidden-3@h/v1",
            "hidden-4",
            Some(&config),
        );
        assert!(!format!("{connection:?}").contains("hidden"));
        assert!(!connection.needs_user_groups());
    }
}
