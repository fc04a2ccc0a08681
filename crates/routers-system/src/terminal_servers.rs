//! Terminal servers in the administration: the list of them, the check of one before it is saved, and what
//! orchestrators among them are told: policies, how long terminals live, and that terminals be started anew. Using
//! them is not here.

use std::time::Duration;

use axum::Json;
use http::{Method, StatusCode};
use oui_config::connections;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, form};
use oui_web::body::{AnyJson, Body};
use oui_web::pages::Page;
use oui_web::{Admin, Area, Caller, endpoints, pages, shapes};
use reqwest::{RequestBuilder, Response};
use serde_json::{Map, Value, json};

/// The table of these pages.
pub(crate) fn area() -> Area {
    endpoints! { "configs" at "/api/v1/configs";
        GET  "/terminal_servers"           Admin => show,
        POST "/terminal_servers"           Admin => save,
        POST "/terminal_servers/verify"    Admin => verify,
        POST "/terminal_servers/policy"    Admin => policy,
        POST "/terminal_servers/lifecycle" Admin => lifecycle,
        POST "/terminal_servers/refresh"   Admin => refresh,
    }
}

/// How long a server may take where the operator sets no limit.
const PATIENCE: Duration = Duration::from_secs(300);

shapes! {
    /// A terminal server as it is stored.
    struct TerminalServer {
        id: Option<String> = "",
        name: Option<String> = "",
        enabled: Option<bool> = true,
        url: String,
        path: Option<String> = "/openapi.json",
        key: Option<String> = "",
        auth_type: Option<String> = "bearer",
        forward_cookies: bool = false,
        config: Option<Map<String, Value>> = Value::Null,
        server_type: Option<String> = Value::Null,
        policy_id: Option<String> = Value::Null;
        extra
    }
}

/// What the form holds of an orchestrator's policy is the orchestrator's to keep.
const NOT_KEPT: [&str; 2] = ["policy", "lifecycle"];

fn servers(input: &Value, issues: &mut Issues) -> Option<Value> {
    let servers = Vec::<TerminalServer>::parse(input, issues)?;
    let kept = servers.into_iter().map(|TerminalServer(mut server)| {
        server.retain(|name, _| !NOT_KEPT.contains(&name.as_str()));
        Value::Object(server)
    });
    Some(kept.collect())
}

pages! {
    static SERVERS = {
        TERMINAL_SERVER_CONNECTIONS by servers => connections::TERMINAL_SERVER_CONNECTIONS,
    };
}

async fn show(caller: Caller<Admin>) -> Json<Value> {
    let page: &Page = &SERVERS;
    Json(Value::Object(page.show(&caller.app().config.snapshot())))
}

async fn save(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let page = SERVERS.save(caller.app(), &body).await?;
    let count = page["TERMINAL_SERVER_CONNECTIONS"].as_array().map_or(0, Vec::len);
    caller.publish(
        caller
            .notice("config.terminal_servers.updated")
            .about_kind("config", "terminal_server.connections")
            .with(json!({ "count": count })),
    );
    Ok(Json(Value::Object(page)))
}

/// A server that is asked.
struct Server<'a> {
    base: &'a str,
    bearer: Option<&'a str>,
    caller: &'a Caller<Admin>,
}

