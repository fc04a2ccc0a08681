//! Which tools a run offers to its model: workspace tools, tool servers and the built-in ones, each where
//! configuration, model and account allow it; and what is told to the model about them.

use std::sync::Arc;
use std::time::Duration;

use oui_core::ApiResult;
use oui_models::{folders, groups, knowledge, shared::Reader};
use oui_plugins::builtin::{self, Offer};
use oui_plugins::{Schedules, ToolContext, Toolbox, direct, mcp, tool_search};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::catalogue::Model;
use crate::emit::{ChatEmitter, ToolReporter};
use crate::engine::Engine;
use crate::errands;
use crate::recurrence;
use crate::scene;
use crate::turn::{Choices, Object, Turn};

/// Schedules as [`recurrence`] reads them.
struct Rules;

impl Schedules for Rules {
    fn check(&self, rule: &str, zone: Option<&str>, now: i64) -> Result<(), String> {
        recurrence::check_schedule(rule, zone, now)
    }

    fn next(&self, rule: &str, zone: Option<&str>, now: i64, count: u16) -> Result<Vec<i64>, String> {
        recurrence::next_runs(rule, zone, now, count)
    }

    fn interval(&self, rule: &str, now: i64) -> Result<Option<i64>, String> {
        recurrence::interval_seconds(rule, now)
    }
}

/// The tools of one run.
pub(crate) struct Tooling {
    /// By name.
    pub(crate) tools: Toolbox,
    /// What calls get to see.
    pub(crate) context: Arc<ToolContext>,
    /// Whether the user is asked before a tool runs.
    pub(crate) asks: bool,
    /// Whether the model calls tools itself; else it is asked beforehand which ones to call.
    pub(crate) native: bool,
    /// Rounds of calls in one reply; `None` means no limit.
    pub(crate) rounds: Option<usize>,
    /// Whether code in the reply is run, which is how it is done by models that call no tools.
    pub(crate) runs_code: bool,
    /// Tools whose specifications the model looks up before it calls them.
    pub(crate) deferred: Vec<String>,
    /// What is added to the system message.
    pub(crate) prompts: Vec<String>,
}

/// How tools are called, after the request, the model and the server have had their say in this order.
pub(crate) fn is_native(params: &Object) -> bool {
    params.get("function_calling").and_then(Value::as_str) != Some("legacy")
}

/// Whether the user is asked before a tool runs. Nobody can be asked by an automation.
fn asks(engine: &Engine, turn: &Turn, params: &Object) -> bool {
    engine.config.get(&oui_config::chat::ENABLE_TOOL_PERMISSIONS)
        && !turn.choices.automated
        && params.get("tool_approval_mode").and_then(Value::as_str) == Some("ask")
}

/// Whether the model may have code run.
fn may_run_code(turn: &Turn, meta: &Value, context: &ToolContext) -> bool {
    let offer = Offer {
        meta,
        features: &Value::Object(turn.choices.features.clone()),
        internal: turn.internal.is_some(),
    };
    builtin::offers_code(context, &offer)
}

/// The parameters of a run that are kept on a message that waits.
fn kept_params(tooling: &Tooling, choices: &Choices, params: &Object) -> Value {
    let given = |name: &str| params.get(name).cloned().unwrap_or_default();
    json!({
        "stream_delta_chunk_size": given("stream_delta_chunk_size"),
        "reasoning_tags": given("reasoning_tags"),
        "compact_token_threshold": given("compact_token_threshold"),
        "function_calling": if tooling.native { given("function_calling").as_str().unwrap_or("native").to_owned() } else { "legacy".to_owned() },
        "tool_approval_mode": if tooling.asks { "ask" } else { "full" },
        "model_controls": choices.model_controls,
    })
}

