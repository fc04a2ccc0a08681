//! Keys of direct connections, tool servers, terminal servers, external knowledge and event targets.

use serde_json::Value;

use crate::key::{Key, keys};

keys! {
    "Connections and external servers";

    /// Lets users add provider connections that their own browser calls.
    pub static ENABLE_DIRECT_CONNECTIONS: Key<bool> = Key::bool("direct.enable", false);
    /// Lets users add tool servers that their own browser calls.
    pub static ENABLE_DIRECT_INTEGRATIONS: Key<bool> = Key::bool("direct.integrations.enable", false);
    /// OpenAPI and MCP tool servers offered to everybody, as a JSON list.
    pub static TOOL_SERVER_CONNECTIONS: Key<Value> = Key::array("tool_server.connections").secret();
    /// Terminal servers, as a JSON list; text that is not JSON stops the start.
    pub static TERMINAL_SERVER_CONNECTIONS: Key<Value> =
        Key::array("terminal_server.connections").strict().secret();
    /// External retrieval services that knowledge bases can point to.
    pub static EXTERNAL_KNOWLEDGE_CONNECTIONS: Key<Value> =
        Key::array("external_knowledge.connections").no_env().unseeded().secret();
    /// Targets that receive server events.
    pub static EVENT_WEBHOOKS: Key<Value> = Key::array("events.webhooks").no_env().unseeded().secret();
    /// Older single address for sign-up notices; moved into the event targets on first use.
    pub static WEBHOOK_URL: Key<String> = Key::text("webhook_url", "").secret();
}