impl<'a> Server<'a> {
    fn new(
        caller: &'a Caller<Admin>,
        url: &'a str,
        auth_type: Option<&str>,
        key: Option<&'a str>,
    ) -> ApiResult<Self> {
        if !caller.app().settings.plugins.tool_servers() {
            return Err(ApiError::forbidden("Tool servers are disabled"));
        }
        let base = url.trim_end_matches('/');
        if base.is_empty() {
            return Err(ApiError::bad_request("Terminal server URL is required"));
        }
        let bearer = key.filter(|key| auth_type == Some("bearer") && !key.is_empty());
        Ok(Self { base, bearer, caller })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let (http, patience) = self.caller.app().chat.tool_servers.reach();
        let request = http
            .client()
            .request(method, format!("{}{path}", self.base))
            .timeout(patience.call.unwrap_or(PATIENCE));
        match self.bearer {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Whether something answers there.
    async fn has(&self, path: &str) -> bool {
        let answer = self.request(Method::GET, path).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Passes a call on. Refusals of the server are passed back; `failed` tells that there was no answer.
    async fn ask(
        &self,
        (method, path): (Method, String),
        body: Option<&Value>,
        failed: &str,
    ) -> ApiResult<Json<Value>> {
        let request = self
            .request(method, &path)
            .header(http::header::CONTENT_TYPE, "application/json");
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        let problem = |error: reqwest::Error| {
            tracing::info!(error = %error.without_url(), "a terminal server could not be asked");
            ApiError::bad_request(failed)
        };
        let answer = request.send().await.map_err(problem)?;
        let status = answer.status();
        if status.is_success() {
            return read(answer).await.map(Json).map_err(problem);
        }
        let text = answer.text().await.map_err(problem)?;
        let status = StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        Err(ApiError::new(status, text))
    }
}

async fn read(answer: Response) -> Result<Value, reqwest::Error> {
    answer.json().await
}

form! {
    /// A server to be checked.
    struct VerifyForm {
        id: Option<String>,
        name: Option<String>,
        enabled: Option<bool>,
        url: String,
        path: Option<String>,
        key: Option<String>,
        auth_type: Option<String> = Some("bearer".to_owned()),
        forward_cookies: bool = false,
        config: Option<Map<String, Value>>,
        server_type: Option<String>,
        policy_id: Option<String>,
    }
}

async fn verify(caller: Caller<Admin>, Body { form, .. }: Body<VerifyForm>) -> ApiResult<Json<Value>> {
    let server = Server::new(&caller, &form.url, form.auth_type.as_deref(), form.key.as_deref())?;
    // Only orchestrators have policies.
    for (path, kind) in [("/api/v1/policies", "orchestrator"), ("/api/config", "terminal")] {
        if server.has(path).await {
            return Ok(Json(json!({ "status": true, "type": kind })));
        }
    }
    Err(ApiError::bad_request("Failed to connect to the terminal server"))
}

form! {
    /// A policy to be read or, with data, replaced.
    struct PolicyForm {
        url: String,
        key: Option<String>,
        auth_type: Option<String> = Some("bearer".to_owned()),
        policy_id: String,
        policy_data: Option<Map<String, Value>>,
    }
}

async fn policy(caller: Caller<Admin>, Body { form, .. }: Body<PolicyForm>) -> ApiResult<Json<Value>> {
    let server = Server::new(&caller, &form.url, form.auth_type.as_deref(), form.key.as_deref())?;
    let failed = "Failed to access policy on terminal server";
    let path = format!("/api/v1/policies/{}", form.policy_id);
    read_or_replace(&server, path, form.policy_data, failed).await
}

form! {
    /// How long terminals of a policy live, to be read or, with data, replaced.
    struct LifecycleForm {
        url: String,
        key: Option<String>,
        auth_type: Option<String> = Some("bearer".to_owned()),
        policy_id: String,
        lifecycle_data: Option<Map<String, Value>>,
    }
}

async fn lifecycle(caller: Caller<Admin>, Body { form, .. }: Body<LifecycleForm>) -> ApiResult<Json<Value>> {
    let server = Server::new(&caller, &form.url, form.auth_type.as_deref(), form.key.as_deref())?;
    let failed = "Failed to access lifecycle on terminal server";
    let path = format!("/api/v1/policies/{}/lifecycle", form.policy_id);
    read_or_replace(&server, path, form.lifecycle_data, failed).await
}

async fn read_or_replace(
    server: &Server<'_>,
    path: String,
    data: Option<Map<String, Value>>,
    failed: &str,
) -> ApiResult<Json<Value>> {
    match data.map(Value::Object) {
        None => server.ask((Method::GET, path), None, failed).await,
        Some(data) => server.ask((Method::PUT, path), Some(&data), failed).await,
    }
}

form! {
    /// Which terminals are started anew.
    struct RefreshForm {
        url: String,
        key: Option<String>,
        auth_type: Option<String> = Some("bearer".to_owned()),
        user_id: Option<String>,
        policy_id: Option<String>,
        only_idle: bool = true,
        reset: bool = false,
    }
}

async fn refresh(caller: Caller<Admin>, Body { form, .. }: Body<RefreshForm>) -> ApiResult<Json<Value>> {
    let server = Server::new(&caller, &form.url, form.auth_type.as_deref(), form.key.as_deref())?;
    let mut body = json!({ "only_idle": form.only_idle, "reset": form.reset });
    for (name, value) in [("user_id", form.user_id), ("policy_id", form.policy_id)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            body[name] = json!(value);
        }
    }
    let call = (Method::POST, "/api/v1/terminals/refresh".to_owned());
    server.ask(call, Some(&body), "Failed to refresh terminals").await
}
