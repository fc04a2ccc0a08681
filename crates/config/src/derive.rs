//! Values that the original computes from several variables, and the checks of larger JSON values.
//!
//! Each rule is named by a key in `keys/*`. Variables that only feed such rules and are no key of their own
//! are listed in [`INPUTS`], so that the documents know them. Provider addresses are in `providers`.

use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::python;

/// A variable that feeds defaults of other keys.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) secret: bool,
    pub(crate) doc: &'static str,
}

const fn input(name: &'static str, default: &'static str, doc: &'static str) -> Input {
    Input {
        name,
        default,
        secret: false,
        doc,
    }
}

const fn secret(name: &'static str, doc: &'static str) -> Input {
    Input {
        name,
        default: "",
        secret: true,
        doc,
    }
}

/// Variables that only set defaults of keys.
pub(crate) static INPUTS: &[Input] = &[
    input(
        "OPENAI_API_BASE_URL",
        "https://api.openai.com/v1",
        "Used while `OPENAI_API_BASE_URLS` is empty.",
    ),
    secret("OPENAI_API_KEY", "Used while `OPENAI_API_KEYS` is empty."),
    input("OLLAMA_BASE_URL", "", "Used while `OLLAMA_BASE_URLS` is empty."),
    input(
        "OLLAMA_API_BASE_URL",
        "http://localhost:11434/api",
        "Older form of `OLLAMA_BASE_URL`, with `/api` at the end.",
    ),
    input(
        "USE_OLLAMA_DOCKER",
        "false",
        "With `ENV=prod`: an Ollama server runs in the same container.",
    ),
    input(
        "K8S_FLAG",
        "",
        "With `ENV=prod`: Ollama is reached by its Kubernetes service name.",
    ),
    input("GEMINI_API_BASE_URL", "", "Default address of Gemini for images."),
    secret("GEMINI_API_KEY", "Default key of Gemini for images."),
    input(
        "ONEDRIVE_CLIENT_ID",
        "",
        "Client of the OneDrive picker for both kinds of accounts.",
    ),
    input(
        "OAUTH_ROLES_SEPARATOR",
        ",",
        "Separates roles in `OAUTH_ALLOWED_ROLES` and `OAUTH_ADMIN_ROLES`.",
    ),
];

/// Sign-up is off while sign-in itself is off.
pub(crate) fn enable_signup(environment: &Environment) -> Result<Value, String> {
    Ok((environment.flag("WEBUI_AUTH", true) && environment.flag("ENABLE_SIGNUP", true)).into())
}

/// Languages are not trimmed.
pub(crate) fn youtube_languages(environment: &Environment) -> Result<Value, String> {
    let text = environment.get("YOUTUBE_LOADER_LANGUAGE").unwrap_or("en");
    Ok(text.split(',').map(Value::from).collect::<Vec<_>>().into())
}

/// Domains are trimmed; empty ones stay.
pub(crate) fn oauth_allowed_domains(environment: &Environment) -> Result<Value, String> {
    Ok(python::items_with_blanks(environment.get("OAUTH_ALLOWED_DOMAINS").unwrap_or("*"), ',').into())
}

/// Roles that may sign in.
pub(crate) fn oauth_allowed_roles(environment: &Environment) -> Result<Value, String> {
    let separator = roles_separator(environment)?;
    let default = format!("user{separator}admin");
    Ok(roles(
        environment.get("OAUTH_ALLOWED_ROLES").unwrap_or(&default),
        separator,
    ))
}

/// Roles that make an administrator.
pub(crate) fn oauth_admin_roles(environment: &Environment) -> Result<Value, String> {
    let separator = roles_separator(environment)?;
    Ok(roles(
        environment.get("OAUTH_ADMIN_ROLES").unwrap_or("admin"),
        separator,
    ))
}

fn roles_separator(environment: &Environment) -> Result<&str, String> {
    let separator = environment.get("OAUTH_ROLES_SEPARATOR").unwrap_or(",");
    if separator.is_empty() {
        return Err("cannot be split because OAUTH_ROLES_SEPARATOR is empty".to_owned());
    }
    Ok(separator)
}

fn roles(text: &str, separator: &str) -> Value {
    let roles = text.split(separator).filter(|role| !role.is_empty());
    roles
        .map(|role| Value::from(role.trim()))
        .collect::<Vec<_>>()
        .into()
}

/// `true`, `false` or the word `members`.
pub(crate) fn oauth_group_share(environment: &Environment) -> Result<Value, String> {
    let text = environment
        .get("OAUTH_GROUP_DEFAULT_SHARE")
        .unwrap_or("true")
        .trim()
        .to_lowercase();
    Ok(if text == "members" {
        text.into()
    } else {
        (text == "true").into()
    })
}

