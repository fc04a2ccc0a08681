//! The check of a tool server before it is saved.

use axum::Json;
use http::HeaderMap;
use oui_core::{ApiError, ApiResult, form};
use oui_plugins::servers::description_url;
use oui_web::{Admin, Area, Body, Caller, endpoints};
use serde_json::Value;

use crate::request::call_context;

form! {
    /// A tool server as it would be stored.
    pub(crate) struct ServerForm {
        /// Address.
        url: String,
        /// Path or address of its description.
        path: String,
        /// `openapi` or `mcp`.
        kind as "type": Option<String>,
        /// `bearer`, `session`, `none`, ...
        auth_type: Option<String>,
        /// Key for `bearer`.
        key: Option<String>,
    }
}

/// The check.
pub(crate) fn area() -> Area {
    endpoints! { "tool_servers" at "/api/v1/configs";
        POST "/tool_servers/verify" Admin => verify,
    }
}

async fn verify(caller: Caller<Admin>, headers: HeaderMap, body: Body<ServerForm>) -> ApiResult<Json<Value>> {
    if !caller.app().settings.plugins.tool_servers() {
        return Err(ApiError::forbidden("Tool servers are disabled"));
    }
    let ServerForm {
        kind, auth_type, key, ..
    } = body.form;
    if kind.as_deref() == Some("mcp") {
        return Err(ApiError::bad_request("Failed to create MCP client"));
    }
    let context = call_context(&caller, &headers).await?;
    let token = match auth_type.as_deref() {
        Some("bearer") => key.unwrap_or_default(),
        Some("session") => context
            .session_token
            .as_ref()
            .map(|token| token.expose().to_owned())
            .unwrap_or_default(),
        _ => String::new(),
    };
    let servers = &caller.app().chat.tool_servers;
    let described = servers.describe(&description_url(&body.raw), &token).await;
    described.map(Json).map_err(|error| {
        tracing::info!(error, "a tool server did not describe itself");
        ApiError::bad_request("Failed to connect to the tool server")
    })
}
