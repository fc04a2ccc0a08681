//! OpenAPI tool servers of the configuration: what they offer (kept for a while), who may use them, and calls to
//! them. A server that is slow, broken or talkative harms only the call that was made to it.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use futures::StreamExt;
use oui_models::grants::normalize;
use oui_models::groups::Membership;
use oui_providers::{CallContext, Connection, Http, ProviderKind};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::openapi;
use crate::tool::{Answer, Callable, Kind, Object, Tool, ToolContext, ToolError};

/// How long a description is used before it is fetched again.
const FRESH: Duration = Duration::from_secs(60);

/// How long a server that could not describe itself is left alone.
const FAILED: Duration = Duration::from_secs(5);

/// Bytes of a description or a result.
const LIMIT: usize = 16 * 1024 * 1024;

/// How long to wait. `None` waits without limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// For the result of a call.
    pub call: Option<Duration>,
    /// For a description.
    pub describe: Option<Duration>,
}

/// One server and what it offers.
#[derive(Debug, Clone)]
pub struct Server {
    /// Id without `server:`.
    pub id: String,
    /// The stored connection.
    pub connection: Arc<Value>,
    /// Its OpenAPI document, with the name that the connection gives it.
    pub document: Arc<Value>,
    /// `{name, description, parameters}` of its operations.
    pub specs: Arc<Vec<Value>>,
}

struct Known {
    at: Instant,
    document: Option<Arc<Value>>,
}

/// The tool servers. One for the process.
pub struct ToolServers {
    http: Http,
    patience: Patience,
    known: Mutex<HashMap<String, Known>>,
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn truthy(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(""))
}

/// The address of a server's description: a whole address, or a path below the server's.
pub fn description_url(connection: &Value) -> String {
    let path = connection
        .get("path")
        .and_then(Value::as_str)
        .unwrap_or("openapi.json");
    if path.contains("://") {
        return path.to_owned();
    }
    let base = text(connection, "/url").trim_end_matches('/');
    format!("{base}/{}", path.trim_start_matches('/'))
}

/// Whether a stored connection is open to an account: to those that its grants name, without grants to administrators.
pub fn opens(connection: &Value, context: &ToolContext) -> bool {
    opens_to(
        connection,
        &context.user.id,
        context.is_admin(),
        context.settings.access.admin_bypass,
        &context.membership,
    )
}

/// [`opens`] for an account that is given by its parts.
pub fn opens_to(
    connection: &Value,
    user_id: &str,
    is_admin: bool,
    bypass: bool,
    membership: &Membership,
) -> bool {
    if is_admin && bypass {
        return true;
    }
    let grants = connection
        .pointer("/config/access_grants")
        .and_then(Value::as_array);
    match grants.filter(|grants| !grants.is_empty()) {
        None => is_admin,
        Some(grants) => normalize(grants)
            .iter()
            .any(|grant| grant.permission == "read" && grant.reaches(user_id, membership)),
    }
}

/// Whether a filter list lets a name through: names after `!` are kept out, others are the only ones let in.
pub(crate) fn is_allowed(name: &str, filter: Option<&Value>) -> bool {
    let entries: Vec<String> = match filter {
        Some(Value::String(list)) => list.split(',').map(|entry| entry.trim().to_owned()).collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|entry| entry.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    let entries = entries.iter().filter(|entry| !entry.is_empty());
    let (blocked, allowed): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.starts_with('!'));
    (allowed.is_empty() || allowed.iter().any(|entry| name.ends_with(entry.as_str())))
        && !blocked.iter().any(|entry| name.ends_with(&entry[1..]))
}

impl ToolServers {
    /// Servers over this connection pool.
    pub fn new(http: Http, patience: Patience) -> Self {
        Self {
            http,
            patience,
            known: Mutex::default(),
        }
    }

    /// The connection pool for tool servers, and how long they may take.
    pub fn reach(&self) -> (&Http, Patience) {
        (&self.http, self.patience)
    }

