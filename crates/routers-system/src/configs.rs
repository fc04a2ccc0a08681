//! Area `configs`: settings pages. A page is a list of fields; showing and saving is the same for all.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use http::Method;
use oui_config::{code, connections, features, models, ui};
use oui_core::form::{Issues, Nullable};
use oui_core::{ApiResult, Field, form};
use oui_web::body::{AnyJson, Body};
use oui_web::endpoint::endpoint;
use oui_web::pages::Page;
use oui_web::{Admin, Area, Caller, Verified, endpoints, pages};
use serde_json::{Map, Value, json};

/// One page: where it is read and saved, its fields, and what is told of a change.
struct At {
    path: &'static str,
    page: &'static Page,
    news: News,
}

/// What those who hear of events learn of a changed page.
struct News {
    event: &'static str,
    id: &'static str,
    details: fn(&Object) -> Value,
}

type Object = Map<String, Value>;

pages! {
    static CONNECTIONS = {
        ENABLE_DIRECT_CONNECTIONS: bool => connections::ENABLE_DIRECT_CONNECTIONS,
        ENABLE_DIRECT_INTEGRATIONS?: bool => connections::ENABLE_DIRECT_INTEGRATIONS,
        ENABLE_BASE_MODELS_CACHE: bool => models::ENABLE_BASE_MODELS_CACHE,
    };

    static CODE_EXECUTION = {
        ENABLE_CODE_EXECUTION: bool => code::ENABLE_CODE_EXECUTION,
        CODE_EXECUTION_ENGINE: String => code::CODE_EXECUTION_ENGINE,
        CODE_EXECUTION_JUPYTER_URL: Option<String> => code::CODE_EXECUTION_JUPYTER_URL,
        CODE_EXECUTION_JUPYTER_AUTH: Option<String> => code::CODE_EXECUTION_JUPYTER_AUTH,
        CODE_EXECUTION_JUPYTER_AUTH_TOKEN: Option<String> => code::CODE_EXECUTION_JUPYTER_AUTH_TOKEN,
        CODE_EXECUTION_JUPYTER_AUTH_PASSWORD: Option<String> => code::CODE_EXECUTION_JUPYTER_AUTH_PASSWORD,
        CODE_EXECUTION_JUPYTER_TIMEOUT: Option<i64> => code::CODE_EXECUTION_JUPYTER_TIMEOUT,
        ENABLE_CODE_INTERPRETER: bool => code::ENABLE_CODE_INTERPRETER,
        CODE_INTERPRETER_ENGINE: String => code::CODE_INTERPRETER_ENGINE,
        CODE_INTERPRETER_PROMPT_TEMPLATE: Option<String> => code::CODE_INTERPRETER_PROMPT_TEMPLATE,
        CODE_INTERPRETER_JUPYTER_URL: Option<String> => code::CODE_INTERPRETER_JUPYTER_URL,
        CODE_INTERPRETER_JUPYTER_AUTH: Option<String> => code::CODE_INTERPRETER_JUPYTER_AUTH,
        CODE_INTERPRETER_JUPYTER_AUTH_TOKEN: Option<String> => code::CODE_INTERPRETER_JUPYTER_AUTH_TOKEN,
        CODE_INTERPRETER_JUPYTER_AUTH_PASSWORD: Option<String> => code::CODE_INTERPRETER_JUPYTER_AUTH_PASSWORD,
        CODE_INTERPRETER_JUPYTER_TIMEOUT: Option<i64> => code::CODE_INTERPRETER_JUPYTER_TIMEOUT,
    };

    static MODELS = {
        DEFAULT_MODELS: Option<String> => ui::DEFAULT_MODELS,
        DEFAULT_PINNED_MODELS: Option<String> => ui::DEFAULT_PINNED_MODELS,
        MODEL_ORDER_LIST: Option<Vec<String>> => ui::MODEL_ORDER_LIST,
        DEFAULT_MODEL_METADATA: Option<Object> = Value::Null => models::DEFAULT_MODEL_METADATA,
        DEFAULT_MODEL_PARAMS: Option<Object> = Value::Null => models::DEFAULT_MODEL_PARAMS,
    };

    static SUBAGENTS = {
        ENABLE_SUBAGENTS: bool => features::ENABLE_SUBAGENTS,
        SUBAGENTS_BACKGROUND_ENABLED: bool => features::SUBAGENTS_BACKGROUND_ENABLED,
        SUBAGENTS_MAX_CONCURRENT: i64 => features::SUBAGENTS_MAX_CONCURRENT,
        SUBAGENTS_MAX_ASYNC: i64 => features::SUBAGENTS_MAX_ASYNC,
        SUBAGENTS_MAX_ITERATIONS: i64 => features::SUBAGENTS_MAX_ITERATIONS,
        SUBAGENTS_MAX_OUTPUT: i64 => features::SUBAGENTS_MAX_OUTPUT,
        SUBAGENTS_SYSTEM_PROMPT: String => features::SUBAGENTS_SYSTEM_PROMPT,
    };
}

