//! Tool servers: the check of one before it is saved, and what an MCP server offers.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use http::{HeaderMap, StatusCode};
use oui_config::connections::TOOL_SERVER_CONNECTIONS;
use oui_core::form::Nullable;
use oui_core::{ApiError, ApiResult, form};
use oui_plugins::mcp::{self, Session};
use oui_plugins::servers::{description_url, opens_to};
use oui_providers::CallContext;
use oui_web::{Admin, App, Area, Body, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

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
        auth_type: Nullable<String>,
        /// Key for `bearer`.
        key: Nullable<String>,
        /// Who may use it, and which of its tools.
        config: Nullable<Map<String, Value>>,
    }
}

/// How long a server may take to tell its tools.
const DISCOVERY: Duration = Duration::from_secs(15);

/// The tables.
pub(crate) fn areas() -> Vec<Area> {
    vec![
        endpoints! { "tool_servers" at "/api/v1/configs";
            POST "/tool_servers/verify" Admin => verify,
        },
        endpoints! { "tools" at "/api/v1/tools";
            GET "/id/{id}/specs" Verified => specs,
        },
    ]
}

/// The tools of an MCP server that is open to the caller.
async fn specs(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let missing = || ApiError::not_found("Tool not found");
    let app = caller.app();
    let id = id.strip_prefix("server:mcp:").ok_or_else(missing)?;
    let stored = app.config.get(&TOOL_SERVER_CONNECTIONS);
    let connection = mcp::connection(&stored, id).filter(|_| app.settings.plugins.tool_servers());
    let connection = connection.ok_or_else(missing)?;
    let user = caller.user();
    let membership = caller.membership().await?;
    let is_admin = user.role == oui_access::ADMIN;
    let bypass = app.settings.access.admin_bypass;
    if !opens_to(connection, &user.id, is_admin, bypass, &membership) {
        return Err(missing());
    }
    let context = call_context(&caller, &headers).await?;
    let found = tokio::time::timeout(DISCOVERY, mcp_specs(app, &context, connection)).await;
    let found = found.map_err(|_| ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Tool discovery timed out"))?;
    let found = found.map_err(|error| {
        tracing::error!(id, error, "an MCP server does not tell its tools");
        ApiError::new(StatusCode::BAD_GATEWAY, "Unable to load tools")
    })?;
    let shown = mcp::allowed(connection, found)
        .into_iter()
        .map(|spec| json!({ "name": spec["name"], "description": spec["description"] }));
    Ok(Json(json!({ "specs": shown.collect::<Vec<_>>() })))
}

/// The tools of an MCP server.
async fn mcp_specs(app: &App, context: &CallContext, stored: &Value) -> Result<Vec<Value>, String> {
    let (http, patience) = app.chat.tool_servers.reach();
    let handshake = app.settings.upstream.mcp_timeout;
    let session = Session::open(http.clone(), stored, context, patience, handshake).await?;
    session.tools().await
}

async fn verify(caller: Caller<Admin>, headers: HeaderMap, body: Body<ServerForm>) -> ApiResult<Json<Value>> {
    if !caller.app().settings.plugins.tool_servers() {
        return Err(ApiError::forbidden("Tool servers are disabled"));
    }
    let ServerForm {
        kind, auth_type, key, ..
    } = body.form;
    let context = call_context(&caller, &headers).await?;
    if kind.as_deref() == Some("mcp") {
        let found = mcp_specs(caller.app(), &context, &body.raw).await;
        return found
            .map(|specs| Json(json!({ "status": true, "specs": specs })))
            .map_err(|error| {
                tracing::info!(error, "an MCP server could not be asked");
                ApiError::bad_request("Failed to create MCP client")
            });
    }
    let token = match auth_type.0.as_deref() {
        Some("bearer") => key.0.unwrap_or_default(),
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