/// Refuses what is not a JSON object.
pub(crate) fn object(value: Value) -> Result<Value, String> {
    if value.is_object() {
        Ok(value)
    } else {
        Err("is not a JSON object".to_owned())
    }
}

/// Refuses what is not a list of objects.
pub(crate) fn objects(value: Value) -> Result<Value, String> {
    let fits = value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_object));
    if fits {
        Ok(value)
    } else {
        Err("is not a JSON list of objects".to_owned())
    }
}

/// Refuses what is not an object of true and false.
pub(crate) fn switches(value: Value) -> Result<Value, String> {
    let fits = value
        .as_object()
        .is_some_and(|fields| fields.values().all(Value::is_boolean));
    if fits {
        Ok(value)
    } else {
        Err("is not a JSON object of true and false".to_owned())
    }
}

/// Brings banners into their stored form; one wrong banner refuses all.
pub(crate) fn banners(value: Value) -> Result<Value, String> {
    let wrong = || "is not a JSON list of banners".to_owned();
    let items = value.as_array().ok_or_else(wrong)?;
    let banners: Option<Vec<Value>> = items.iter().map(banner).collect();
    banners.map(Value::from).ok_or_else(wrong)
}

fn banner(value: &Value) -> Option<Value> {
    let field = |name: &str| value.get(name).unwrap_or(&Value::Null);
    let text = |name: &str| Some(field(name).clone()).filter(Value::is_string);
    let optional_text =
        |name: &str| Some(field(name).clone()).filter(|value| value.is_null() || value.is_string());
    let fields = [
        ("i18n", translations(field("i18n"))?),
        ("id", text("id")?),
        ("type", text("type")?),
        ("title", optional_text("title")?),
        ("content", text("content")?),
        ("dismissible", lax_bool(field("dismissible"))?.into()),
        ("timestamp", lax_int(field("timestamp"))?.into()),
    ];
    let banner: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    value.is_object().then(|| banner.into())
}

fn translations(value: &Value) -> Option<Value> {
    let texts = |value: &Value| {
        value
            .as_object()
            .is_some_and(|fields| fields.values().all(Value::is_string))
    };
    let fits = value.is_null()
        || value
            .as_object()
            .is_some_and(|languages| languages.values().all(texts));
    fits.then(|| value.clone())
}

/// The forms that pydantic's lax mode takes for a bool.
fn lax_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
        Value::String(text) => match text.to_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The forms that pydantic's lax mode takes for an int.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only whole numbers within 2^53 get there"
)]
fn lax_int(value: &Value) -> Option<i64> {
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().filter(whole).map(|number| number as i64)),
        Value::String(text) => python::int(text).or_else(|| python::int(text.trim().strip_suffix(".0")?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn signup_needs_sign_in() {
        let signup = |values: &[(&str, &str)]| enable_signup(&Environment::from_map(values.iter().copied()));
        assert_eq!(signup(&[]), Ok(json!(true)));
        assert_eq!(
            signup(&[("WEBUI_AUTH", "false"), ("ENABLE_SIGNUP", "true")]),
            Ok(json!(false))
        );
        assert_eq!(signup(&[("ENABLE_SIGNUP", "no")]), Ok(json!(false)));
    }

    #[test]
    fn roles_follow_their_separator() {
        let environment =
            Environment::from_map([("OAUTH_ROLES_SEPARATOR", ";"), ("OAUTH_ADMIN_ROLES", "a; b;;c,d")]);
        assert_eq!(oauth_allowed_roles(&environment), Ok(json!(["user", "admin"])));
        assert_eq!(oauth_admin_roles(&environment), Ok(json!(["a", "b", "c,d"])));
        assert!(oauth_admin_roles(&Environment::from_map([("OAUTH_ROLES_SEPARATOR", "")])).is_err());
    }

    #[test]
    fn group_share_is_a_switch_or_members() {
        let share =
            |text: &str| oauth_group_share(&Environment::from_map([("OAUTH_GROUP_DEFAULT_SHARE", text)]));
        assert_eq!(share(" Members "), Ok(json!("members")));
        assert_eq!(share("TRUE"), Ok(json!(true)));
        assert_eq!(share("x"), Ok(json!(false)));
    }

    #[test]
    fn banners_take_their_stored_form() {
        let given = json!([{
            "id": "1", "type": "info", "content": "Hi", "dismissible": "yes", "timestamp": "5", "x": 1
        }]);
        let stored = json!([{
            "i18n": null, "id": "1", "type": "info", "title": null,
            "content": "Hi", "dismissible": true, "timestamp": 5
        }]);
        assert_eq!(banners(given), Ok(stored));
        assert!(banners(json!([{"id": "1", "type": "info", "dismissible": true, "timestamp": 5}])).is_err());
        assert!(banners(json!([{}])).is_err());
        assert!(banners(json!({})).is_err());
        assert_eq!(banners(json!([])), Ok(json!([])));
    }
}
