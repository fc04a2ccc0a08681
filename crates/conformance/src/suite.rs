//! All scenarios together: where their files are, which are still pending, and the verdict on a run.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use oui_fake_provider::{FakeProvider, Settings};

use crate::{
    profiles::Profiles,
    replay::{Report, replay_from},
    scenario::{self, Scenario, Table},
};

/// The folder `conformance/` of the project.
#[derive(Debug, Clone)]
pub struct Suite {
    folder: PathBuf,
    /// Every scenario, sorted by area.
    pub scenarios: Vec<Scenario>,
    /// Environments by name.
    pub profiles: Profiles,
    /// Ids of scenarios that our server does not answer yet.
    pub pending: Vec<String>,
}

/// What came of one scenario, with regard to the list of pending ones.
#[derive(Debug)]
pub enum Verdict {
    /// As recorded.
    Same(Report),
    /// Different, and it must not be.
    Different(Report),
    /// Different, as `pending.txt` says.
    Pending(Report),
    /// As recorded, though `pending.txt` lists it: the line must go.
    NoLongerPending(Report),
}

impl Verdict {
    /// Whether the run may pass with this.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Same(_) | Self::Pending(_))
    }

    /// The report of the replay.
    #[must_use]
    pub fn report(&self) -> &Report {
        let (Self::Same(report)
        | Self::Different(report)
        | Self::Pending(report)
        | Self::NoLongerPending(report)) = self;
        report
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(report) | Self::Different(report) => write!(out, "{report}"),
            Self::Pending(report) => {
                writeln!(
                    out,
                    "{}: pending, {} of {} steps differ",
                    report.scenario,
                    report.faults.len(),
                    report.steps
                )
            }
            Self::NoLongerPending(report) => {
                writeln!(
                    out,
                    "{}: passes, take it out of conformance/pending.txt",
                    report.scenario
                )
            }
        }
    }
}

/// The scripted provider behind a server that scenarios are played against. It makes titles and the like at once, and
/// thinks over everything else, so that what happens side by side ends in the same order every time.
pub async fn start_provider() -> FakeProvider {
    FakeProvider::start_with(provider_settings()).await
}

/// How [`start_provider`] sets it up.
#[must_use]
pub fn provider_settings() -> Settings {
    Settings {
        think: std::time::Duration::from_millis(150),
        ..Settings::default()
    }
}

impl Suite {
    /// Reads scenarios, profiles and the list of pending scenarios.
    ///
    /// # Errors
    /// When a file is missing or not valid, or `pending.txt` names a scenario that does not exist.
    pub fn load(folder: &Path) -> Result<Self> {
        let scenarios = scenario::load_all(&folder.join("scenarios"))?;
        let profiles = Profiles::load(&folder.join("profiles.yaml"))?;
        for scenario in &scenarios {
            profiles
                .environment(&scenario.profile, "")
                .with_context(|| scenario.id())?;
        }
        let list = folder.join("pending.txt");
        let text = std::fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
        let pending: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = pending
            .iter()
            .find(|id| scenarios.iter().all(|scenario| scenario.id() != **id))
        {
            bail!("pending.txt names {unknown}, which does not exist");
        }
        Ok(Self {
            folder: folder.to_owned(),
            scenarios,
            profiles,
            pending,
        })
    }

    /// The suite of this checkout, for the tests of the workspace.
    ///
    /// # Errors
    /// As [`Suite::load`].
    pub fn of_checkout() -> Result<Self> {
        Self::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance"))
    }

    /// Where golden files are.
    #[must_use]
    pub fn golden(&self) -> PathBuf {
        self.folder.join("golden")
    }

    /// Scenarios whose id is one of `only`, or begins with one of them up to a slash; all when
    /// `only` is empty.
    pub fn select<'a>(&'a self, only: &'a [String]) -> impl Iterator<Item = &'a Scenario> {
        self.scenarios.iter().filter(move |scenario| {
            only.is_empty()
                || only
                    .iter()
                    .any(|name| *name == scenario.area || *name == scenario.id())
        })
    }

    /// The environment of a scenario's server for a provider at this base URL.
    ///
    /// # Errors
    /// When the profile does not exist.
    pub fn environment(&self, scenario: &Scenario, provider_url: &str) -> Result<Table> {
        self.profiles.environment(&scenario.profile, provider_url)
    }

    /// Replays a scenario on an empty server that was started with its environment.
    pub async fn check(&self, scenario: &Scenario, base_url: &str, provider_url: &str) -> Verdict {
        let report = replay_from(&self.golden(), base_url, provider_url, scenario).await;
        let pending = self.pending.contains(&scenario.id());
        match (report.is_same(), pending) {
            (true, false) => Verdict::Same(report),
            (false, false) => Verdict::Different(report),
            (false, true) => Verdict::Pending(report),
            (true, true) => Verdict::NoLongerPending(report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_consistent() {
        let suite = Suite::of_checkout().unwrap();
        for scenario in &suite.scenarios {
            let golden = crate::golden::Golden::load(&suite.golden(), scenario).unwrap();
            assert_eq!(golden.scenario, scenario.id());
            assert_eq!(golden.profile, scenario.profile, "{}", scenario.id());
            let labels: Vec<&str> = scenario.steps.iter().map(|step| step.label.as_str()).collect();
            for step in &golden.steps {
                assert!(
                    labels.contains(&step.step.as_str()),
                    "{}: {} is not in the scenario",
                    scenario.id(),
                    step.step
                );
            }
        }
    }

    #[test]
    fn scenarios_are_selected_by_area_or_id() {
        let suite = Suite::of_checkout().unwrap();
        let Some(first) = suite.scenarios.first() else {
            return;
        };
        let by_id = [first.id()];
        assert_eq!(suite.select(&by_id).count(), 1);
        let by_area = [first.area.clone()];
        assert!(suite.select(&by_area).all(|scenario| scenario.area == first.area));
        assert_eq!(suite.select(&[]).count(), suite.scenarios.len());
    }
}
