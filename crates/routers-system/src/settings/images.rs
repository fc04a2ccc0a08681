//! The page of the administration about making and changing images.

use axum::Json;
use oui_config::{images, users};
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field};
use oui_web::body::AnyJson;
use oui_web::pages::Changes;
use oui_web::{Admin, App, Caller, pages};
use regex::Regex;
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

pages! {
    static PAGE = {
        ENABLE_IMAGE_GENERATION: bool => images::ENABLE_IMAGE_GENERATION,
        ENABLE_IMAGE_PROMPT_GENERATION: bool => images::ENABLE_IMAGE_PROMPT_GENERATION,
        IMAGE_GENERATION_ENGINE: String => images::IMAGE_GENERATION_ENGINE,
        IMAGE_GENERATION_MODEL: String => images::IMAGE_GENERATION_MODEL,
        IMAGE_SIZE: Option<String> => images::IMAGE_SIZE,
        IMAGE_STEPS: Option<i64> => images::IMAGE_STEPS,
        IMAGES_OPENAI_API_BASE_URL: String => images::IMAGES_OPENAI_API_BASE_URL,
        IMAGES_OPENAI_API_KEY: String => images::IMAGES_OPENAI_API_KEY,
        IMAGES_OPENAI_API_VERSION: String => images::IMAGES_OPENAI_API_VERSION,
        IMAGES_OPENAI_API_PARAMS by object_or_text => images::IMAGES_OPENAI_PARAMS,
        AUTOMATIC1111_BASE_URL: String => images::AUTOMATIC1111_BASE_URL,
        AUTOMATIC1111_API_AUTH by object_or_text => images::AUTOMATIC1111_API_AUTH,
        AUTOMATIC1111_PARAMS by object_or_text => images::AUTOMATIC1111_PARAMS,
        COMFYUI_BASE_URL: String => images::COMFYUI_BASE_URL,
        COMFYUI_API_KEY: String => images::COMFYUI_API_KEY,
        COMFYUI_WORKFLOW: String => images::COMFYUI_WORKFLOW,
        COMFYUI_WORKFLOW_NODES: Vec<Object> => images::COMFYUI_WORKFLOW_NODES,
        IMAGES_GEMINI_API_BASE_URL: String => images::IMAGES_GEMINI_API_BASE_URL,
        IMAGES_GEMINI_API_KEY: String => images::IMAGES_GEMINI_API_KEY,
        IMAGES_GEMINI_ENDPOINT_METHOD: String => images::IMAGES_GEMINI_ENDPOINT_METHOD,
        ENABLE_IMAGE_EDIT: bool => images::ENABLE_IMAGE_EDIT,
        IMAGE_EDIT_ENGINE: String => images::IMAGE_EDIT_ENGINE,
        IMAGE_EDIT_MODEL: String => images::IMAGE_EDIT_MODEL,
        IMAGE_EDIT_SIZE: Option<String> => images::IMAGE_EDIT_SIZE,
        IMAGES_EDIT_OPENAI_API_BASE_URL: String => images::IMAGES_EDIT_OPENAI_API_BASE_URL,
        IMAGES_EDIT_OPENAI_API_KEY: String => images::IMAGES_EDIT_OPENAI_API_KEY,
        IMAGES_EDIT_OPENAI_API_VERSION: String => images::IMAGES_EDIT_OPENAI_API_VERSION,
        IMAGES_EDIT_GEMINI_API_BASE_URL: String => images::IMAGES_EDIT_GEMINI_API_BASE_URL,
        IMAGES_EDIT_GEMINI_API_KEY: String => images::IMAGES_EDIT_GEMINI_API_KEY,
        IMAGES_EDIT_COMFYUI_BASE_URL: String => images::IMAGES_EDIT_COMFYUI_BASE_URL,
        IMAGES_EDIT_COMFYUI_API_KEY: String => images::IMAGES_EDIT_COMFYUI_API_KEY,
        IMAGES_EDIT_COMFYUI_WORKFLOW: String => images::IMAGES_EDIT_COMFYUI_WORKFLOW,
        IMAGES_EDIT_COMFYUI_WORKFLOW_NODES: Vec<Object> => images::IMAGES_EDIT_COMFYUI_WORKFLOW_NODES,
    };
}

fn object_or_text(input: &Value, issues: &mut Issues) -> Option<Value> {
    if input.is_object() || input.is_string() || input.is_null() {
        return Some(input.clone());
    }
    issues.inside("dict", |issues| Object::parse(input, issues));
    issues.inside("str", |issues| String::parse(input, issues));
    None
}

fn wrong(example: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!(
        "Invalid format. Please use the correct format  ({example})."
    ))
}

/// Two numbers with an `x` between them.
fn is_size(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit());
    text.split_once('x')
        .is_some_and(|(width, height)| number(width) && number(height))
}

/// Refuses sizes and steps that no engine takes. `auto` is for models whose names begin as the environment says.
fn check(app: &App, changes: &Changes) -> ApiResult<()> {
    let text = |path: &str| changes.get(path).and_then(Value::as_str).unwrap_or_default();
    let size = changes.get(images::IMAGE_SIZE.path()).and_then(Value::as_str);
    if size == Some("auto") {
        let pattern = &app.settings.engines.auto_size_models;
        let known = Regex::new(&format!("^(?:{pattern})")).map_err(ApiError::internal)?;
        if !known.is_match(text(images::IMAGE_GENERATION_MODEL.path())) {
            return Err(wrong(format!(
                "auto is only allowed with models matching {pattern}"
            )));
        }
    } else if !size.is_some_and(|size| size.is_empty() || is_size(size)) {
        return Err(wrong("e.g., 512x512"));
    }
    let steps = changes.get(images::IMAGE_STEPS.path()).and_then(Value::as_i64);
    if steps.is_none_or(|steps| steps < 0) {
        return Err(wrong("e.g., 50"));
    }
    Ok(())
}

fn shown(caller: &Caller<Admin>) -> Object {
    PAGE.show(&caller.app().config.snapshot())
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Value> {
    Json(Value::Object(shown(&caller)))
}

pub(super) async fn save(caller: Caller<Admin>, AnyJson(body): AnyJson) -> ApiResult<Json<Value>> {
    let mut changes = PAGE.body(&body)?;
    check(caller.app(), &changes)?;
    for path in [
        images::COMFYUI_BASE_URL.path(),
        images::IMAGES_EDIT_COMFYUI_BASE_URL.path(),
    ] {
        if let Some(Value::String(url)) = changes.get_mut(path) {
            *url = url.trim_matches('/').to_owned();
        }
    }
    caller.app().save_config(changes).await?;
    let mut page = shown(&caller);
    let news = json!({
        "image_generation_enabled": page["ENABLE_IMAGE_GENERATION"],
        "image_edit_enabled": page["ENABLE_IMAGE_EDIT"],
        "image_generation_engine": page["IMAGE_GENERATION_ENGINE"],
        "image_edit_engine": page["IMAGE_EDIT_ENGINE"],
    });
    caller.tell("config.updated", "images", news);
    let permissions = caller.app().config.value(users::USER_PERMISSIONS.path());
    page.insert("USER_PERMISSIONS".into(), json!(permissions));
    Ok(Json(Value::Object(page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_two_numbers() {
        assert!(is_size("512x512"));
        for bad in ["512", "x512", "512x", "axb", "512x512x1", ""] {
            assert!(!is_size(bad), "{bad}");
        }
    }
}