static PAGES: &[At] = &[
    At {
        path: "/connections",
        page: &CONNECTIONS,
        news: News {
            event: "config.connections.updated",
            id: "connections",
            details: |page| Value::Object(page.clone()),
        },
    },
    At {
        path: "/code_execution",
        page: &CODE_EXECUTION,
        news: News {
            event: "config.code_execution.updated",
            id: "code_execution",
            details: |page| {
                json!({
                    "code_execution_enabled": page["ENABLE_CODE_EXECUTION"],
                    "code_execution_engine": page["CODE_EXECUTION_ENGINE"],
                    "code_interpreter_enabled": page["ENABLE_CODE_INTERPRETER"],
                    "code_interpreter_engine": page["CODE_INTERPRETER_ENGINE"],
                })
            },
        },
    },
    At {
        path: "/models",
        page: &MODELS,
        news: News {
            event: "config.models.updated",
            id: "models",
            details: |page| {
                json!({
                    "default_models": page["DEFAULT_MODELS"],
                    "default_pinned_models": page["DEFAULT_PINNED_MODELS"],
                    "model_order_count": count(&page["MODEL_ORDER_LIST"]),
                })
            },
        },
    },
    At {
        path: "/subagents",
        page: &SUBAGENTS,
        news: News {
            event: "config.updated",
            id: "subagents",
            details: |page| json!({ "enabled": page["ENABLE_SUBAGENTS"] }),
        },
    },
];

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// The tables.
pub(crate) fn areas() -> Vec<Area> {
    let mut pages = Vec::new();
    for At { path, page, news } in PAGES {
        let show = move |caller: Caller<Admin>| async move {
            Json(Value::Object(page.show(&caller.app().config.snapshot())))
        };
        let save = move |caller: Caller<Admin>, body: AnyJson| async move {
            let page = page.save(caller.app(), &body.0).await?;
            caller.tell_of(news.event, ("config", news.id), (news.details)(&page));
            ApiResult::Ok(Json(Value::Object(page)))
        };
        let name = "settings page";
        pages.push(endpoint::<Admin, _, _>(Method::GET, path, name, show));
        pages.push(endpoint::<Admin, _, _>(Method::POST, path, name, save));
    }
    vec![
        Area {
            name: "configs",
            prefixes: &["/api/v1/configs"],
            endpoints: pages,
        },
        endpoints! { "configs" at "/api/v1/configs";
            GET  "/export"                Admin    => export,
            POST "/import"                Admin    => import,
            GET  "/namespace/{namespace}" Admin    => namespace,
            POST "/interface/visibility"  Admin    => set_visibility,
            GET  "/models/defaults"       Verified => model_defaults,
            POST "/suggestions"           Admin    => set_suggestions,
            GET  "/banners"               Verified => banners,
            POST "/banners"               Admin    => set_banners,
            GET  "/tool_servers"          Admin    => tool_servers,
            POST "/tool_servers"          Admin    => set_tool_servers,
        },
    ]
}

/// Every effective value.
async fn export(caller: Caller<Admin>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let all: Map<String, Value> = config
        .iter()
        .map(|(path, value)| (path.to_owned(), value.clone()))
        .collect();
    Json(Value::Object(all))
}

form! {
    struct ImportForm {
        config: Map<String, Value>,
    }
}

async fn import(caller: Caller<Admin>, Body { form, .. }: Body<ImportForm>) -> ApiResult<Json<Value>> {
    let keys: Vec<String> = form.config.keys().cloned().collect();
    caller
        .app()
        .save_config(form.config.into_iter().collect())
        .await?;
    caller.tell("config.imported", "import", json!({ "keys": keys }));
    Ok(export(caller).await)
}

async fn namespace(caller: Caller<Admin>, Path(namespace): Path<String>) -> Json<Value> {
    let config = caller.app().config.snapshot();
    let found: Map<String, Value> = config
        .namespace(&namespace)
        .map(|(path, value)| (path.to_owned(), value.clone()))
        .collect();
    Json(Value::Object(found))
}

async fn save_one(caller: &Caller<Admin>, path: &str, value: Value) -> ApiResult<()> {
    caller
        .app()
        .save_config(BTreeMap::from([(path.to_owned(), value)]))
        .await
}

fn stored<R: oui_web::Role>(caller: &Caller<R>, path: &str) -> Value {
    caller.app().config.value(path).unwrap_or_default()
}

/// A switch that takes nothing but true and false.
#[derive(Debug, Clone, Copy)]
struct Strict(bool);

