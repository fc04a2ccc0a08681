//! The general page of the administration: who may sign up, what accounts may do, which features are on.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use axum::Json;
use oui_config::{auth, channels, features, ui, users as user_keys};
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, messages};
use oui_models::users;
use oui_web::body::AnyJson;
use oui_web::{Admin, Authenticated, Caller, pages};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::mfa::check_configuration;

const MFA_IMPOSSIBLE: &str = "Unable to update MFA policy. Check configuration and retry.";
const MFA_NEEDS_PERSON: &str = "A human administrator session is required to change MFA settings.";

pages! {
    /// The page.
    static PAGE = {
        ENABLE_MFA? by strict_switch => auth::ENABLE_MFA,
        MFA_ALLOW_OAUTH_BYPASS? by strict_switch => auth::MFA_ALLOW_OAUTH_BYPASS,
        MFA_ALLOW_TRUSTED_HEADER_BYPASS? by strict_switch => auth::MFA_ALLOW_TRUSTED_HEADER_BYPASS,
        SHOW_ADMIN_DETAILS: bool => auth::SHOW_ADMIN_DETAILS,
        ADMIN_EMAIL: Option<String> = Value::Null => auth::ADMIN_EMAIL,
        WEBUI_URL: String => ui::WEBUI_URL,
        ENABLE_LOGIN_FORM?: bool => ui::ENABLE_LOGIN_FORM,
        ENABLE_SIGNUP: bool => ui::ENABLE_SIGNUP,
        ENABLE_API_KEYS: bool => auth::ENABLE_API_KEYS,
        ENABLE_API_KEYS_ENDPOINT_RESTRICTIONS: bool => auth::ENABLE_API_KEYS_ENDPOINT_RESTRICTIONS,
        API_KEYS_ALLOWED_ENDPOINTS: String => auth::API_KEYS_ALLOWED_ENDPOINTS,
        DEFAULT_USER_ROLE: String => ui::DEFAULT_USER_ROLE,
        DEFAULT_GROUP_ID: String => ui::DEFAULT_GROUP_ID,
        DEFAULT_INTERFACE_SETTINGS by object = Value::Object(Map::new()) => ui::DEFAULT_INTERFACE_SETTINGS,
        I18N? by translations => ui::I18N,
        JWT_EXPIRES_IN: String => auth::JWT_EXPIRES_IN,
        ENABLE_COMMUNITY_SHARING: bool => ui::ENABLE_COMMUNITY_SHARING,
        ENABLE_MESSAGE_RATING: bool => ui::ENABLE_MESSAGE_RATING,
        ENABLE_FOLDERS: bool => features::ENABLE_FOLDERS,
        FOLDER_MAX_FILE_COUNT by limit = "" => features::FOLDER_MAX_FILE_COUNT,
        AUTOMATION_MAX_COUNT by limit = "" => features::AUTOMATION_MAX_COUNT,
        AUTOMATION_MIN_INTERVAL by limit = "" => features::AUTOMATION_MIN_INTERVAL,
        ENABLE_AUTOMATIONS: bool => features::ENABLE_AUTOMATIONS,
        ENABLE_CHANNELS: bool => channels::ENABLE_CHANNELS,
        ENABLE_ENCRYPTED_CHANNELS?: bool => channels::ENABLE_ENCRYPTED_CHANNELS,
        ENABLE_APPS?: bool => channels::ENABLE_APPS,
        CHANNEL_MODEL_RESPONSE_MODE: String = "thread" => channels::CHANNEL_MODEL_RESPONSE_MODE,
        ENABLE_CALENDAR: bool => features::ENABLE_CALENDAR,
        ENABLE_MEMORIES: bool => features::ENABLE_MEMORIES,
        ENABLE_MEMORY_SYSTEM_CONTEXT: bool => features::ENABLE_MEMORY_SYSTEM_CONTEXT,
        ENABLE_SKILL_LAZY_LOADING?: bool => features::ENABLE_SKILL_LAZY_LOADING,
        SKILL_CONTENT_MAX_CHARS? by positive => features::SKILL_CONTENT_MAX_CHARS,
        SKILL_PREVIEW_MAX_CHARS? by positive => features::SKILL_PREVIEW_MAX_CHARS,
        ENABLE_NOTES: bool => features::ENABLE_NOTES,
        ENABLE_USER_WEBHOOKS: bool => ui::ENABLE_USER_WEBHOOKS,
        ENABLE_USER_STATUS: bool => user_keys::ENABLE_USER_STATUS,
        PENDING_USER_OVERLAY_TITLE: Option<String> = Value::Null => ui::PENDING_USER_OVERLAY_TITLE,
        PENDING_USER_OVERLAY_CONTENT: Option<String> = Value::Null => ui::PENDING_USER_OVERLAY_CONTENT,
        RESPONSE_WATERMARK: Option<String> = Value::Null => ui::RESPONSE_WATERMARK,
    };
}