/// Resolves the tools of a run. `params` are the merged parameters, `files` the attachments.
pub(crate) async fn resolve(
    engine: &Engine,
    turn: &Turn,
    model: &Model,
    params: &Object,
    message_id: Option<&str>,
    emitter: &ChatEmitter,
    files: &[Value],
) -> ApiResult<Tooling> {
    let user = turn.user.user.clone();
    let native = is_native(params);
    let meta = model.meta().cloned().map(Value::Object).unwrap_or_default();
    let knowledge = attached(engine, turn, model, &meta, native, files).await?;
    let limit: Option<Duration> = engine.settings.websocket.call_timeout;
    let context = Arc::new(ToolContext {
        db: engine.db.clone(),
        config: engine.config.clone(),
        settings: engine.settings.clone(),
        emitter: engine.emitter.clone(),
        reporter: Arc::new(ToolReporter {
            emitter: emitter.clone(),
            db: engine.db.clone(),
            limit,
        }),
        schedules: Arc::new(Rules),
        retrieval: engine.retrieval.clone(),
        web: engine.web.clone(),
        pages: engine.pages.clone(),
        attachments: files.to_vec(),
        permissions: engine.auth.permissions_of(&user.id).await?,
        membership: groups::membership(&engine.db, &user.id).await?,
        user,
        chat_id: turn.chat.saved().map(str::to_owned),
        message_id: message_id.map(str::to_owned),
        session_id: turn.session_id.clone(),
        call: turn.call_context(message_id),
        model_id: model.id.clone(),
        knowledge,
        files: engine.files.get().cloned(),
        pictures: Mutex::default(),
        python: engine.python.clone(),
        scene: Arc::new(scene::of_run(engine, turn, model, params, message_id)),
        messages: Mutex::default(),
        notifier: engine.notifier.get().cloned(),
        errands: errands::of_run(engine, turn, model, message_id),
        notices: engine.notices(),
    });
    let mut tooling = Tooling {
        tools: Toolbox::default(),
        asks: asks(engine, turn, params),
        native,
        rounds: match turn.internal {
            Some(internal) => Some(internal.rounds),
            None => engine
                .settings
                .chat
                .tool_rounds
                .map(|rounds| usize::try_from(rounds).unwrap_or_default()),
        },
        runs_code: false,
        deferred: Vec::new(),
        prompts: Vec::new(),
        context,
    };
    tooling.runs_code = !native && may_run_code(turn, &meta, &tooling.context);
    if !turn.choices.own_tools {
        for tool_id in &turn.choices.tool_ids {
            tooling.add_chosen(engine, tool_id, emitter).await?;
        }
        tooling.add_servers(engine, turn);
        tooling.add_builtin(turn, model, &meta);
    }
    Ok(tooling)
}

impl Tooling {
    /// The tools behind one id that was chosen: a server of one of two kinds, or a workspace tool.
    async fn add_chosen(&mut self, engine: &Engine, tool_id: &str, emitter: &ChatEmitter) -> ApiResult<()> {
        let plugins = &engine.settings.plugins;
        let allowed = if tool_id.starts_with("server:") {
            plugins.tool_servers()
        } else {
            plugins.tools()
        };
        if !allowed {
            return Ok(());
        }
        if let Some(server) = tool_id.strip_prefix("server:mcp:") {
            self.add_mcp(engine, server, emitter).await;
            return Ok(());
        }
        let tools = if tool_id.starts_with("server:") {
            engine.tool_servers.tools(tool_id, &self.context).await
        } else {
            oui_plugins::python::tools::of(tool_id, &self.context).await?
        };
        tools.into_iter().for_each(|tool| self.tools.add(tool));
        Ok(())
    }

    /// The tools of an MCP server. One that cannot be reached is told of, and the reply is given without it.
    async fn add_mcp(&mut self, engine: &Engine, server: &str, emitter: &ChatEmitter) {
        let (http, patience) = engine.tool_servers.reach();
        match mcp::tools(http, patience, server, &self.context).await {
            Ok(None) => {}
            Ok(Some((tools, instructions))) => {
                if let Some(instructions) = instructions {
                    let name = json!(server);
                    self.prompts.push(format!(
                        "What the MCP server {name} says of its tools:\n{instructions}"
                    ));
                }
                tools.into_iter().for_each(|tool| self.tools.put(tool));
            }
            Err(error) => {
                tracing::error!(server, error, "an MCP server cannot be used");
                let status = json!({
                    "action": "tool_connection", "error": true, "done": true,
                    "description": format!("Failed to connect to MCP server '{server}'"),
                });
                let event = json!({ "type": "status", "data": status });
                emitter.relay(&event).await;
                emitter.keep(&engine.db, &event).await;
            }
        }
    }

