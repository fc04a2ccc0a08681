//! The value of a key in a given environment, before stored rows are looked at.
//!
//! Follows the original variable by variable: some wrong texts stop the start, others are logged and ignored.
//! Rules for keys that depend on several variables are in `derive`.

use serde_json::Value;

use crate::environment::Environment;
use crate::error::Problem;
use crate::key::{Form, Meta};
use crate::python;

/// A value and what was wrong on the way to it. After a fault the value is the declared default.
pub(crate) struct Resolved {
    pub(crate) value: Value,
    pub(crate) fault: Option<Fault>,
}

/// How bad a wrong text is.
pub(crate) enum Fault {
    /// The server must not start.
    Fatal(Problem),
    /// The text is ignored; one sentence for the log.
    Ignored(String),
}

enum Wrong {
    Fatal(&'static str),
    Ignored(String),
}

impl Meta {
    /// Computes the value from the environment.
    pub(crate) fn resolve(&self, environment: &Environment) -> Resolved {
        if let Some(rule) = self.derive {
            return match rule(environment) {
                Ok(value) => Resolved { value, fault: None },
                Err(message) => self.failed(Fault::Fatal(Problem::new(self.name, message, FIX))),
            };
        }
        let Some((variable, text)) = self.text(environment) else {
            return Resolved {
                value: self.default_value(),
                fault: None,
            };
        };
        match self.parse(text) {
            Ok(value) => Resolved { value, fault: None },
            Err(Wrong::Fatal(expected)) => {
                let fix = format!("Give {expected}, or remove the variable.");
                let message = format!("must be {expected}");
                self.failed(Fault::Fatal(Problem::new(variable, message, fix)))
            }
            Err(Wrong::Ignored(reason)) => {
                self.failed(Fault::Ignored(format!("{variable} {reason} and is ignored")))
            }
        }
    }

    fn failed(&self, fault: Fault) -> Resolved {
        Resolved {
            value: self.default_value(),
            fault: Some(fault),
        }
    }

    fn text<'e>(&self, environment: &'e Environment) -> Option<(&'static str, &'e str)> {
        if self.skip_empty {
            return self
                .variables()
                .find_map(|name| environment.non_empty(name).map(|text| (name, text)));
        }
        environment.first(self.variables())
    }

    fn parse(&self, text: &str) -> Result<Value, Wrong> {
        match self.form {
            Form::Bool => Ok(python::is_true(text).into()),
            Form::Int => self.number(text),
            Form::OptionalInt if text.is_empty() => Ok(Value::Null),
            Form::OptionalInt => self.number(text),
            Form::Float => python::float(text)
                .map(Value::from)
                .ok_or(Wrong::Fatal("a number")),
            Form::Text | Form::OptionalText | Form::LooseNumber => Ok(if self.lowercase {
                text.to_lowercase().into()
            } else {
                text.into()
            }),
            Form::List | Form::OptionalList => Ok(python::items(text, ',').into()),
            Form::Json => self.json(text),
        }
    }

    fn number(&self, text: &str) -> Result<Value, Wrong> {
        let number = python::int(text).ok_or(Wrong::Fatal("a whole number"))?;
        if self.positive && number <= 0 {
            return Err(Wrong::Fatal("a whole number above zero"));
        }
        Ok(self
            .range
            .map_or(number, |(low, high)| number.clamp(low, high))
            .into())
    }

    fn json(&self, text: &str) -> Result<Value, Wrong> {
        let wrong = |reason: String| {
            if self.strict {
                Wrong::Fatal("valid JSON")
            } else {
                Wrong::Ignored(reason)
            }
        };
        if text.is_empty() && !self.strict {
            return Ok(self.default_value());
        }
        let value = serde_json::from_str(text).map_err(|_| wrong("is not valid JSON".to_owned()))?;
        match self.check {
            Some(check) => check(value).map_err(wrong),
            None => Ok(value),
        }
    }
}