    /// Servers of the stored list that are switched on and answer.
    #[boxed]
    pub async fn listed(self: &Arc<Self>, connections: &Value) -> Vec<Server> {
        let connections = connections.as_array().into_iter().flatten().enumerate();
        let wanted = connections.filter(|(_, connection)| {
            let kind = connection
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("openapi");
            truthy(connection.pointer("/config/enable")) && kind == "openapi"
        });
        let servers = wanted.map(|(index, connection)| async move {
            let document = self.document(connection).await?;
            let id = text(connection, "/info/id");
            let specs = openapi::specs(&document);
            Some(Server {
                id: if id.is_empty() {
                    index.to_string()
                } else {
                    id.to_owned()
                },
                connection: Arc::new(connection.clone()),
                document,
                specs: Arc::new(specs),
            })
        });
        futures::future::join_all(servers)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// The description of a server, from memory while it is fresh.
    async fn document(&self, connection: &Value) -> Option<Arc<Value>> {
        let key = connection.to_string();
        if let Some(known) = self.known.lock().get(&key) {
            let fresh = if known.document.is_some() { FRESH } else { FAILED };
            if known.at.elapsed() < fresh {
                return known.document.clone();
            }
        }
        let described = if text(connection, "/spec_type") == "json" {
            serde_json::from_str(text(connection, "/spec")).map_err(|error| error.to_string())
        } else {
            let token = match connection
                .get("auth_type")
                .and_then(Value::as_str)
                .unwrap_or("bearer")
            {
                "bearer" => text(connection, "/key"),
                _ => "",
            };
            self.describe(&description_url(connection), token).await
        };
        let document = match described {
            Ok(document) if document.get("paths").is_some() => Some(Arc::new(named(document, connection))),
            Ok(_) => {
                tracing::warn!(
                    id = text(connection, "/info/id"),
                    "a tool server's description has no paths"
                );
                None
            }
            Err(error) => {
                tracing::warn!(
                    id = text(connection, "/info/id"),
                    error,
                    "a tool server did not describe itself"
                );
                None
            }
        };
        let mut known = self.known.lock();
        known.retain(|_, known| known.at.elapsed() < FRESH);
        known.insert(
            key,
            Known {
                at: Instant::now(),
                document: document.clone(),
            },
        );
        document
    }

    /// Fetches a description, in JSON or YAML. The error is for administrators.
    #[boxed]
    pub async fn describe(&self, url: &str, token: &str) -> Result<Value, String> {
        let mut request = self.http.client().get(url).header("accept", "application/json");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let (status, _, bytes) = within(self.patience.describe, fetch(request)).await?;
        let text = String::from_utf8_lossy(&bytes);
        if status != 200 {
            return Err(text.into_owned());
        }
        let is_yaml = [".yaml", ".yml"]
            .iter()
            .any(|ending| url.to_lowercase().ends_with(ending));
        match serde_json::from_str(&text) {
            Ok(document) if !is_yaml => Ok(document),
            _ => serde_saphyr::from_str(&text).map_err(|error| error.to_string()),
        }
    }

    /// The tools of one chosen server, `server:ID` or `server:openapi:ID`, with an optional `|name,name` behind it.
    #[boxed]
    pub async fn tools(self: &Arc<Self>, tool_id: &str, context: &ToolContext) -> Vec<Tool> {
        let Some(rest) = tool_id.strip_prefix("server:") else {
            return Vec::new();
        };
        let id = rest.strip_prefix("openapi:").unwrap_or(rest);
        let id = id.split('|').next().unwrap_or_default();
        let stored = context
            .config
            .get(&oui_config::connections::TOOL_SERVER_CONNECTIONS);
        let listed = self.listed(&stored).await;
        let Some(server) = listed.into_iter().find(|server| server.id == id) else {
            tracing::warn!(tool_id, "a tool server that was chosen is not there");
            return Vec::new();
        };
        if !opens(&server.connection, context) {
            tracing::warn!(
                tool_id,
                user_id = context.user.id,
                "a tool server that was chosen is not open to the user"
            );
            return Vec::new();
        }
        let filter = server.connection.pointer("/config/function_name_filter_list");
        let specs = server
            .specs
            .iter()
            .filter(|spec| is_allowed(text(spec, "/name"), filter));
        specs
            .map(|spec| Tool {
                name: text(spec, "/name").to_owned(),
                id: tool_id.to_owned(),
                kind: Kind::Server,
                spec: spec.clone().into(),
                callable: Arc::new(Operation {
                    name: text(spec, "/name").to_owned(),
                    server: server.clone(),
                    servers: self.clone(),
                }),
            })
            .collect()
    }

    async fn call(
        &self,
        server: &Server,
        name: &str,
        arguments: &Object,
        context: &CallContext,
    ) -> Result<Value, String> {
        let request = openapi::request(&server.document, name, arguments)
            .ok_or_else(|| format!("No matching route found for operationId: {name}"))?;
        let base = text(&server.connection, "/url");
        let connection = Connection::adhoc(
            ProviderKind::OpenAi,
            base,
            text(&server.connection, "/key"),
            Some(&server.connection),
        );
        let method = request
            .method
            .parse()
            .map_err(|_| format!("Unknown method {}", request.method))?;
        let url = format!("{}{}", base.trim_end_matches('/'), request.path);
        let mut sent = self
            .http
            .client()
            .request(method, url)
            .headers(self.http.headers(&connection, context));
        if let Some(body) = &request.body {
            sent = sent.body(body.to_string());
        }
        let (status, kind, bytes) = within(self.patience.call, fetch(sent)).await?;
        if status >= 400 {
            return Err(format!(
                "HTTP error {status}: {}",
                String::from_utf8_lossy(&bytes)
            ));
        }
        Ok(body_of(&kind, &bytes))
    }
}

/// Gives a description the name and the sentence of its connection.
fn named(mut document: Value, connection: &Value) -> Value {
    let Some(info) = connection
        .get("info")
        .and_then(Value::as_object)
        .filter(|info| !info.is_empty())
    else {
        return document;
    };
    if !document.get("info").is_some_and(Value::is_object) {
        document["info"] = json!({});
    }
    for (from, to) in [("name", "title"), ("description", "description")] {
        if let Some(value) = info.get(from) {
            document["info"][to] = value.clone();
        }
    }
    document
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err("The server did not answer in time.".into())),
        None => work.await,
    }
}

