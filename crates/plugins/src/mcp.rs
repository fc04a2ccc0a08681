//! MCP servers over streamable HTTP: JSON-RPC by POST, answered with JSON or with a stream of events in which the server
//! may also ask something back. One session belongs to one run and ends with it.

use oui_core::boxed;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use oui_providers::sse::{SseItem, SseParser};
use oui_providers::{CallContext, Connection, Http, ProviderKind};
use parking_lot::Mutex;
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pictures;
use crate::servers::{Patience, is_allowed, opens};
use crate::tool::{Answer, Callable, Kind, Object, Reporter, Tool, ToolContext, ToolError};

/// The protocol as this client speaks it; servers answer with theirs.
const VERSION: &str = "2025-06-18";

/// Bytes of one answer.
const LIMIT: usize = 16 * 1024 * 1024;

/// Most pages of a list of tools.
const PAGES: usize = 100;

/// Characters of a tool's name that providers take.
const NAME: usize = 64;

/// A session with a server.
pub struct Session {
    http: Http,
    url: String,
    connection: Connection,
    context: CallContext,
    id: Mutex<Option<String>>,
    version: Mutex<String>,
    last: AtomicU64,
    patience: Option<Duration>,
    /// What the server wants models to know of it.
    pub instructions: Option<String>,
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Nobody can be asked.
struct Nobody;

#[async_trait]
impl Reporter for Nobody {
    async fn report(&self, _: &str, _: Value) {}

    async fn relay(&self, _: &Value) {}

    async fn ask(&self, _: &str, _: Value, _: Option<Duration>) -> Result<Value, oui_core::CallError> {
        Err(oui_core::CallError::NoSession)
    }
}

impl Session {
    /// Opens a session. `connection` is as it is stored: `url`, `auth_type`, `key`, `headers`.
    #[boxed]
    pub async fn open(
        http: Http,
        connection: &Value,
        context: &CallContext,
        patience: Patience,
        handshake: Duration,
    ) -> Result<Self, String> {
        let url = text(connection, "/url").to_owned();
        let key = text(connection, "/key");
        let mut session = Self {
            http,
            connection: Connection::adhoc(ProviderKind::OpenAi, &url, key, Some(connection)),
            url,
            context: context.clone(),
            id: Mutex::default(),
            version: Mutex::new(VERSION.to_owned()),
            last: AtomicU64::new(0),
            patience: patience.call,
            instructions: None,
        };
        let hello = json!({
            "protocolVersion": VERSION, "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "oui", "version": env!("CARGO_PKG_VERSION") },
        });
        let open = async {
            let told = session.ask("initialize", hello, &Nobody, "").await?;
            session.tell("notifications/initialized").await?;
            Ok::<Value, String>(told)
        };
        let told = tokio::time::timeout(handshake, open)
            .await
            .map_err(|_| "The server did not answer in time.".to_owned())??;
        if let Some(version) = told["protocolVersion"].as_str() {
            *session.version.lock() = version.to_owned();
        }
        session.instructions = told["instructions"]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        Ok(session)
    }

