//! Pages of the administration that show and save configuration keys: each is a list of [`Setting`]s, one row a
//! field. What goes beyond the single field is the area's.

use std::collections::BTreeMap;

use oui_config::{Config, Literal, Meta};
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field};
use serde_json::{Map, Value};

/// Reads a field of the page into the value to store, or notes what is wrong.
type Read = fn(&Value, &mut Issues) -> Option<Value>;

/// What happens to a key whose field was not sent.
enum Absent {
    /// The request is refused.
    Refuse,
    /// The stored value stays.
    Keep,
    /// This is stored.
    Set(Literal),
}

/// One field of a page.
pub struct Setting {
    name: &'static str,
    key: &'static Meta,
    read: Read,
    absent: Absent,
}

fn read_as<T: Field + Into<Value>>(input: &Value, issues: &mut Issues) -> Option<Value> {
    T::parse(input, issues).map(Into::into)
}

impl Setting {
    /// A required field of type `T`.
    pub const fn of<T: Field + Into<Value>>(name: &'static str, key: &'static Meta) -> Self {
        Self::read_by(name, key, read_as::<T>)
    }

    /// A required field with a rule of its own.
    pub const fn read_by(name: &'static str, key: &'static Meta, read: Read) -> Self {
        Self {
            name,
            key,
            read,
            absent: Absent::Refuse,
        }
    }

    /// The field may be left out; the stored value stays then.
    pub const fn kept(mut self) -> Self {
        self.absent = Absent::Keep;
        self
    }

    /// The field may be left out; `value` is stored then.
    pub const fn or(mut self, value: Literal) -> Self {
        self.absent = Absent::Set(value);
        self
    }
}

/// Stored key of a field.
pub fn path_of(page: &[Setting], name: &str) -> Option<&'static str> {
    page.iter()
        .find(|setting| setting.name == name)
        .map(|setting| setting.key.path())
}

/// The page as it stands. Keys without a value are left out.
pub fn show(config: &Config, page: &[Setting]) -> Map<String, Value> {
    let snapshot = config.snapshot();
    page.iter()
        .filter_map(|setting| {
            Some((
                setting.name.to_owned(),
                snapshot.value(setting.key.path())?.clone(),
            ))
        })
        .collect()
}

/// Reads a filled-in page: values to store, by stored key.
pub fn read(page: &[Setting], body: &Value) -> ApiResult<BTreeMap<String, Value>> {
    let mut issues = Issues::at("body");
    let mut changes = BTreeMap::new();
    if let Some(object) = body.as_object() {
        for setting in page {
            let value = issues.inside(setting.name, |issues| {
                match (object.get(setting.name), &setting.absent) {
                    (Some(value), _) => (setting.read)(value, issues),
                    (None, Absent::Keep) => None,
                    (None, Absent::Set(value)) => Some(value.to_value()),
                    (None, Absent::Refuse) => {
                        issues.missing(body);
                        None
                    }
                }
            });
            if let Some(value) = value {
                changes.insert(setting.key.path().to_owned(), value);
            }
        }
    } else {
        let text = "Input should be a valid dictionary or object to extract fields from";
        issues.push("model_attributes_type", text, body);
    }
    if issues.is_empty() {
        Ok(changes)
    } else {
        Err(ApiError::unprocessable(issues.into_found()))
    }
}

#[cfg(test)]
mod tests {
    use oui_config::{Environment, ui};
    use serde_json::json;

    use super::*;

    static PAGE: &[Setting] = &[
        Setting::of::<bool>("SIGNUP", ui::ENABLE_SIGNUP.meta()),
        Setting::of::<String>("ROLE", ui::DEFAULT_USER_ROLE.meta()).or(Literal::Text("user")),
        Setting::of::<Option<String>>("MARK", ui::RESPONSE_WATERMARK.meta()).kept(),
    ];

    #[test]
    fn a_page_is_shown_and_read() {
        let config = Config::new(
            &Environment::from_map([("ENABLE_SIGNUP", "false")]),
            BTreeMap::new(),
        );
        assert_eq!(
            Value::Object(show(&config, PAGE)),
            json!({"SIGNUP": false, "ROLE": "pending", "MARK": ""})
        );
        let changes = read(PAGE, &json!({"SIGNUP": "on", "other": 1})).unwrap();
        assert_eq!(
            json!(changes),
            json!({"ui.enable_signup": true, "ui.default_user_role": "user"})
        );
        let changes = read(PAGE, &json!({"SIGNUP": true, "MARK": null, "ROLE": "admin"})).unwrap();
        assert_eq!(changes["ui.watermark"], Value::Null);
        let refused = read(PAGE, &json!({"ROLE": 1})).unwrap_err();
        assert_eq!(refused.detail()[0]["loc"], json!(["body", "SIGNUP"]));
        assert_eq!(refused.detail()[1]["type"], "string_type");
        assert_eq!(
            read(PAGE, &json!([])).unwrap_err().detail()[0]["type"],
            "model_attributes_type"
        );
    }
}
