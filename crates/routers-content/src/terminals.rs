//! Terminal servers that administrators offer: `/api/v1/terminals`. Here they are listed; passing calls on to
//! them is not.

use axum::Json;
use oui_config::connections;
use oui_core::ApiResult;
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

use crate::tools::opens_connection;

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "terminals" at "/api/v1/terminals";
        GET "/" Verified => list,
    }
}

/// What a terminal can be bound to, and the name of that thing's id.
const CONTEXTS: &[(&str, &str)] = &[("chat", "chat_id"), ("automation", "automation_id")];

fn text<'a>(connection: &'a Value, name: &str) -> &'a str {
    connection.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// How an orchestrator binds terminals to chats and automations.
fn contexts(connection: &Value) -> Value {
    let orchestrator =
        text(connection, "server_type") == "orchestrator" || !text(connection, "policy_id").is_empty();
    let configured = connection.pointer("/config/contexts").and_then(Value::as_object);
    let mut contexts = Map::new();
    for (name, value) in configured.filter(|_| orchestrator).into_iter().flatten() {
        let Some((_, own)) = CONTEXTS.iter().find(|(context, _)| context == name) else {
            continue;
        };
        match value {
            Value::Bool(false) => drop(contexts.insert(name.clone(), json!(false))),
            Value::Object(object) => {
                let source = object.get("context_id").and_then(Value::as_str);
                let source = source.filter(|source| *source == "default" || source == own);
                let context = source.map_or_else(|| json!({}), |source| json!({ "context_id": source }));
                contexts.insert(name.clone(), context);
            }
            _ => {}
        }
    }
    Value::Object(contexts)
}

fn chat_uploads(connection: &Value) -> &str {
    match connection.pointer("/config/chat_uploads").and_then(Value::as_str) {
        Some("filesystem") => "filesystem",
        _ => "default",
    }
}

async fn available(caller: &Caller<Verified>) -> ApiResult<Vec<Value>> {
    if !caller.app().settings.plugins.tool_servers() {
        return Ok(Vec::new());
    }
    let configured = caller.app().config.get(&connections::TERMINAL_SERVER_CONNECTIONS);
    let mut servers = Vec::new();
    for connection in configured.as_array().into_iter().flatten() {
        let enabled = connection
            .get("enabled")
            .is_none_or(|enabled| *enabled != json!(false) && !enabled.is_null());
        if enabled && opens_connection(caller, connection).await? {
            servers.push(connection.clone());
        }
    }
    Ok(servers)
}

/// Ids of the terminal servers that the caller may use.
pub(crate) async fn available_ids(caller: &Caller<Verified>) -> ApiResult<Vec<String>> {
    Ok(available(caller)
        .await?
        .iter()
        .map(|connection| text(connection, "id").to_owned())
        .collect())
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    let servers = available(&caller).await?;
    let item = |connection: &Value| {
        json!({
            "id": text(connection, "id"), "url": text(connection, "url"), "name": text(connection, "name"),
            "contexts": contexts(connection), "config": { "chat_uploads": chat_uploads(connection) },
        })
    };
    Ok(Json(servers.iter().map(item).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orchestrators_bind_terminals() {
        let config = json!({"contexts": {"chat": {"context_id": "chat_id"}, "automation": {"context_id": "x"}, "other": {}}});
        assert_eq!(contexts(&json!({"config": config})), json!({}));
        assert_eq!(
            contexts(&json!({"policy_id": "p", "config": config})),
            json!({"chat": {"context_id": "chat_id"}, "automation": {}})
        );
        assert_eq!(
            chat_uploads(&json!({"config": {"chat_uploads": "elsewhere"}})),
            "default"
        );
    }
}