    async fn post(&self, message: &Value) -> Result<Response, String> {
        let mut request = self
            .http
            .client()
            .post(&self.url)
            .headers(self.http.headers(&self.connection, &self.context))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", self.version.lock().clone());
        if let Some(id) = self.id.lock().clone() {
            request = request.header("mcp-session-id", id);
        }
        let sent = request.body(message.to_string()).send().await;
        let response = sent.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("HTTP error {}", status.as_u16()));
        }
        if let Some(id) = response.headers().get("mcp-session-id") {
            *self.id.lock() = id.to_str().ok().map(str::to_owned);
        }
        Ok(response)
    }

    /// Says something that is not answered.
    async fn tell(&self, method: &str) -> Result<(), String> {
        let message = json!({ "jsonrpc": "2.0", "method": method });
        self.post(&message).await.map(|_| ())
    }

    /// Asks, and answers what the server asks back on the way.
    async fn ask(
        &self,
        method: &str,
        params: Value,
        reporter: &dyn Reporter,
        server: &str,
    ) -> Result<Value, String> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let response = self.post(&message).await?;
        let kind = response.headers().get("content-type");
        let streams = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut body = response.bytes_stream();
        let mut parser = SseParser::default();
        let mut whole = Vec::new();
        let mut read = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| error.without_url().to_string())?;
            read += piece.len();
            if read > LIMIT {
                return Err(format!("The answer has more than {LIMIT} bytes."));
            }
            if !streams {
                whole.extend_from_slice(&piece);
                continue;
            }
            parser.feed(&piece);
            while let Some(item) = parser.next_item().map_err(|error| error.to_string())? {
                let SseItem::Event(event) = item else { continue };
                let Ok(message) = serde_json::from_str::<Value>(&event.data) else {
                    continue;
                };
                if let Some(result) = result_of(&message, id) {
                    return result;
                }
                self.answer(&message, reporter, server).await?;
            }
        }
        let messages: Value =
            serde_json::from_slice(&whole).map_err(|_| "The server gave no answer.".to_owned())?;
        let messages = match messages {
            Value::Array(messages) => messages,
            message => vec![message],
        };
        let result = messages.iter().find_map(|message| result_of(message, id));
        result.unwrap_or_else(|| Err("The server gave no answer.".into()))
    }

    /// Answers a question of the server: to the user, or whether we are there.
    async fn answer(&self, message: &Value, reporter: &dyn Reporter, server: &str) -> Result<(), String> {
        let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) else {
            return Ok(());
        };
        let reply = match method {
            "ping" => json!({ "jsonrpc": "2.0", "id": id, "result": {} }),
            "elicitation/create" => {
                let result = elicited(&message["params"], reporter, server).await;
                json!({ "jsonrpc": "2.0", "id": id, "result": result })
            }
            _ => {
                let error = json!({ "code": -32601, "message": "Method not found" });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        };
        self.post(&reply).await.map(|_| ())
    }

    /// `{name, description, parameters}` of every tool.
    #[boxed]
    pub async fn tools(&self) -> Result<Vec<Value>, String> {
        let mut specs = Vec::new();
        let mut cursor = Value::Null;
        for _ in 0..PAGES {
            let params = if cursor.is_null() {
                json!({})
            } else {
                json!({ "cursor": cursor })
            };
            let mut page = self.ask("tools/list", params, &Nobody, "").await?;
            let tools = page["tools"].as_array().into_iter().flatten();
            specs.extend(tools.map(|tool| {
                json!({
                    "name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"],
                })
            }));
            cursor = page["nextCursor"].take();
            if cursor.is_null() {
                break;
            }
        }
        Ok(specs)
    }

    /// Calls a tool and answers its content.
    #[boxed]
    pub async fn call(
        &self,
        name: &str,
        arguments: &Object,
        reporter: &dyn Reporter,
        server: &str,
    ) -> Result<Vec<Value>, String> {
        let params = json!({ "name": name, "arguments": arguments });
        let call = self.ask("tools/call", params, reporter, server);
        let result = match self.patience {
            Some(limit) => tokio::time::timeout(limit, call)
                .await
                .map_err(|_| "The server did not answer in time.".to_owned())??,
            None => call.await?,
        };
        content_of(result)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(id) = self.id.lock().take() else { return };
        let request = self
            .http
            .client()
            .delete(&self.url)
            .headers(self.http.headers(&self.connection, &self.context))
            .header("mcp-session-id", id)
            .timeout(Duration::from_secs(10));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Servers need not know how to end a session.
                let _ = request.send().await;
            });
        }
    }
}

/// The result in a message, if it answers the question with this id.
fn result_of(message: &Value, id: u64) -> Option<Result<Value, String>> {
    if message["id"] != json!(id) || message.get("method").is_some() {
        return None;
    }
    Some(match message.get("error") {
        Some(error) => Err(text(error, "/message").to_owned()),
        None => Ok(message["result"].clone()),
    })
}

/// What the user says to a question of a server.
async fn elicited(params: &Value, reporter: &dyn Reporter, server: &str) -> Value {
    let cancel = json!({ "action": "cancel" });
    if let Some(url) = params["url"].as_str() {
        let safe = reqwest::Url::parse(url).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none()
        });
        if !safe {
            return cancel;
        }
    }
    let mut question = Object::new();
    for name in ["mode", "message", "requestedSchema", "url"] {
        if let Some(value) = params.get(name) {
            question.insert(name.into(), value.clone());
        }
    }
    question.insert("server_name".into(), json!(server));
    let answer = reporter
        .ask("request:elicitation", Value::Object(question), None)
        .await
        .unwrap_or_default();
    match answer["action"].as_str() {
        Some("accept") => json!({ "action": "accept", "content": answer["content"] }),
        Some(action @ ("decline" | "cancel")) => json!({ "action": action }),
        _ => cancel,
    }
}

