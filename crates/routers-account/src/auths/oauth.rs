//! The page of the administration about sign-in at OAuth services, and the end of the own sessions there. Fields
//! of the page that are not sent, or are null, stay as they are.

use axum::Json;
use axum::extract::Path;
use oui_config::oauth;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field};
use oui_models::oauth_sessions;
use oui_web::body::AnyJson;
use oui_web::{Admin, Caller, Verified, pages};
use serde_json::{Map, Value, json};

pages! {
    /// The page.
    static PAGE = {
        ENABLE_OAUTH?: Option<bool> => oauth::ENABLE_OAUTH,
        ENABLE_OAUTH_SIGNUP?: Option<bool> => oauth::ENABLE_OAUTH_SIGNUP,
        OAUTH_MERGE_ACCOUNTS_BY_EMAIL?: Option<bool> => oauth::OAUTH_MERGE_ACCOUNTS_BY_EMAIL,
        OAUTH_AUTO_REDIRECT?: Option<bool> => oauth::OAUTH_AUTO_REDIRECT,
        ENABLE_OAUTH_ROLE_MANAGEMENT?: Option<bool> => oauth::ENABLE_OAUTH_ROLE_MANAGEMENT,
        ENABLE_OAUTH_GROUP_MANAGEMENT?: Option<bool> => oauth::ENABLE_OAUTH_GROUP_MANAGEMENT,
        ENABLE_OAUTH_GROUP_CREATION?: Option<bool> => oauth::ENABLE_OAUTH_GROUP_CREATION,
        OAUTH_UPDATE_EMAIL_ON_LOGIN?: Option<bool> => oauth::OAUTH_UPDATE_EMAIL_ON_LOGIN,
        OAUTH_UPDATE_NAME_ON_LOGIN?: Option<bool> => oauth::OAUTH_UPDATE_NAME_ON_LOGIN,
        OAUTH_UPDATE_PICTURE_ON_LOGIN?: Option<bool> => oauth::OAUTH_UPDATE_PICTURE_ON_LOGIN,
        OAUTH_REFRESH_TOKEN_INCLUDE_SCOPE?: Option<bool> => oauth::OAUTH_REFRESH_TOKEN_INCLUDE_SCOPE,
        OAUTH_ALLOWED_DOMAINS? by list => oauth::OAUTH_ALLOWED_DOMAINS,
        OAUTH_ADMIN_ROLES? by list => oauth::OAUTH_ADMIN_ROLES,
        OAUTH_ALLOWED_ROLES? by list => oauth::OAUTH_ALLOWED_ROLES,
        OAUTH_BLOCKED_GROUPS?: Option<String> => oauth::OAUTH_BLOCKED_GROUPS,
        OAUTH_ROLES_CLAIM?: Option<String> => oauth::OAUTH_ROLES_CLAIM,
        OAUTH_GROUP_CLAIM?: Option<String> => oauth::OAUTH_GROUPS_CLAIM,
        OAUTH_PROVIDER_NAME?: Option<String> => oauth::OAUTH_PROVIDER_NAME,
        OPENID_PROVIDER_URL?: Option<String> => oauth::OPENID_PROVIDER_URL,
        OAUTH_CLIENT_ID?: Option<String> => oauth::OAUTH_CLIENT_ID,
        OAUTH_CLIENT_SECRET?: Option<String> => oauth::OAUTH_CLIENT_SECRET,
        OPENID_REDIRECT_URI?: Option<String> => oauth::OPENID_REDIRECT_URI,
        OAUTH_SCOPES?: Option<String> => oauth::OAUTH_SCOPES,
        OAUTH_CODE_CHALLENGE_METHOD?: Option<String> => oauth::OAUTH_CODE_CHALLENGE_METHOD,
        OAUTH_TOKEN_ENDPOINT_AUTH_METHOD?: Option<String> => oauth::OAUTH_TOKEN_ENDPOINT_AUTH_METHOD,
        OPENID_END_SESSION_ENDPOINT?: Option<String> => oauth::OPENID_END_SESSION_ENDPOINT,
        OAUTH_EMAIL_CLAIM?: Option<String> => oauth::OAUTH_EMAIL_CLAIM,
        OAUTH_USERNAME_CLAIM?: Option<String> => oauth::OAUTH_USERNAME_CLAIM,
        OAUTH_PICTURE_CLAIM?: Option<String> => oauth::OAUTH_PICTURE_CLAIM,
        OAUTH_SUB_CLAIM?: Option<String> => oauth::OAUTH_SUB_CLAIM,
        OAUTH_AUDIENCE?: Option<String> => oauth::OAUTH_AUDIENCE,
        OAUTH_GROUP_DEFAULT_SHARE? by text_or_other => oauth::OAUTH_GROUP_DEFAULT_SHARE,
        OAUTH_TIMEOUT? by text_or_other => oauth::OAUTH_TIMEOUT,
        OAUTH_CLIENT_TIMEOUT? by text_or_other => oauth::OAUTH_CLIENT_TIMEOUT,
    };
}

/// Texts separated by commas, stored as a list.
fn list(input: &Value, issues: &mut Issues) -> Option<Value> {
    let text = Option::<String>::parse(input, issues)?;
    Some(text.map_or(Value::Null, |text| {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect::<Value>()
    }))
}

/// A text, or a switch or number as it came.
fn text_or_other(input: &Value, issues: &mut Issues) -> Option<Value> {
    if input.is_array() || input.is_object() {
        issues.push("string_type", "Input should be a valid string", input);
        return None;
    }
    Some(input.clone())
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Map<String, Value>> {
    let app = caller.app();
    let mut page = PAGE.show(&app.config.snapshot());
    for (name, value) in &mut page {
        let Some(items) = value.as_array() else { continue };
        *value = if name == "OAUTH_BLOCKED_GROUPS" {
            // Group names and patterns may hold commas.
            Value::from(value.to_string())
        } else {
            let texts: Vec<String> = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect();
            Value::from(texts.join(","))
        };
    }
    page.insert(
        "ENABLE_OAUTH_PERSISTENT_CONFIG".into(),
        json!(app.settings.persistence.oauth),
    );
    Json(page)
}

pub(super) async fn save(
    caller: Caller<Admin>,
    AnyJson(body): AnyJson,
) -> ApiResult<Json<Map<String, Value>>> {
    let mut changes = PAGE.body(&body)?;
    changes.retain(|_, value| !value.is_null());
    caller.app().save_config(changes).await?;
    Ok(show(caller).await)
}

pub(super) async fn forget(caller: Caller<Verified>, Path(provider): Path<String>) -> ApiResult<Json<bool>> {
    if oauth_sessions::remove(caller.db(), caller.id(), &provider).await? {
        return Ok(Json(true));
    }
    Err(ApiError::not_found("No OAuth session found for this provider"))
}