    /// Servers that only the browser reaches, where users may bring their own.
    fn add_servers(&mut self, engine: &Engine, turn: &Turn) {
        let allowed = engine.settings.plugins.tool_servers()
            && engine
                .config
                .get(&oui_config::connections::ENABLE_DIRECT_INTEGRATIONS)
            && self.context.may("features.direct_tool_servers");
        if !allowed {
            return;
        }
        for server in &turn.choices.tool_servers {
            let prompt = server.get("system_prompt").and_then(Value::as_str);
            self.prompts
                .extend(prompt.filter(|prompt| !prompt.is_empty()).map(str::to_owned));
            direct::tools(server)
                .into_iter()
                .for_each(|tool| self.tools.put(tool));
        }
    }

    /// Built-in tools, for people in front of a browser: other clients do not expect tools that they did not name.
    fn add_builtin(&mut self, turn: &Turn, model: &Model, meta: &Value) {
        let wanted = turn.session_id.is_some() && self.native && model.capability("builtin_tools", true);
        if !wanted {
            return;
        }
        let features = Value::Object(turn.choices.features.clone());
        let offer = Offer {
            meta,
            features: &features,
            internal: turn.internal.is_some(),
        };
        if offer.category("knowledge") && !self.context.knowledge.is_empty() {
            self.prompts.push(knowledge_tags(&self.context.knowledge));
        }
        for tool in builtin::tools(&self.context, &offer) {
            self.tools.add_missing(tool);
        }
    }

    /// Leaves out of the request what is too long for it, and lets the model look it up. `others` are tools that
    /// nobody here runs.
    pub(crate) fn defer(&mut self, engine: &Engine, others: &[Value]) {
        let config = &engine.config;
        if !self.native || !config.get(&oui_config::chat::ENABLE_TOOL_SEARCH) {
            return;
        }
        let reserved = |name: &str| name == tool_search::SEARCH || name == tool_search::CALL;
        let others = others
            .iter()
            .filter_map(|tool| tool.get("function").unwrap_or(tool)["name"].as_str());
        if self
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .chain(others)
            .any(reserved)
        {
            return;
        }
        let rule = tool_search::Rule {
            threshold: config.get(&oui_config::chat::TOOL_SEARCH_DEFER_THRESHOLD),
            always_loaded: config.get(&oui_config::chat::TOOL_SEARCH_ALWAYS_LOADED),
            builtin: config.get(&oui_config::chat::TOOL_SEARCH_DEFER_BUILTIN_TOOLS),
        };
        self.deferred = rule.deferred(&self.tools);
        if !self.deferred.is_empty() {
            self.prompts
                .push(tool_search::manifest(&self.tools, &self.deferred));
            for tool in tool_search::tools(&self.tools, &self.deferred) {
                self.tools.put(tool);
            }
        }
    }

    /// The tools as the request lists them.
    pub(crate) fn to_request(&self) -> Vec<Value> {
        let shown = self
            .tools
            .iter()
            .filter(|tool| !self.deferred.contains(&tool.name));
        shown.map(oui_plugins::Tool::to_request).collect()
    }
}

