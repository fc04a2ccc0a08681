//! Area `tasks`: the settings of the small jobs around a reply, and the jobs that clients ask for by themselves.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use oui_chat::TaskKind;
use oui_config::task as keys;
use oui_core::{ApiError, ApiResult, messages};
use oui_web::body::{AnyJson, ObjectBody};
use oui_web::settings::{self, Setting};
use oui_web::{Admin, Area, Caller, Verified, endpoints};
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

static PAGE: &[Setting] = &[
    Setting::of::<Option<String>>("TASK_MODEL", keys::TASK_MODEL.meta()),
    Setting::of::<Option<String>>("TASK_MODEL_EXTERNAL", keys::TASK_MODEL_EXTERNAL.meta()),
    Setting::read_by("TASK_MODEL_PARAMS", keys::TASK_MODEL_PARAMS.meta(), model_params)
        .or(oui_config::Literal::Null),
    Setting::of::<bool>("ENABLE_TITLE_GENERATION", keys::ENABLE_TITLE_GENERATION.meta()),
    Setting::of::<String>(
        "TITLE_GENERATION_PROMPT_TEMPLATE",
        keys::TITLE_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<String>(
        "IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE",
        keys::IMAGE_PROMPT_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<bool>(
        "ENABLE_AUTOCOMPLETE_GENERATION",
        keys::ENABLE_AUTOCOMPLETE_GENERATION.meta(),
    ),
    Setting::read_by(
        "AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH",
        keys::AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH.meta(),
        input_limit,
    )
    .or(oui_config::Literal::Int(-1)),
    Setting::of::<String>(
        "AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE",
        keys::AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<String>(
        "TAGS_GENERATION_PROMPT_TEMPLATE",
        keys::TAGS_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<String>(
        "FOLLOW_UP_GENERATION_PROMPT_TEMPLATE",
        keys::FOLLOW_UP_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<bool>(
        "ENABLE_FOLLOW_UP_GENERATION",
        keys::ENABLE_FOLLOW_UP_GENERATION.meta(),
    ),
    Setting::of::<bool>("ENABLE_TAGS_GENERATION", keys::ENABLE_TAGS_GENERATION.meta()),
    Setting::of::<bool>(
        "ENABLE_SEARCH_QUERY_GENERATION",
        keys::ENABLE_SEARCH_QUERY_GENERATION.meta(),
    ),
    Setting::of::<bool>(
        "ENABLE_RETRIEVAL_QUERY_GENERATION",
        keys::ENABLE_RETRIEVAL_QUERY_GENERATION.meta(),
    ),
    Setting::of::<String>(
        "QUERY_GENERATION_PROMPT_TEMPLATE",
        keys::QUERY_GENERATION_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<String>(
        "TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE",
        keys::TOOLS_FUNCTION_CALLING_PROMPT_TEMPLATE.meta(),
    ),
    Setting::of::<bool>("ENABLE_VOICE_MODE_PROMPT", keys::ENABLE_VOICE_MODE_PROMPT.meta()),
    Setting::of::<Option<String>>(
        "VOICE_MODE_PROMPT_TEMPLATE",
        keys::VOICE_MODE_PROMPT_TEMPLATE.meta(),
    ),
];

fn model_params(input: &Value, issues: &mut oui_core::form::Issues) -> Option<Value> {
    <Option<Map<String, Value>> as oui_core::Field>::parse(input, issues).map(|params| json!(params))
}

/// A missing limit is none.
fn input_limit(input: &Value, issues: &mut oui_core::form::Issues) -> Option<Value> {
    <Option<i64> as oui_core::Field>::parse(input, issues).map(|limit| json!(limit.unwrap_or(-1)))
}

async fn config(caller: Caller<Verified>) -> Json<Value> {
    Json(Value::Object(settings::show(&caller.app().config, PAGE)))
}

async fn update_config(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let changes = settings::read(PAGE, &body)?;
    caller.app().save_config(changes).await?;
    Ok(Json(Value::Object(settings::show(&caller.app().config, PAGE))))
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
        return Err(ApiError::not_found(messages::model_not_found("")));
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
