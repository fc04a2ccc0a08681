//! Area `tasks`: the settings of the small jobs around a reply, and the jobs that clients ask for by themselves.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use oui_chat::TaskKind;
use oui_config::task as keys;
use oui_core::{ApiError, ApiResult};
use oui_web::body::{AnyJson, ObjectBody};
use oui_web::{Admin, Area, Caller, Verified, endpoints, pages};
use serde_json::{Map, Value, json};

use crate::request;

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "tasks" at "/api/v1/tasks";
        GET  "/config"                    Verified => config,
        POST "/config/update"             Admin    => update_config,
        POST "/title/completions"         Verified => title,
        POST "/follow_up/completions"     Verified => follow_ups,
        POST "/tags/completions"          Verified => tags,
        POST "/image_prompt/completions"  Verified => image_prompt,
        POST "/queries/completions"       Verified => queries,
        POST "/auto/completions"          Verified => autocomplete,
        POST "/emoji/completions"         Verified => emoji,
        POST "/moa/completions"           Verified => merge,
    }
}

pages! {
    /// The page.
    static PAGE = {
        TASK_MODEL: Option<String> => keys::TASK_MODEL,
        TASK_MODEL_EXTERNAL: Option<String> => keys::TASK_MODEL_EXTERNAL,
        TASK_MODEL_PARAMS by model_params = Value::Null => keys::TASK_MODEL_PARAMS,
        ENABLE_TITLE_GENERATION: bool => keys::ENABLE_TITLE_GENERATION,
        TITLE_GENERATION_PROMPT_TEMPLATE: String => keys::TITLE_GENERATION_PROMPT_TEMPLATE,
        IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE: String => keys::IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE,
        ENABLE_AUTOCOMPLETE_GENERATION: bool => keys::ENABLE_AUTOCOMPLETE_GENERATION,
        AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH by input_limit = -1 => keys::AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH,
        AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE: String => keys::AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE,
        TAGS_GENERATION_PROMPT_TEMPLATE: String => keys::TAGS_GENERATION_PROMPT_TEMPLATE,
        FOLLOW_UP_GENERATION_PROMPT_TEMPLATE: String => keys::FOLLOW_UP_GENERATION_PROMPT_TEMPLATE,
        ENABLE_FOLLOW_UP_GENERATION: bool => keys::ENABLE_FOLLOW_UP_GENERATION,
        ENABLE_TAGS_GENERATION: bool => keys::ENABLE_TAGS_GENERATION,
        ENABLE_SEARCH_QUERY_GENERATION: bool => keys::ENABLE_SEARCH_QUERY_GENERATION,
        ENABLE_RETRIEVAL_QUERY_GENERATION: bool => keys::ENABLE_RETRIEVAL_QUERY_GENERATION,
        QUERY_GENERATION_PROMPT_TEMPLATE: String => keys::QUERY_GENERATION_PROMPT_TEMPLATE,
        TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE: String => keys::TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE,
        ENABLE_VOICE_MODE_PROMPT: bool => keys::ENABLE_VOICE_MODE_PROMPT,
        VOICE_MODE_PROMPT_TEMPLATE: Option<String> => keys::VOICE_MODE_PROMPT_TEMPLATE,
    };
}

fn model_params(input: &Value, issues: &mut oui_core::form::Issues) -> Option<Value> {
    <Option<Map<String, Value>> as oui_core::Field>::parse(input, issues).map(|params| json!(params))
}

/// A missing limit is none.
fn input_limit(input: &Value, issues: &mut oui_core::form::Issues) -> Option<Value> {
    <Option<i64> as oui_core::Field>::parse(input, issues).map(|limit| json!(limit.unwrap_or(-1)))
}

async fn config(caller: Caller<Verified>) -> Json<Value> {
    Json(Value::Object(PAGE.show(&caller.app().config.snapshot())))
}

async fn update_config(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let changes = PAGE.body(&body)?;
    caller.app().save_config(changes).await?;
    Ok(Json(Value::Object(PAGE.show(&caller.app().config.snapshot()))))
}

/// Answers a client whose administrator has switched the job off.
fn switched_off(what: &str) -> Response {
    (
        StatusCode::OK,
        Json(json!({ "detail": format!("{what} is disabled") })),
    )
        .into_response()
}

async fn run(
    caller: &Caller<Verified>,
    headers: &HeaderMap,
    kind: TaskKind,
    form: &Map<String, Value>,
) -> ApiResult<Response> {
    if !form.contains_key("model") {
        // The reference reads it without looking whether it is there.
        return Err(ApiError::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error".to_owned(),
        ));
    }
    let user = request::run_user(caller, headers).await?;
    Ok(request::reply(
        caller.app().chat.generate(kind, &user, form).await?,
    ))
}

async fn title(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    if !caller.app().config.get(&keys::ENABLE_TITLE_GENERATION) {
        return Ok(switched_off("Title generation"));
    }
    run(&caller, &headers, TaskKind::Title, &form).await
}

async fn follow_ups(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    if !caller.app().config.get(&keys::ENABLE_FOLLOW_UP_GENERATION) {
        return Ok(switched_off("Follow-up generation"));
    }
    run(&caller, &headers, TaskKind::FollowUps, &form).await
}

async fn tags(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    if !caller.app().config.get(&keys::ENABLE_TAGS_GENERATION) {
        return Ok(switched_off("Tags generation"));
    }
    run(&caller, &headers, TaskKind::Tags, &form).await
}

async fn image_prompt(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    run(&caller, &headers, TaskKind::ImagePrompt, &form).await
}

async fn queries(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    let config = &caller.app().config;
    let (enabled, what) = match form.get("type").and_then(Value::as_str) {
        Some("web_search") => (
            config.get(&keys::ENABLE_SEARCH_QUERY_GENERATION),
            "Search query generation",
        ),
        Some("retrieval") => (
            config.get(&keys::ENABLE_RETRIEVAL_QUERY_GENERATION),
            "Query generation",
        ),
        _ => (true, ""),
    };
    if !enabled {
        return Err(ApiError::bad_request(format!("{what} is disabled")));
    }
    run(&caller, &headers, TaskKind::Queries, &form).await
}

async fn autocomplete(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    let config = &caller.app().config;
    if !config.get(&keys::ENABLE_AUTOCOMPLETE_GENERATION) {
        return Err(ApiError::bad_request("Autocompletion generation is disabled"));
    }
    let limit = config.get(&keys::AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH);
    let length = form
        .get("prompt")
        .and_then(Value::as_str)
        .map_or(0, |prompt| prompt.chars().count());
    if limit > 0 && i64::try_from(length).unwrap_or(i64::MAX) > limit {
        return Err(ApiError::bad_request(format!(
            "Input prompt exceeds maximum length of {limit}"
        )));
    }
    run(&caller, &headers, TaskKind::Autocomplete, &form).await
}

async fn emoji(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    run(&caller, &headers, TaskKind::Emoji, &form).await
}

async fn merge(
    caller: Caller<Verified>,
    headers: HeaderMap,
    ObjectBody(form): ObjectBody,
) -> ApiResult<Response> {
    run(&caller, &headers, TaskKind::Merge, &form).await
}
