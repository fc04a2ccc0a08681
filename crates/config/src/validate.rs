//! Tests whether a JSON value may be stored under a key.
//!
//! For writers that do not go through a typed request model: imports, the command line, generic forms. The
//! HTTP forms have their own rules and messages, see the routers.

use serde_json::Value;

use crate::key::{Form, Literal, Meta};

impl Meta {
    /// Returns the value in its stored form (a whole `3.0` becomes `3` where a whole number is due), or a
    /// sentence that names the key and what it takes.
    ///
    /// # Errors
    /// The value has the wrong JSON type.
    pub fn validate(&self, value: &Value) -> Result<Value, String> {
        let fits = match self.form {
            Form::Bool => value.is_boolean(),
            Form::Int => is_whole(value),
            Form::OptionalInt => value.is_null() || is_whole(value),
            Form::Float => value.is_number(),
            Form::Text => value.is_string(),
            Form::OptionalText => value.is_null() || value.is_string(),
            Form::LooseNumber => value.is_null() || value.is_number() || value.is_string(),
            Form::List => is_texts(value),
            Form::OptionalList => value.is_null() || is_texts(value),
            Form::Json => self.json_fits(value),
        };
        if !fits {
            return Err(format!(
                "{} takes {}, not {}",
                self.name,
                self.takes(),
                called(value)
            ));
        }
        Ok(match (self.form, value.as_f64()) {
            (Form::Int | Form::OptionalInt, Some(number)) if !value.is_i64() => whole(number),
            _ => value.clone(),
        })
    }

    fn json_fits(&self, value: &Value) -> bool {
        match self.default {
            Literal::Object => value.is_object(),
            Literal::Json(_) => value.is_object(),
            Literal::List(_) => value.is_array(),
            // A switch with a third state, or a list or object that may be missing.
            Literal::Bool(_) => value.is_boolean() || value.is_string(),
            Literal::Null => value.is_null() || value.is_array() || value.is_object(),
            Literal::Int(_) | Literal::Float(_) | Literal::Text(_) => true,
        }
    }

    /// What the key takes, in words.
    pub(crate) fn takes(&self) -> &'static str {
        match (self.form, self.default) {
            (Form::Bool, _) => "true or false",
            (Form::Int, _) => "a whole number",
            (Form::OptionalInt, _) => "a whole number or nothing",
            (Form::Float, _) => "a number",
            (Form::Text, _) => "a text",
            (Form::OptionalText, _) => "a text or nothing",
            (Form::LooseNumber, _) => "a number, a text or nothing",
            (Form::List, _) => "a list of texts",
            (Form::OptionalList, _) => "a list of texts or nothing",
            (Form::Json, Literal::Object | Literal::Json(_)) => "an object",
            (Form::Json, Literal::List(_)) => "a list",
            (Form::Json, Literal::Bool(_)) => "true, false or a text",
            (Form::Json, _) => "a list, an object or nothing",
        }
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64()
        || value
            .as_f64()
            .is_some_and(|number| number.fract() == 0.0 && number.abs() < 9.0e15)
}

#[expect(clippy::cast_possible_truncation, reason = "is_whole has checked the range")]
fn whole(number: f64) -> Value {
    Value::from(number as i64)
}

fn is_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_string))
}

fn called(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use crate::{audio, features, oauth, rag, registry, ui};
    use serde_json::json;

    #[test]
    fn every_default_is_valid() {
        for meta in registry() {
            let default = meta.default_value();
            assert_eq!(meta.validate(&default), Ok(default), "{}", meta.path());
        }
    }

    #[test]
    fn wrong_types_are_refused_by_name() {
        let refused = ui::ENABLE_SIGNUP.validate(&json!("yes"));
        assert_eq!(
            refused,
            Err("ENABLE_SIGNUP takes true or false, not a text".to_owned())
        );
        assert!(rag::RAG_TOP_K.validate(&json!(1.5)).is_err());
        assert!(rag::RAG_FILE_MAX_SIZE.validate(&json!("5")).is_err());
        assert!(rag::RAG_ALLOWED_FILE_EXTENSIONS.validate(&json!([1])).is_err());
        assert!(ui::WEBUI_BANNERS.validate(&json!({})).is_err());
    }

    #[test]
    fn stored_forms() {
        assert_eq!(
            rag::RAG_TOP_K
                .validate(&json!(4.0))
                .map(|value| value.to_string()),
            Ok("4".to_owned())
        );
        assert_eq!(rag::RAG_RELEVANCE_THRESHOLD.validate(&json!(0)), Ok(json!(0)));
        assert_eq!(features::FOLDER_MAX_FILE_COUNT.validate(&json!(7)), Ok(json!(7)));
        assert_eq!(
            oauth::OAUTH_GROUP_DEFAULT_SHARE.validate(&json!("members")),
            Ok(json!("members"))
        );
        assert_eq!(
            audio::AUDIO_REALTIME_INPUT_PARAMS.validate(&json!({"a": 1})),
            Ok(json!({"a": 1}))
        );
    }
}
