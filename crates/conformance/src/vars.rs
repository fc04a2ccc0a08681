//! Variables of a running scenario: `{{chat}}`, `{{alice.id}}`, `{{uuid:question}}`, `{{now}}`.
//!
//! Names are lower case; `{{USER_NAME}}` and the like are prompt variables of the server and pass
//! through untouched.

use std::sync::LazyLock;

use anyhow::{Result, bail};
use indexmap::IndexMap;
use oui_core::{Clock, ids};
use regex::Regex;
use serde_json::{Map, Value};

use crate::names::Names;

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{\{([a-z][A-Za-z0-9_.:-]*)\}\}"));

/// A pattern written in the program.
#[expect(clippy::expect_used, reason = "the patterns are literals, exercised by tests")]
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Values by name.
#[derive(Debug, Default, Clone)]
pub struct Vars {
    values: IndexMap<String, Value>,
    clock: Clock,
}

impl Vars {
    /// Sets a value, replacing an earlier one of the same name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.values.insert(name.into(), value.into());
    }

    /// A value by name. `uuid:x` is made on first use and remembered in `names` as `x`;
    /// `now` and `now_ms` are the time in seconds and milliseconds.
    ///
    /// # Errors
    /// When no step has set the name.
    pub fn get(&mut self, name: &str, names: &mut Names) -> Result<Value> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        if let Some(label) = name.strip_prefix("uuid:") {
            let id = ids::uuid();
            names.declare(label, &id);
            self.set(name, id.clone());
            return Ok(Value::from(id));
        }
        match name {
            "now" => Ok(Value::from(self.clock.seconds())),
            "now_ms" => Ok(Value::from(self.clock.millis())),
            _ => bail!("the variable {{{{{name}}}}} is not set"),
        }
    }

    /// A text with its variables filled in.
    ///
    /// # Errors
    /// When a variable is not set.
    pub fn text(&mut self, text: &str, names: &mut Names) -> Result<String> {
        let mut filled = String::with_capacity(text.len());
        let mut end = 0;
        for found in REFERENCE.captures_iter(text) {
            let (Some(whole), Some(name)) = (found.get(0), found.get(1)) else {
                continue;
            };
            filled.push_str(&text[end..whole.start()]);
            match self.get(name.as_str(), names)? {
                Value::String(value) => filled.push_str(&value),
                other => filled.push_str(&other.to_string()),
            }
            end = whole.end();
        }
        filled.push_str(&text[end..]);
        Ok(filled)
    }

    /// A JSON value with the variables of its strings and keys filled in. A string that is one
    /// variable and nothing else becomes that variable's value with its type.
    ///
    /// # Errors
    /// When a variable is not set.
    pub fn json(&mut self, value: &Value, names: &mut Names) -> Result<Value> {
        Ok(match value {
            Value::String(text) => match REFERENCE.captures(text) {
                Some(found) if found[0].len() == text.len() => self.get(&found[1], names)?,
                _ => Value::String(self.text(text, names)?),
            },
            Value::Array(items) => items
                .iter()
                .map(|item| self.json(item, names))
                .collect::<Result<_>>()?,
            Value::Object(members) => {
                let mut filled = Map::with_capacity(members.len());
                for (key, member) in members {
                    filled.insert(self.text(key, names)?, self.json(member, names)?);
                }
                Value::Object(filled)
            }
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fills_texts_keys_and_typed_values() {
        let (mut vars, mut names) = (Vars::default(), Names::default());
        vars.set("count", 3);
        vars.set("alice.id", "a-1");
        let filled = vars.json(
            &json!({"{{alice.id}}": "{{count}}", "t": "n={{count}} {{USER_NAME}}"}),
            &mut names,
        );
        assert_eq!(filled.unwrap(), json!({"a-1": 3, "t": "n=3 {{USER_NAME}}"}));
        assert!(vars.text("{{missing}}", &mut names).is_err());
    }

    #[test]
    fn client_side_ids_are_made_once_and_named() {
        let (mut vars, mut names) = (Vars::default(), Names::default());
        let first = vars.text("{{uuid:question}}", &mut names).unwrap();
        assert_eq!(vars.text("{{uuid:question}}", &mut names).unwrap(), first);
        assert_eq!(names.name(&first), Some("question"));
    }
}
