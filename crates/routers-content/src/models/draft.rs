//! What requests may send of a workspace model, and the rules for each part.

use std::collections::BTreeMap;

use oui_config::settings::Access;
use oui_core::form::{Field, Issues};
use oui_core::{choice, form};
use oui_models::models::{ModelData, normal_meta};
use serde_json::{Map, Value, json};

use crate::common::GrantForm;
use crate::picture;

/// A text with a rule; declares the type and how its problems are worded.
macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident: $pattern:literal, $length:expr, |$text:ident| $good:expr;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) String);

        impl Field for $name {
            fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
                let read = String::parse(input, issues)?;
                let length: (usize, usize) = $length;
                if !right_length(&read, length, input, issues) {
                    return None;
                }
                let $text = read.as_str();
                if !$pattern.is_empty() && !$good {
                    let message = format!("String should match pattern '{}'", $pattern);
                    issues.push_ctx("string_pattern_mismatch", message, input, json!({ "pattern": $pattern }));
                    return None;
                }
                Some(Self(read))
            }

            fn schema() -> Value {
                json!({ "type": "string" })
            }
        }
    )*};
}

fn right_length(text: &str, (least, most): (usize, usize), input: &Value, issues: &mut Issues) -> bool {
    let length = text.chars().count();
    if length < least {
        let message = format!(
            "String should have at least {least} character{}",
            if least == 1 { "" } else { "s" }
        );
        issues.push_ctx("string_too_short", message, input, json!({ "min_length": least }));
    } else if length > most {
        let message = format!("String should have at most {most} characters");
        issues.push_ctx("string_too_long", message, input, json!({ "max_length": most }));
    }
    (least..=most).contains(&length)
}

/// Any length.
const ANY: (usize, usize) = (0, usize::MAX);

