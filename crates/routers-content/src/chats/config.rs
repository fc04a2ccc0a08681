//! Settings page of chats: context compaction, tool approval, tool search.

use axum::Json;
use oui_config::chat as keys;
use oui_core::ApiResult;
use oui_web::body::AnyJson;
use oui_web::{Admin, App, Caller, pages};
use serde_json::{Map, Value, json};

pages! {
    /// The page.
    static PAGE = {
        CONTEXT_COMPACTION_MODEL: Option<String> = "" => keys::CONTEXT_COMPACTION_MODEL,
        ENABLE_CONTEXT_COMPACTION: bool => keys::ENABLE_CONTEXT_COMPACTION,
        CONTEXT_COMPACTION_TOKEN_THRESHOLD: Option<i64> = Value::Null => keys::CONTEXT_COMPACTION_TOKEN_THRESHOLD,
        CONTEXT_COMPACTION_TOKEN_CAP: Option<i64> = Value::Null => keys::CONTEXT_COMPACTION_TOKEN_CAP,
        CONTEXT_COMPACTION_RETENTION_PERCENTAGE: Option<i64> = Value::Null => keys::CONTEXT_COMPACTION_RETENTION_PERCENTAGE,
        CONTEXT_COMPACTION_PROMPT_TEMPLATE: String => keys::CONTEXT_COMPACTION_PROMPT_TEMPLATE,
        ENABLE_TOOL_PERMISSIONS: bool = false => keys::ENABLE_TOOL_PERMISSIONS,
        ENABLE_TOOL_SEARCH: bool = false => keys::ENABLE_TOOL_SEARCH,
        TOOL_SEARCH_DEFER_THRESHOLD: i64 = 400 => keys::TOOL_SEARCH_DEFER_THRESHOLD,
        TOOL_SEARCH_ALWAYS_LOADED: Vec<String> = Vec::<String>::new() => keys::TOOL_SEARCH_ALWAYS_LOADED,
        TOOL_SEARCH_DEFER_BUILTIN_TOOLS: bool = true => keys::TOOL_SEARCH_DEFER_BUILTIN_TOOLS,
    };
}

fn shown(app: &App) -> Json<Value> {
    let mut page = PAGE.show(&app.config.snapshot());
    let or = |page: &mut Map<String, Value>, name: &str, value: Value| {
        if page.get(name).is_none_or(Value::is_null) {
            page.insert(name.to_owned(), value);
        }
    };
    let threshold = page.get("CONTEXT_COMPACTION_TOKEN_THRESHOLD").cloned();
    or(&mut page, "CONTEXT_COMPACTION_MODEL", json!(""));
    or(
        &mut page,
        "CONTEXT_COMPACTION_TOKEN_CAP",
        threshold.unwrap_or_else(|| json!(80_000)),
    );
    or(&mut page, "CONTEXT_COMPACTION_RETENTION_PERCENTAGE", json!(40));
    Json(Value::Object(page))
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Value> {
    shown(caller.app())
}

pub(super) async fn save(caller: Caller<Admin>, AnyJson(input): AnyJson) -> ApiResult<Json<Value>> {
    let app = caller.app();
    let mut changes = PAGE.body(&input)?;
    let number = |changes: &oui_web::pages::Changes, path: &str| changes.get(path).and_then(Value::as_i64);
    let environment = &app.config;
    let paths = [
        keys::CONTEXT_COMPACTION_TOKEN_THRESHOLD.meta().path(),
        keys::CONTEXT_COMPACTION_TOKEN_CAP.meta().path(),
        keys::CONTEXT_COMPACTION_RETENTION_PERCENTAGE.meta().path(),
        keys::TOOL_SEARCH_DEFER_THRESHOLD.meta().path(),
    ];
    let threshold = number(&changes, paths[0])
        .unwrap_or_else(|| environment.environment_value(&keys::CONTEXT_COMPACTION_TOKEN_THRESHOLD))
        .max(1);
    let cap = number(&changes, paths[1])
        .filter(|cap| *cap != 0)
        .unwrap_or(threshold)
        .max(1);
    let retention = number(&changes, paths[2])
        .unwrap_or_else(|| environment.environment_value(&keys::CONTEXT_COMPACTION_RETENTION_PERCENTAGE))
        .clamp(10, 50);
    let defer = number(&changes, paths[3]).unwrap_or(0).max(0);
    for (path, value) in paths.iter().zip([threshold, cap, retention, defer]) {
        changes.insert((*path).to_owned(), value.into());
    }
    let model = changes
        .entry(keys::CONTEXT_COMPACTION_MODEL.meta().path().to_owned())
        .or_default();
    if model.is_null() {
        *model = json!("");
    }
    let loaded = changes
        .entry(keys::TOOL_SEARCH_ALWAYS_LOADED.meta().path().to_owned())
        .or_default();
    let names = loaded.as_array().into_iter().flatten().filter_map(Value::as_str);
    *loaded = names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Value::from)
        .collect();
    app.save_config(changes).await?;
    Ok(shown(app))
}