/// Status, content headers and body of an answer.
async fn fetch(request: reqwest::RequestBuilder) -> Result<(u16, Headers, Vec<u8>), String> {
    let response = request
        .send()
        .await
        .map_err(|error| error.without_url().to_string())?;
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let headers = Headers {
        kind: header("content-type"),
        disposition: header("content-disposition"),
    };
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| error.without_url().to_string())?;
        if body.len() + piece.len() > LIMIT {
            return Err(format!("The answer has more than {LIMIT} bytes."));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, headers, body))
}

struct Headers {
    kind: String,
    disposition: String,
}

/// Body and headers of a result, as the treatment of results expects them.
fn body_of(headers: &Headers, bytes: &[u8]) -> Value {
    let kind = headers.kind.split(';').next().unwrap_or_default().trim();
    let parsed = if kind.ends_with("json") {
        serde_json::from_slice(bytes).ok()
    } else {
        None
    };
    let data = parsed.unwrap_or_else(|| {
        if kind.is_empty() || kind.starts_with("text/") {
            json!(String::from_utf8_lossy(bytes))
        } else {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            json!(format!("data:{kind};base64,{encoded}"))
        }
    });
    json!([data, { "Content-Type": headers.kind, "Content-Disposition": headers.disposition }])
}

struct Operation {
    name: String,
    server: Server,
    servers: Arc<ToolServers>,
}

#[async_trait]
impl Callable for Operation {
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer {
        self.servers
            .call(&self.server, &self.name, &arguments, &context.call)
            .await
            .map_err(ToolError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_found_below_the_server() {
        let url = |connection: Value| description_url(&connection);
        assert_eq!(url(json!({"url": "http://a/b/"})), "http://a/b/openapi.json");
        assert_eq!(
            url(json!({"url": "http://a", "path": "/v1/spec.yaml"})),
            "http://a/v1/spec.yaml"
        );
        assert_eq!(
            url(json!({"url": "http://a", "path": "https://c/d"})),
            "https://c/d"
        );
    }

    #[test]
    fn filters_let_in_and_keep_out() {
        assert!(is_allowed("look", None) && is_allowed("look", Some(&json!(""))));
        assert!(is_allowed("look", Some(&json!("look, find"))) && !is_allowed("other", Some(&json!("look"))));
        assert!(!is_allowed("look", Some(&json!(["!look"]))) && is_allowed("other", Some(&json!(["!look"]))));
    }

    #[test]
    fn connections_without_grants_are_the_administrators() {
        let nobody = Membership::default();
        let private = json!({"config": {}});
        assert!(
            opens_to(&private, "u", true, false, &nobody) && !opens_to(&private, "u", false, true, &nobody)
        );
        let shared = json!({"config": {"access_grants": [{"principal_type": "user", "principal_id": "u", "permission": "read"}]}});
        assert!(
            opens_to(&shared, "u", false, false, &nobody) && !opens_to(&shared, "v", true, false, &nobody)
        );
    }

    #[test]
    fn results_are_json_text_or_data() {
        let headers = |kind: &str| Headers {
            kind: kind.into(),
            disposition: String::new(),
        };
        assert_eq!(
            body_of(&headers("application/json; charset=utf-8"), b"{\"a\":1}")[0],
            json!({"a": 1})
        );
        assert_eq!(body_of(&headers("text/plain"), b"hi")[0], "hi");
        assert_eq!(
            body_of(&headers("image/png"), b"\x01")[0],
            "data:image/png;base64,AQ=="
        );
    }
}