/// Values that are passed over, and the old ones kept, when they are none of these.
fn is_unknown(path: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    if path == ui::DEFAULT_USER_ROLE.path() {
        !["pending", "user", "admin"].contains(&text)
    } else if path == channels::CHANNEL_MODEL_RESPONSE_MODE.path() {
        !["thread", "channel"].contains(&text)
    } else if path == auth::JWT_EXPIRES_IN.path() {
        !is_duration(text)
    } else {
        false
    }
}

/// Whether the text is one number with a unit, or means no end.
fn is_duration(text: &str) -> bool {
    if text == "-1" || text == "0" {
        return true;
    }
    let unit = ["ms", "s", "m", "h", "d", "w"]
        .into_iter()
        .find_map(|unit| text.strip_suffix(unit));
    unit.is_some_and(|number| {
        let number = number.strip_prefix('-').unwrap_or(number);
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match number.split_once('.') {
            Some((whole, rest)) => digits(whole) && digits(rest),
            None => digits(number),
        }
    })
}

fn strict_switch(input: &Value, issues: &mut Issues) -> Option<Value> {
    if !input.is_boolean() {
        issues.push("bool_type", "Input should be a valid boolean", input);
        return None;
    }
    Some(input.clone())
}

fn object(input: &Value, issues: &mut Issues) -> Option<Value> {
    Some(Value::Object(
        Option::<Map<String, Value>>::parse(input, issues)?.unwrap_or_default(),
    ))
}

/// A limit: a number, as text too; nothing and zero mean none, which is stored as empty text.
fn limit(input: &Value, issues: &mut Issues) -> Option<Value> {
    let none = input.is_null() || input.as_str() == Some("");
    let number = if none { 0 } else { i64::parse(input, issues)? };
    Some(if number == 0 { json!("") } else { json!(number) })
}

fn positive(input: &Value, issues: &mut Issues) -> Option<Value> {
    match input.as_i64() {
        Some(number) if number > 0 => Some(json!(number)),
        None if input.is_null() => Some(Value::Null),
        Some(_) => {
            issues.push_ctx(
                "greater_than",
                "Input should be greater than 0",
                input,
                json!({ "gt": 0 }),
            );
            None
        }
        None => {
            issues.push("int_type", "Input should be a valid integer", input);
            None
        }
    }
}

/// Names that a script must not set on an object.
const UNSAFE: &[&str] = &["__proto__", "prototype", "constructor"];

/// Own texts by language and original text. Empty ones are dropped; the others must fill in the same values.
fn translations(input: &Value, issues: &mut Issues) -> Option<Value> {
    match cleaned(input) {
        Ok(texts) => Some(Value::Object(texts)),
        Err(problem) => {
            issues.push_ctx(
                "value_error",
                format!("Value error, {problem}"),
                input,
                json!({ "error": {} }),
            );
            None
        }
    }
}

fn cleaned(input: &Value) -> Result<Map<String, Value>, String> {
    let languages = input.as_object().ok_or("I18N must be a dictionary")?;
    let bad = |name: &str| name.trim().is_empty() || UNSAFE.contains(&name);
    let mut all = Map::new();
    for (language, texts) in languages {
        if bad(language) {
            return Err(format!("Invalid language: {language}"));
        }
        let texts = texts
            .as_object()
            .ok_or_else(|| format!("Invalid language: {language}"))?;
        let mut kept = Map::new();
        for (key, text) in texts {
            let Some(text) = text.as_str().filter(|_| !bad(key)) else {
                return Err(format!("Invalid translation key: {key}"));
            };
            if text.trim().is_empty() {
                continue;
            }
            if placeholders(key) != placeholders(text) {
                return Err(format!(
                    "Interpolation placeholders do not match: {language}: {key}"
                ));
            }
            kept.insert(key.clone(), text.into());
        }
        if !kept.is_empty() {
            all.insert(language.clone(), Value::Object(kept));
        }
    }
    Ok(all)
}

/// Names filled in by `{{name}}`, `{{- name}}` and `{{name, format}}`.
fn placeholders(text: &str) -> HashSet<String> {
    #[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
    static PATTERN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\{\{\s*-?\s*([^},]+)(?:,[^}]+)?\s*\}\}").expect("a pattern"));
    PATTERN
        .captures_iter(text)
        .map(|found| found[1].trim().to_owned())
        .collect()
}