fn unspaced(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_gesture(text: &str) -> bool {
    text.len() <= 48
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

texts! {
    /// Id of a model: no blanks. How long it may be is the route's business.
    ModelId: r"^\S+$", ANY, |text| unspaced(text);
    /// A voice of the speech engine.
    VoiceName: r"^\S+$", (1, 200), |text| unspaced(text);
    /// A label that shows something.
    Label: r"\S", ANY, |text| !text.trim().is_empty();
    /// Id of an uploaded file.
    AssetId: r"^[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}$", ANY,
        |text| is_uuid(text);
    /// Name that a model calls a gesture by.
    GestureName: r"^[a-z][a-z0-9_]{0,47}$", ANY, |text| is_gesture(text);
    /// When to use a gesture.
    GestureText: "", (1, 500), |_text| true;
}

/// Address of a background: a file of this server.
#[derive(Debug, Clone)]
pub(crate) struct BackgroundUrl(String);

impl Field for BackgroundUrl {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        match input.as_str() {
            Some(url) if background_file(url).is_some() => return Some(Self(url.to_owned())),
            Some(_) => value_error(
                "Invalid background image URL: must reference an internal file.",
                input,
                issues,
            ),
            None => value_error("Invalid image URL.", input, issues),
        }
        None
    }

    fn schema() -> Value {
        String::schema()
    }
}

/// The file that a background address names.
pub(crate) fn background_file(url: &str) -> Option<&str> {
    let id = url.strip_prefix("/api/v1/files/")?.strip_suffix("/content")?;
    (is_uuid(id) && !id.contains(|c: char| c.is_ascii_uppercase())).then_some(id)
}

fn value_error(text: &str, input: &Value, issues: &mut Issues) {
    issues.push_ctx(
        "value_error",
        format!("Value error, {text}"),
        input,
        json!({ "error": {} }),
    );
}

form! {
    /// The voice of a model.
    pub(crate) struct VoiceForm {
        /// Name of the voice.
        pub voice: Option<VoiceName>,
    }
}

form! {
    /// An animation of an avatar.
    pub(crate) struct AnimationForm {
        /// The file.
        pub file_id: AssetId,
    }
}

form! {
    /// A gesture of an avatar.
    pub(crate) struct GestureForm {
        /// The file.
        pub file_id: AssetId,
        /// Name that the model calls it by.
        pub name: GestureName,
        /// When to use it.
        pub description: GestureText,
    }
}

form! {
    /// An avatar for voice calls.
    pub(crate) struct AvatarForm {
        /// The figure.
        pub file_id: AssetId,
        /// Animations for `idle`, `listening` and `speaking`.
        pub states: BTreeMap<String, AnimationForm> = BTreeMap::new(),
        /// Gestures.
        pub gestures: Vec<GestureForm> = Vec::new(),
    }
}

impl AvatarForm {
    fn into_json(self) -> Value {
        let states: Map<String, Value> = self
            .states
            .into_iter()
            .map(|(name, state)| (name, json!({ "file_id": state.file_id.0 })))
            .collect();
        let gestures: Vec<Value> = self
            .gestures
            .into_iter()
            .map(|gesture| {
                json!({
                    "file_id": gesture.file_id.0, "name": gesture.name.0, "description": gesture.description.0,
                })
            })
            .collect();
        json!({ "file_id": self.file_id.0, "states": states, "gestures": gestures })
    }
}

form! {
    /// `meta` of a model; what is not named here is kept as it comes.
    pub(crate) struct MetaForm {
        /// Picture; bad addresses count as none.
        pub profile_image_url: Option<Value>,
        /// Picture behind chats.
        pub background_image_url: Option<BackgroundUrl>,
        /// Description shown.
        pub description: Option<String>,
        /// Translations.
        pub i18n: Option<Map<String, Value>>,
        /// What the model can do.
        pub capabilities: Option<Map<String, Value>>,
        /// Knowledge that it answers from.
        pub knowledge: Option<Vec<Value>>,
        /// Its voice.
        pub voice: Option<VoiceForm>,
        /// Its figure.
        pub voice_avatar: Option<AvatarForm>,
        ; .. pub rest
    }
}

impl MetaForm {
    fn into_object(self, access: &Access) -> Map<String, Value> {
        let picture = self
            .profile_image_url
            .filter(|url| url.as_str().is_some_and(|url| picture::is_valid(url, access)));
        let mut meta = Map::new();
        for (name, value) in [
            ("profile_image_url", json!(picture)),
            (
                "background_image_url",
                json!(self.background_image_url.map(|url| url.0)),
            ),
            ("description", json!(self.description)),
            ("i18n", json!(self.i18n)),
            ("capabilities", json!(self.capabilities)),
            ("knowledge", json!(self.knowledge)),
            (
                "voice",
                self.voice.map_or(
                    Value::Null,
                    |voice| json!({ "voice": voice.voice.map(|name| name.0) }),
                ),
            ),
            (
                "voice_avatar",
                self.voice_avatar.map_or(Value::Null, AvatarForm::into_json),
            ),
        ] {
            meta.insert(name.to_owned(), value);
        }
        meta.extend(self.rest);
        normal_meta(&meta)
    }
}

choice! {
    /// How a control is drawn.
    pub(crate) enum Display { Menu = "menu", Slider = "slider" }
}

form! {
    /// A choice of a control.
    pub(crate) struct OptionForm {
        /// Label shown.
        pub label: Label,
        /// Parameters that it sets.
        pub params: Map<String, Value>,
    }
}

form! {
    /// A control that users get for a model.
    pub(crate) struct ControlForm {
        /// How it is drawn.
        pub display: Display = Display::Menu,
        /// Label shown.
        pub label: Label,
        /// Description shown.
        pub description: Option<String>,
        /// Choice at first.
        pub default: Option<String>,
        /// The choices.
        pub options: Map<String, Value>,
    }
}

/// The controls of a model by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Controls(Map<String, Value>);

fn is_control_key(key: &str) -> bool {
    !matches!(key, "constructor" | "prototype")
        && key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn check_key(key: &str, issues: &mut Issues) {
    /// The rule as the validator names it.
    const PATTERN: &str = r"^(?!(?:constructor|prototype)\Z)[a-zA-Z][a-zA-Z0-9_-]*\Z";
    if !is_control_key(key) {
        issues.inside(key, |issues| {
            issues.inside("[key]", |issues| {
                let message = format!("String should match pattern '{PATTERN}'");
                issues.push_ctx(
                    "string_pattern_mismatch",
                    message,
                    &json!(key),
                    json!({ "pattern": PATTERN }),
                );
            });
        });
    }
}

fn control(input: &Value, issues: &mut Issues) -> Option<Value> {
    let form = ControlForm::parse(input, issues)?;
    let mut options = Map::new();
    issues.inside("options", |issues| {
        if form.options.is_empty() {
            let message = "Dictionary should have at least 1 item after validation, not 0";
            let ctx = json!({ "field_type": "Dictionary", "min_length": 1, "actual_length": 0 });
            issues.push_ctx("too_short", message, &json!({}), ctx);
        }
        for (key, option) in &form.options {
            check_key(key, issues);
            if let Some(option) = issues.inside(key.as_str(), |issues| OptionForm::parse(option, issues)) {
                options.insert(
                    key.clone(),
                    json!({ "label": option.label.0, "params": option.params }),
                );
            }
        }
    });
    if form.display == Display::Slider && options.len() < 2 {
        value_error("A slider needs at least two options.", input, issues);
    } else if form
        .default
        .as_ref()
        .is_some_and(|default| !options.contains_key(default))
    {
        value_error("Default must name an approved option.", input, issues);
    }
    let mut control = Map::new();
    if form.display != Display::Menu {
        control.insert("display".into(), json!(form.display.as_str()));
    }
    control.insert("label".into(), json!(form.label.0));
    for (name, value) in [("description", form.description), ("default", form.default)] {
        if let Some(value) = value {
            control.insert(name.to_owned(), json!(value));
        }
    }
    control.insert("options".into(), Value::Object(options));
    Some(Value::Object(control))
}

impl Field for Controls {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let object = Map::<String, Value>::parse(input, issues)?;
        let mut controls = Map::new();
        for (key, value) in &object {
            check_key(key, issues);
            if let Some(control) = issues.inside(key.as_str(), |issues| control(value, issues)) {
                controls.insert(key.clone(), control);
            }
        }
        Some(Self(controls))
    }

    fn schema() -> Value {
        Map::<String, Value>::schema()
    }
}

form! {
    /// `params` of a model; what is not named here is kept as it comes.
    pub(crate) struct ParamsForm {
        /// Controls that users get.
        pub model_controls: Controls = Controls::default(),
        ; .. pub rest
    }
}

form! {
    /// A workspace model.
    pub(crate) struct ModelForm {
        /// Message of the version.
        pub commit_message: Option<String>,
        /// Model id.
        pub id: ModelId,
        /// Model that answers.
        pub base_model_id: Option<String>,
        /// Name shown.
        pub name: String,
        /// Description, picture, capabilities, ...
        pub meta: MetaForm,
        /// Parameters.
        pub params: ParamsForm,
        /// Grants.
        pub access_grants: Option<Vec<GrantForm>>,
        /// Whether it is offered.
        pub is_active: bool = true,
    }
}

/// A form brought into the stored form, with what is known of which fields were sent.
pub(crate) struct Draft {
    /// Model id.
    pub id: String,
    /// What is to be stored.
    pub data: ModelData,
    /// Message of the version.
    pub message: Option<String>,
    /// Grants as they came.
    pub grants: Option<Vec<GrantForm>>,
}

impl Draft {
    /// `raw` is the object that the form was read from: what it leaves out of a model that exists stays.
    pub(crate) fn new(form: ModelForm, raw: &Value, existing: Option<&ModelData>, access: &Access) -> Self {
        let sent = |path: &str| raw.pointer(path).is_some();
        let mut params = Map::new();
        let controls = form.params.model_controls.0;
        if !controls.is_empty() {
            params.insert("model_controls".into(), Value::Object(controls));
        }
        params.extend(form.params.rest);
        let mut data = ModelData {
            base_model_id: form.base_model_id.filter(|base| *base != form.id.0),
            name: form.name,
            params,
            meta: form.meta.into_object(access),
            is_active: sent("/is_active").then_some(form.is_active),
        };
        if let Some(existing) = existing {
            for name in ["profile_image_url", "voice_avatar", "background_image_url"] {
                if !sent(&format!("/meta/{name}")) {
                    data.meta.insert(
                        name.to_owned(),
                        existing.meta.get(name).cloned().unwrap_or_default(),
                    );
                }
            }
            if !sent("/base_model_id") {
                data.base_model_id = existing.base_model_id.clone().filter(|base| *base != form.id.0);
            }
            if let Some(controls) = existing.params.get("model_controls")
                && !sent("/params/model_controls")
            {
                data.params.insert("model_controls".into(), controls.clone());
            }
        }
        Self {
            id: form.id.0,
            data,
            message: form.commit_message,
            grants: form.access_grants,
        }
    }

    /// Whether the request itself sets controls.
    pub(crate) fn sets_controls(raw: &Value) -> bool {
        raw.pointer("/params/model_controls")
            .and_then(Value::as_object)
            .is_some_and(|controls| !controls.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use oui_core::Form;

    use super::*;

    fn access() -> Access {
        let environment = oui_config::Environment::from_map([("WEBUI_SECRET_KEY", "k")]);
        oui_config::Settings::load(&environment).unwrap().access
    }

    #[test]
    fn a_draft_keeps_what_the_request_leaves_out() {
        let raw = json!({"id": "m", "name": "M", "base_model_id": "m", "meta": {"tags": ["a", {"name": " b "}, 1]},
            "params": {"top_p": 1}});
        let existing = ModelData {
            base_model_id: Some("echo".into()),
            name: "Old".into(),
            params: Map::from_iter([
                ("model_controls".to_owned(), json!({"a": {}})),
                ("x".to_owned(), json!(1)),
            ]),
            meta: Map::from_iter([("profile_image_url".to_owned(), json!("/user.png"))]),
            is_active: None,
        };
        let draft = Draft::new(
            ModelForm::read("body", &raw).unwrap(),
            &raw,
            Some(&existing),
            &access(),
        );
        assert_eq!(draft.data.base_model_id, None);
        assert_eq!(draft.data.is_active, None);
        assert_eq!(draft.data.meta["profile_image_url"], "/user.png");
        assert_eq!(draft.data.meta["tags"], json!([{"name": "a"}, {"name": "b"}]));
        assert_eq!(
            json!(draft.data.params),
            json!({"top_p": 1, "model_controls": {"a": {}}})
        );
    }

    #[test]
    fn controls_are_checked() {
        let raw = json!({"id": "m", "name": "M", "meta": {}, "params": {"model_controls": {
            "effort": {"label": "Effort", "display": "slider", "default": "low",
                "options": {"low": {"label": "Low", "params": {}}, "high": {"label": "High", "params": {"x": 1}}}},
            "1st": {"label": " ", "options": {}},
        }}});
        let issues = ModelForm::read("body", &raw).unwrap_err();
        let kinds: Vec<&Value> = issues.iter().map(|issue| &issue["type"]).collect();
        assert_eq!(kinds, ["string_pattern_mismatch", "string_pattern_mismatch"]);
        assert_eq!(
            issues[0]["loc"],
            json!(["body", "params", "model_controls", "1st", "[key]"])
        );
    }

    #[test]
    fn backgrounds_are_files_of_this_server() {
        let id = "0f2b1c3d-0000-4000-8000-0123456789ab";
        assert_eq!(background_file(&format!("/api/v1/files/{id}/content")), Some(id));
        assert_eq!(background_file("https://example.com/a.png"), None);
    }
}
