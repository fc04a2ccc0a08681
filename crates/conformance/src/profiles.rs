//! Named environments of servers under test, from `conformance/profiles.yaml`.

use std::path::Path;

use anyhow::{Context, Result};
use indexmap::IndexMap;
use serde::Deserialize;

use crate::scenario::Table;

/// All profiles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    common: Table,
    profiles: IndexMap<String, Table>,
}

impl Profiles {
    /// Reads `profiles.yaml`.
    ///
    /// # Errors
    /// When the file is missing or not valid.
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("in {}", file.display()))
    }

    /// The environment of a profile for a provider at this base URL (without `/v1`). Names of the
    /// server's own variables; `PORT` and `DATA_DIR` are the caller's business.
    ///
    /// # Errors
    /// When there is no such profile.
    pub fn environment(&self, profile: &str, provider_url: &str) -> Result<Table> {
        let own = self
            .profiles
            .get(profile)
            .with_context(|| format!("no profile {profile}"))?;
        let mut environment = self.common.clone();
        environment.extend(own.clone());
        for value in environment.values_mut() {
            *value = value.replace("{{provider_url}}", provider_url.trim_end_matches('/'));
        }
        Ok(environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_adds_to_what_all_share() {
        let profiles: Profiles =
            serde_saphyr::from_str("common: {A: '1', B: '{{provider_url}}/v1'}\nprofiles: {x: {A: '2'}}")
                .unwrap();
        let environment = profiles.environment("x", "http://h:1/").unwrap();
        assert_eq!(
            (environment["A"].as_str(), environment["B"].as_str()),
            ("2", "http://h:1/v1")
        );
        assert!(profiles.environment("y", "").is_err());
    }
}