impl Field for Strict {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if input.as_bool().is_none() {
            issues.push("bool_type", "Input should be a valid boolean", input);
        }
        input.as_bool().map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

form! {
    struct VisibilityForm {
        visibility: BTreeMap<String, Strict>,
    }
}

async fn set_visibility(
    caller: Caller<Admin>,
    Body { form, .. }: Body<VisibilityForm>,
) -> ApiResult<Json<Value>> {
    let visibility: Map<String, Value> = form
        .visibility
        .into_iter()
        .map(|(name, shown)| (name, json!(shown.0)))
        .collect();
    save_one(&caller, "ui.visibility", Value::Object(visibility.clone())).await?;
    let news = json!({ "keys": ["ui.visibility"] });
    caller.tell_of("config.updated", ("config", "interface"), news);
    Ok(Json(json!({ "visibility": visibility })))
}

async fn model_defaults(caller: Caller<Verified>) -> Json<Value> {
    Json(json!({ "DEFAULT_MODEL_METADATA": stored(&caller, "models.default_metadata") }))
}

form! {
    struct Suggestion {
        title: Vec<String>,
        content: String,
    }
}

form! {
    struct SuggestionsForm {
        suggestions: Nullable<Vec<Suggestion>>,
        i18n: Option<Map<String, Value>>,
    }
}

async fn set_suggestions(
    caller: Caller<Admin>,
    Body { form, .. }: Body<SuggestionsForm>,
) -> ApiResult<Json<Value>> {
    let list = form.suggestions.0.map(|list| {
        let entry =
            |suggestion: Suggestion| json!({ "title": suggestion.title, "content": suggestion.content });
        list.into_iter().map(entry).collect::<Vec<_>>()
    });
    let changes = BTreeMap::from([
        ("ui.prompt_suggestions".to_owned(), json!(list)),
        (
            "ui.prompt_suggestions_i18n".to_owned(),
            Value::Object(form.i18n.unwrap_or_default()),
        ),
    ]);
    caller.app().save_config(changes).await?;
    let news = json!({ "count": count(&stored(&caller, "ui.prompt_suggestions")) });
    caller.tell_of(
        "config.suggestions.updated",
        ("config", "ui.prompt_suggestions"),
        news,
    );
    Ok(Json(json!({
        "suggestions": stored(&caller, "ui.prompt_suggestions"),
        "i18n": stored(&caller, "ui.prompt_suggestions_i18n"),
    })))
}

form! {
    struct Banner {
        id: String,
        kind as "type": String,
        title: Option<String>,
        content: String,
        dismissible: bool,
        timestamp: i64,
        i18n: Option<Map<String, Value>>,
    }
}

form! {
    struct BannersForm {
        banners: Vec<Banner>,
    }
}

async fn banners(caller: Caller<Verified>) -> Json<Value> {
    Json(stored(&caller, "ui.banners"))
}

async fn set_banners(caller: Caller<Admin>, Body { form, .. }: Body<BannersForm>) -> ApiResult<Json<Value>> {
    let entry = |banner: Banner| {
        json!({
            "id": banner.id, "type": banner.kind, "title": banner.title, "content": banner.content,
            "dismissible": banner.dismissible, "timestamp": banner.timestamp, "i18n": banner.i18n,
        })
    };
    let list: Vec<Value> = form.banners.into_iter().map(entry).collect();
    save_one(&caller, "ui.banners", json!(list)).await?;
    let news = json!({ "count": list.len() });
    caller.tell_of("config.banners.updated", ("config", "ui.banners"), news);
    Ok(Json(stored(&caller, "ui.banners")))
}

form! {
    struct ToolServer {
        url: String,
        path: String,
        auth_type: Nullable<String>,
        key: Nullable<String>,
        config: Nullable<Map<String, Value>>,
        ; .. pub rest
    }
}

form! {
    struct ToolServersForm {
        servers as "TOOL_SERVER_CONNECTIONS": Vec<ToolServer>,
    }
}

async fn tool_servers(caller: Caller<Admin>) -> Json<Value> {
    Json(json!({ "TOOL_SERVER_CONNECTIONS": stored(&caller, "tool_server.connections") }))
}

async fn set_tool_servers(
    caller: Caller<Admin>,
    Body { form, .. }: Body<ToolServersForm>,
) -> ApiResult<Json<Value>> {
    let entry = |server: ToolServer| {
        let mut connection = Map::new();
        connection.insert("url".into(), json!(server.url));
        connection.insert("path".into(), json!(server.path));
        connection.insert("type".into(), json!("openapi"));
        connection.insert("auth_type".into(), json!(server.auth_type.0));
        connection.insert("forward_cookies".into(), json!(false));
        connection.insert("headers".into(), Value::Null);
        connection.insert("key".into(), json!(server.key.0));
        connection.insert("config".into(), json!(server.config.0));
        connection.insert("info".into(), Value::Null);
        connection.extend(server.rest);
        Value::Object(connection)
    };
    let list: Vec<Value> = form.servers.into_iter().map(entry).collect();
    save_one(&caller, "tool_server.connections", json!(list)).await?;
    let types: Vec<&Value> = list.iter().map(|server| &server["type"]).collect();
    let news = json!({ "count": list.len(), "types": types });
    caller.tell_of(
        "config.tool_servers.updated",
        ("config", "tool_server.connections"),
        news,
    );
    Ok(tool_servers(caller).await)
}