const FIX: &str = "Correct it, or remove the variable.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audio, chat, connections, features, loaders, models, oauth, rag, ui};
    use serde_json::json;

    fn value(key: &Meta, text: &str) -> Value {
        let environment = Environment::from_map([(key.name, text)]);
        let resolved = key.resolve(&environment);
        assert!(resolved.fault.is_none(), "{} = {text:?}", key.name);
        resolved.value
    }

    fn fatal(key: &Meta, text: &str) -> String {
        match key.resolve(&Environment::from_map([(key.name, text)])).fault {
            Some(Fault::Fatal(problem)) => problem.to_string(),
            Some(Fault::Ignored(reason)) => panic!("ignored: {reason}"),
            None => panic!("{} accepted {text:?}", key.name),
        }
    }

    fn ignored(key: &Meta, text: &str) -> Value {
        let resolved = key.resolve(&Environment::from_map([(key.name, text)]));
        assert!(
            matches!(resolved.fault, Some(Fault::Ignored(_))),
            "{} = {text:?}",
            key.name
        );
        resolved.value
    }

    #[test]
    fn scalars() {
        assert_eq!(value(&ui::ENABLE_LOGIN_FORM, ""), json!(false));
        assert_eq!(value(&ui::ENABLE_LOGIN_FORM, "TRUE"), json!(true));
        assert_eq!(value(&rag::RAG_TOP_K, " 7 "), json!(7));
        assert_eq!(value(&rag::RAG_RELEVANCE_THRESHOLD, "1"), json!(1.0));
        assert_eq!(value(&loaders::CONTENT_EXTRACTION_ENGINE, "Tika"), json!("tika"));
        assert_eq!(value(&ui::DEFAULT_MODELS, ""), json!(""));
        assert_eq!(value(&features::AUTOMATION_MAX_COUNT, "12"), json!("12"));
        assert_eq!(
            value(&chat::CONTEXT_COMPACTION_RETENTION_PERCENTAGE, "99"),
            json!(50)
        );
        assert_eq!(value(&rag::RAG_FILE_MAX_SIZE, ""), json!(null));
        assert_eq!(value(&rag::RAG_FILE_MAX_SIZE, "25"), json!(25));
    }

    #[test]
    fn wrong_numbers_stop_the_start_and_name_the_variable() {
        let text = fatal(&rag::RAG_TOP_K, "many");
        assert!(text.starts_with("RAG_TOP_K must be a whole number"), "{text}");
        assert!(fatal(&rag::RAG_TOP_K, "").starts_with("RAG_TOP_K"));
        assert!(fatal(&features::SKILL_CONTENT_MAX_CHARS, "0").contains("above zero"));
        assert!(fatal(&connections::TERMINAL_SERVER_CONNECTIONS, "[").contains("valid JSON"));
    }

    #[test]
    fn lists() {
        assert_eq!(
            value(&rag::RAG_ALLOWED_FILE_EXTENSIONS, "pdf, ,txt"),
            json!(["pdf", "txt"])
        );
        assert_eq!(
            value(&loaders::YOUTUBE_LOADER_LANGUAGE, "en, de,"),
            json!(["en", " de", ""])
        );
        assert_eq!(
            value(&oauth::OAUTH_ALLOWED_DOMAINS, "a, b,"),
            json!(["a", "b", ""])
        );
        assert_eq!(
            value(&loaders::CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES, ""),
            json!([])
        );
    }

    #[test]
    fn json_is_checked_where_the_original_checks() {
        assert_eq!(value(&models::DEFAULT_MODEL_PARAMS, "[1]"), json!([1]));
        assert_eq!(value(&models::DEFAULT_MODEL_PARAMS, ""), json!({}));
        assert_eq!(ignored(&models::DEFAULT_MODEL_PARAMS, "{"), json!({}));
        assert_eq!(ignored(&ui::DEFAULT_INTERFACE_SETTINGS, "[1]"), json!({}));
        assert_eq!(ignored(&ui::UI_VISIBILITY, r#"{"a": 1}"#), json!({}));
        assert_eq!(value(&ui::UI_VISIBILITY, r#"{"a": false}"#), json!({"a": false}));
        assert_eq!(ignored(&models::EVALUATION_ARENA_MODELS, "[1]"), json!([]));
        assert_eq!(ignored(&audio::AUDIO_REALTIME_INPUT_PARAMS, "[]"), json!(null));
        assert_eq!(value(&ui::DEFAULT_PROMPT_SUGGESTIONS, "[]"), json!([]));
    }

    #[test]
    fn older_names_count_while_the_newer_one_is_missing() {
        let batch = |values: &[(&str, &str)]| {
            rag::RAG_EMBEDDING_BATCH_SIZE
                .resolve(&Environment::from_map(values.iter().copied()))
                .value
        };
        assert_eq!(batch(&[("RAG_EMBEDDING_OPENAI_BATCH_SIZE", "8")]), json!(8));
        assert_eq!(
            batch(&[
                ("RAG_EMBEDDING_BATCH_SIZE", ""),
                ("RAG_EMBEDDING_OPENAI_BATCH_SIZE", "8")
            ]),
            json!(8)
        );
        let youcom = crate::web::YOUCOM_API_KEY.resolve(&Environment::from_map([
            ("YOUCOM_API_KEY", ""),
            ("YDC_API_KEY", "old"),
        ]));
        assert_eq!(youcom.value, json!(""));
    }
}
