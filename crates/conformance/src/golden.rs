//! Golden files: what the reference answered to a scenario, masked, one file per scenario.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scenario::Scenario;

/// The record of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// `area/name`.
    pub scenario: String,
    /// The profile that it was recorded with.
    pub profile: String,
    /// The recorded steps, in order.
    pub steps: Vec<GoldenStep>,
}

/// The answer to one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenStep {
    /// The step's label.
    pub step: String,
    /// Status, headers and body of a request; events; acknowledgements.
    #[serde(flatten)]
    pub answer: Value,
}

impl Golden {
    /// Where the record of a scenario lives below the golden folder.
    #[must_use]
    pub fn path(folder: &Path, scenario: &Scenario) -> PathBuf {
        folder
            .join(&scenario.area)
            .join(format!("{}.json", scenario.name))
    }

    /// Reads the record of a scenario.
    ///
    /// # Errors
    /// When there is none or it is not valid.
    pub fn load(folder: &Path, scenario: &Scenario) -> Result<Self> {
        let path = Self::path(folder, scenario);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("no golden file {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Writes the record of a scenario.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, folder: &Path, scenario: &Scenario) -> Result<()> {
        let path = Self::path(folder, scenario);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut text = String::new();
        layout(&serde_json::to_value(self)?, 0, &mut text);
        text.push('\n');
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// Values that fit stand on one line, so that a person can read a whole answer at a glance.
const WIDTH: usize = 110;

fn layout(value: &Value, depth: usize, text: &mut String) {
    let line = one_line(value);
    let room = WIDTH.saturating_sub(2 * depth);
    let (open, close, members): (char, char, Vec<(String, &Value)>) = match value {
        Value::Array(items) if line.chars().count() > room && !items.is_empty() => {
            ('[', ']', items.iter().map(|item| (String::new(), item)).collect())
        }
        Value::Object(members) if depth == 0 || (line.chars().count() > room && !members.is_empty()) => {
            let members = members
                .iter()
                .map(|(key, member)| (format!("{}: ", Value::from(key.as_str())), member));
            ('{', '}', members.collect())
        }
        _ => return text.push_str(&line),
    };
    text.push(open);
    let last = members.len();
    for (index, (key, member)) in members.into_iter().enumerate() {
        text.push('\n');
        text.push_str(&"  ".repeat(depth + 1));
        text.push_str(&key);
        layout(member, depth + 1, text);
        if index + 1 < last {
            text.push(',');
        }
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, member)| format!("{}: {}", Value::from(key.as_str()), one_line(member)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use serde_json::json;

    #[test]
    fn long_values_are_broken_and_short_ones_are_not() {
        let mut text = String::new();
        layout(
            &json!({"a": [1, {"b": null}], "long": ["x".repeat(60), "y".repeat(60)]}),
            0,
            &mut text,
        );
        let (x, y) = ("x".repeat(60), "y".repeat(60));
        assert_eq!(
            text,
            format!("{{\n  \"a\": [1, {{\"b\": null}}],\n  \"long\": [\n    \"{x}\",\n    \"{y}\"\n  ]\n}}")
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["long"][1], json!(y));
    }

    #[test]
    fn a_record_survives_storing() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = &scenario::parse("area", "scenarios: [{name: x, steps: [{call: GET /}]}]").unwrap()[0];
        let golden = Golden {
            scenario: scenario.id(),
            profile: "default".to_owned(),
            steps: vec![GoldenStep {
                step: "GET / as admin".to_owned(),
                answer: json!({"status": 200, "json": [1.0]}),
            }],
        };
        golden.store(folder.path(), scenario).unwrap();
        assert!(folder.path().join("area/x.json").exists());
        assert_eq!(Golden::load(folder.path(), scenario).unwrap(), golden);
    }
}