/// The content of a call's result. Structured content that no text repeats is added as a text.
fn content_of(mut result: Value) -> Result<Vec<Value>, String> {
    let mut content = match result["content"].take() {
        Value::Array(content) => content,
        _ => Vec::new(),
    };
    let texts: Vec<&str> = content
        .iter()
        .filter(|item| item["type"] == "text")
        .filter_map(|item| item["text"].as_str())
        .collect();
    if result["isError"] == true {
        let told = texts.join("\n");
        return Err(if told.is_empty() {
            "MCP tool call returned an error.".into()
        } else {
            told
        });
    }
    let structured = result["structuredContent"].take();
    if structured.is_null() || repeats(&texts, &structured) {
        return Ok(content);
    }
    content.push(json!({ "type": "text", "text": structured.to_string() }));
    Ok(content)
}

/// Whether texts say what structured content says: as a whole, or value by value of a wrapped list.
fn repeats(texts: &[&str], structured: &Value) -> bool {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let read: Vec<Value> = texts.iter().map(|text| read(text)).collect();
    if read.contains(structured) {
        return true;
    }
    let wrapped = structured.as_object().filter(|fields| fields.len() == 1);
    let Some(wrapped) = wrapped.and_then(|fields| fields.get("result")) else {
        return false;
    };
    if read.len() == 1 && read[0] == *wrapped {
        return true;
    }
    let values = match wrapped {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    !texts.is_empty()
        && texts.len() == values.len()
        && texts
            .iter()
            .zip(&read)
            .zip(&values)
            .all(|((text, read), value)| value == text || read == value)
}

struct Remote {
    session: Arc<Session>,
    server: String,
    name: String,
}

#[async_trait]
impl Callable for Remote {
    async fn call(&self, context: &ToolContext, arguments: Object) -> Answer {
        let content = self
            .session
            .call(&self.name, &arguments, &*context.reporter, &self.server)
            .await
            .map_err(ToolError::new)?;
        Ok(answer_of(context, content).await)
    }
}

/// Content as the treatment of results expects it: `{mcp: true, texts, files}`.
async fn answer_of(context: &ToolContext, content: Vec<Value>) -> Value {
    let mut texts = Vec::new();
    let mut files = Vec::new();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| json!(text));
    for item in content {
        match item["type"].as_str() {
            Some("text") => texts.push(read(text(&item, "/text"))),
            Some(kind @ ("image" | "audio")) => {
                let data = item.get("data").or_else(|| item.get("blob"));
                let data = data.and_then(Value::as_str).unwrap_or_default();
                let uri = format!("data:{};base64,{data}", text(&item, "/mimeType"));
                let url = pictures::keep(context, &uri).await.unwrap_or(uri);
                files.push(json!({ "type": kind, "url": url }));
            }
            Some("resource") => {
                let resource = &item["resource"];
                let (said, blob, uri) = (
                    text(resource, "/text"),
                    text(resource, "/blob"),
                    text(resource, "/uri"),
                );
                let kind = match text(resource, "/mimeType") {
                    "" => "application/octet-stream",
                    kind => kind,
                };
                if !said.is_empty() {
                    texts.push(read(said));
                } else if !blob.is_empty() && kind.starts_with("image/") {
                    files.push(json!({ "type": "image", "url": format!("data:{kind};base64,{blob}") }));
                } else if !blob.is_empty() {
                    let uri = if uri.is_empty() { "resource" } else { uri };
                    texts.push(json!(format!(
                        "[Resource: {uri}] (binary data, mimeType: {kind})"
                    )));
                } else if !uri.is_empty() {
                    texts.push(json!(uri));
                }
            }
            _ => {}
        }
    }
    json!({ "texts": texts, "files": files })
}

/// The name under which a model calls a tool of a server; providers refuse long ones.
fn offered_name(server: &str, name: &str) -> String {
    let whole = format!("{server}_{name}");
    if whole.chars().count() <= NAME {
        return whole;
    }
    let start: String = whole.chars().take(NAME - 9).collect();
    let digest: String = Sha256::digest(whole.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{start}_{digest}")
}

/// The stored connection of a server that is switched on.
pub fn connection<'c>(connections: &'c Value, id: &str) -> Option<&'c Value> {
    let mut all = connections.as_array()?.iter();
    all.find(|connection| connection["type"] == "mcp" && text(connection, "/info/id") == id)
        .filter(|connection| connection.pointer("/config/enable") == Some(&Value::Bool(true)))
}