/// What the model was given to answer from: by its settings, for models that call tools by the folder, and by the
/// chat where nothing is looked up for the model. Of a browser's own model only what the user may read counts.
async fn attached(
    engine: &Engine,
    turn: &Turn,
    model: &Model,
    meta: &Value,
    native: bool,
    files: &[Value],
) -> ApiResult<Vec<Value>> {
    let mut of_model = meta
        .get("knowledge")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if model.is_direct() {
        of_model = oui_models::folder_files::readable(&engine.db, &of_model, &turn.user.user).await?;
    }
    let of_folder = if native {
        folder_files(engine, turn).await?
    } else {
        Vec::new()
    };
    let mut of_chat = Vec::new();
    if !model.capability("file_context", true) {
        let kinds = [json!("collection"), json!("note")];
        let named = files.iter().filter(|file| kinds.contains(&file["type"]));
        of_chat.extend(
            named.map(|file| json!({ "type": file["type"], "id": file["id"], "name": file["name"] })),
        );
    }
    let sources = [("model", of_model), ("folder", of_folder), ("chat", of_chat)];
    let mut items: Vec<Value> = Vec::new();
    for (source, given) in sources {
        for mut item in given {
            let named = ["type", "id"]
                .iter()
                .all(|name| item.get(*name).is_some_and(Value::is_string));
            let known = |other: &Value| other["type"] == item["type"] && other["id"] == item["id"];
            if named && !items.iter().any(known) {
                item["source"] = json!(source);
                items.push(item);
            }
        }
    }
    Ok(items)
}

/// Files of the folder that its owner may still read.
async fn folder_files(engine: &Engine, turn: &Turn) -> ApiResult<Vec<Value>> {
    let Some(folder_id) = engine.folder_of(turn).await? else {
        return Ok(Vec::new());
    };
    let Some(folder) = folders::by_id(&engine.db, &folder_id).await? else {
        return Ok(Vec::new());
    };
    let user = &turn.user.user;
    if user.role != oui_access::ADMIN && !folders::may_read(&engine.db, &folder, &user.id).await? {
        return Ok(Vec::new());
    }
    let files = folder
        .data
        .as_ref()
        .and_then(|data| data.get("files")?.as_array());
    let owner_id = folder.user_id.clone();
    let membership = groups::membership(&engine.db, &owner_id).await?;
    let owner = Reader {
        user_id: &owner_id,
        membership: &membership,
        sees_all: false,
    };
    let mut readable = Vec::new();
    for file in files.into_iter().flatten() {
        let id = file["id"].as_str().unwrap_or_default();
        let hidden = file["type"] == "file"
            && knowledge::readable_file(&engine.db, id, false, owner)
                .await?
                .is_none();
        if !hidden {
            readable.push(file.clone());
        }
    }
    Ok(readable)
}

/// What the model is told of attached knowledge.
fn knowledge_tags(items: &[Value]) -> String {
    let mut tags = String::from("<attached_knowledge>\n");
    for item in items {
        tags.push_str("<knowledge");
        for name in ["type", "id", "name", "source"] {
            if let Some(value) = item
                .get(name)
                .and_then(Value::as_str)
                .filter(|value| !value.is_empty())
            {
                tags.push_str(&format!(" {name}=\"{}\"", escaped(value)));
            }
        }
        tags.push_str("/>\n");
    }
    tags.push_str("</attached_knowledge>");
    tags
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The fields that are kept on a message while it waits for the user.
pub(crate) fn waiting_meta(
    tooling: &Tooling,
    turn: &Turn,
    choices: &Choices,
    params: &Object,
) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("session_id".into(), json!(turn.session_id));
    meta.extend(choices.to_meta());
    meta.insert(
        "variables".into(),
        json!(turn.variables.clone().unwrap_or_default()),
    );
    meta.insert("files".into(), turn.files.clone().unwrap_or_else(|| json!([])));
    meta.insert("params".into(), kept_params(tooling, choices, params));
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_word_means_the_older_way() {
        let params = |value: Value| json!({ "function_calling": value }).as_object().cloned().unwrap();
        assert!(
            is_native(&Object::new())
                && is_native(&params(json!("native")))
                && is_native(&params(json!("x")))
        );
        assert!(!is_native(&params(json!("legacy"))));
    }

    #[test]
    fn knowledge_is_told_in_tags() {
        let tags =
            knowledge_tags(&[json!({"type": "file", "id": "f", "name": "A \"b\"", "source": "model"})]);
        assert!(
            tags.contains("<knowledge type=\"file\" id=\"f\" name=\"A &quot;b&quot;\" source=\"model\"/>")
        );
    }
}