pub(super) async fn show(caller: Caller<Admin>) -> Json<Map<String, Value>> {
    Json(PAGE.show(&caller.app().config.snapshot()))
}

pub(super) async fn save(
    caller: Caller<Admin>,
    AnyJson(body): AnyJson,
) -> ApiResult<Json<Map<String, Value>>> {
    let mut changes = PAGE.body(&body)?;
    changes.retain(|path, value| !is_unknown(path, value));
    let revoked = changes_second_factor(&caller, &changes).await?;
    let app = caller.app();
    if revoked {
        for user in app.save_config_and_revoke(changes).await? {
            app.emitter.disconnect_user(&user, false).await;
        }
        app.security_event("auth.mfa.policy_changed", caller.id(), None);
    } else {
        app.save_config(changes).await?;
    }
    let mut page = PAGE.show(&app.config.snapshot());
    page.insert("sessions_revoked".into(), Value::Bool(revoked));
    Ok(Json(page))
}

/// Whether the rules of the second factor change, which ends every session. Only a person may do that, and only
/// towards what this server can enforce.
async fn changes_second_factor(caller: &Caller<Admin>, changes: &BTreeMap<String, Value>) -> ApiResult<bool> {
    let keys = [
        &auth::ENABLE_MFA,
        &auth::MFA_ALLOW_OAUTH_BYPASS,
        &auth::MFA_ALLOW_TRUSTED_HEADER_BYPASS,
    ];
    let sent: Vec<_> = keys
        .into_iter()
        .filter_map(|key| Some((key, changes.get(key.path())?.as_bool()?)))
        .collect();
    if !sent.is_empty() && !caller.identity().is_human() {
        return Err(ApiError::forbidden(MFA_NEEDS_PERSON));
    }
    let config = &caller.app().config;
    let enabled = match changes.get(auth::ENABLE_MFA.path()) {
        Some(value) => value == &Value::Bool(true),
        None => config.get(&auth::ENABLE_MFA),
    };
    if !sent.is_empty()
        && let Err(error) = check_configuration(caller, enabled).await
    {
        tracing::warn!(%error, "second factors can not be asked for");
        return Err(ApiError::conflict(MFA_IMPOSSIBLE));
    }
    Ok(sent.into_iter().any(|(key, value)| config.get(key) != value))
}

/// Whom waiting users may ask.
pub(super) async fn details(caller: Caller<Authenticated>) -> ApiResult<Json<Value>> {
    let config = &caller.app().config;
    if !config.get(&auth::SHOW_ADMIN_DETAILS) {
        return Err(ApiError::bad_request(messages::ACTION_PROHIBITED));
    }
    let chosen = config.get(&auth::ADMIN_EMAIL).filter(|email| !email.is_empty());
    let admin = match &chosen {
        Some(email) => users::by_email(caller.db(), email).await?,
        None => users::first(caller.db()).await?,
    };
    let (name, email) = admin.map(|user| (user.name, user.email)).unzip();
    Ok(Json(json!({ "name": name, "email": chosen.or(email) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for good in ["4w", "-1", "0", "1.5h", "-3d", "10ms"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["forever", "", "w", "1h30m", "1.h", "4"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn translations_must_fill_in_the_same_values() {
        let good = json!({"de": {"Hi {{name}}": "Hallo {{ name }}", "Empty": " "}, "fr": {"A": ""}});
        assert_eq!(
            cleaned(&good).unwrap(),
            *json!({"de": {"Hi {{name}}": "Hallo {{ name }}"}})
                .as_object()
                .unwrap()
        );
        let odd = cleaned(&json!({"de": {"Hi {{name}}": "Hallo"}})).unwrap_err();
        assert_eq!(odd, "Interpolation placeholders do not match: de: Hi {{name}}");
        assert!(cleaned(&json!({"__proto__": {}})).is_err());
        assert!(cleaned(&json!({"de": {"a": 1}})).is_err());
        assert!(cleaned(&Value::Null).is_err());
        assert_eq!(
            placeholders("{{count, number}} {{- raw }}"),
            HashSet::from(["count".into(), "raw".into()])
        );
    }

    #[test]
    fn limits() {
        let mut issues = Issues::at("body");
        let mut read = |input: Value| limit(&input, &mut issues);
        assert_eq!(read(json!("60")), Some(json!(60)));
        assert_eq!(read(json!(0)), Some(json!("")));
        assert_eq!(read(Value::Null), Some(json!("")));
        assert_eq!(read(json!("many")), None);
    }
}