/// The specifications that a connection's filter lets through.
pub fn allowed(connection: &Value, specs: Vec<Value>) -> Vec<Value> {
    let filter = connection.pointer("/config/function_name_filter_list");
    let specs = specs.into_iter();
    specs
        .filter(|spec| is_allowed(text(spec, "/name"), filter))
        .collect()
}

/// The tools of a chosen server and what it wants models to know. `None`: it is not there or not open to the account.
#[boxed]
pub async fn tools(
    http: &Http,
    patience: Patience,
    id: &str,
    context: &ToolContext,
) -> Result<Option<(Vec<Tool>, Option<String>)>, String> {
    let stored = context
        .config
        .get(&oui_config::connections::TOOL_SERVER_CONNECTIONS);
    let Some(connection) = connection(&stored, id) else {
        tracing::error!(id, "an MCP server that was chosen is not there");
        return Ok(None);
    };
    if !opens(connection, context) {
        tracing::warn!(
            id,
            user_id = context.user.id,
            "an MCP server that was chosen is not open to the user"
        );
        return Ok(None);
    }
    let handshake = context.settings.upstream.mcp_timeout;
    let session = Session::open(http.clone(), connection, &context.call, patience, handshake).await?;
    let specs = allowed(connection, session.tools().await?);
    let instructions = session.instructions.clone();
    let session = Arc::new(session);
    let tools = specs.into_iter().map(|mut spec| {
        let own = text(&spec, "/name").to_owned();
        let name = offered_name(id, &own);
        spec["name"] = json!(name);
        Tool {
            name,
            id: String::new(),
            kind: Kind::Mcp,
            spec: spec.into(),
            callable: Arc::new(Remote {
                session: session.clone(),
                server: id.to_owned(),
                name: own,
            }),
        }
    });
    Ok(Some((tools.collect(), instructions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        assert_eq!(offered_name("a", "b"), "a_b");
        let (one, two) = (
            offered_name("a", &"x".repeat(80)),
            offered_name("a", &"x".repeat(81)),
        );
        assert_eq!((one.len(), two.len()), (64, 64));
        assert!(one != two && one.starts_with("a_xxx"));
    }

    #[test]
    fn structured_content_is_not_said_twice() {
        let result = |texts: Value, structured: Value| {
            let content: Vec<Value> = texts
                .as_array()
                .unwrap()
                .iter()
                .map(|text| json!({"type": "text", "text": text}))
                .collect();
            content_of(json!({"content": content, "structuredContent": structured}))
                .unwrap()
                .len()
        };
        assert_eq!(result(json!(["{\"a\": 1}"]), json!({"a": 1})), 1);
        assert_eq!(result(json!(["1", "x"]), json!({"result": [1, "x"]})), 2);
        assert_eq!(result(json!(["[1]"]), json!({"result": [1]})), 1);
        assert_eq!(result(json!(["other"]), json!({"a": 1})), 2);
        let failed = content_of(json!({"isError": true, "content": [{"type": "text", "text": "no"}]}));
        assert_eq!(failed, Err("no".to_owned()));
    }

    #[test]
    fn answers_are_told_from_questions() {
        assert_eq!(result_of(&json!({"id": 1, "result": 5}), 1), Some(Ok(json!(5))));
        assert_eq!(
            result_of(&json!({"id": 1, "error": {"message": "no"}}), 1),
            Some(Err("no".to_owned()))
        );
        assert_eq!(result_of(&json!({"id": 1, "method": "ping"}), 1), None);
        assert_eq!(result_of(&json!({"id": 2, "result": 5}), 1), None);
    }

    #[test]
    fn only_servers_that_are_on_are_found() {
        let all = json!([{"type": "mcp", "info": {"id": "a"}, "config": {"enable": true}},
            {"type": "mcp", "info": {"id": "b"}, "config": {"enable": false}}, {"type": "openapi", "info": {"id": "c"}}]);
        assert!(connection(&all, "a").is_some());
        assert!(connection(&all, "b").is_none() && connection(&all, "c").is_none());
    }
}
