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
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use serde_json::json;

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
