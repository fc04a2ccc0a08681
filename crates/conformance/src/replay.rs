//! Replays a scenario and tells where the answers differ from the golden file; and records one.

use std::{fmt, path::Path, time::Duration};

use anyhow::Result;

use crate::{
    compare::{Difference, differences},
    golden::{Golden, GoldenStep},
    runner::Runner,
    scenario::Scenario,
};

/// How long anything may take on the reference, which may share a busy machine with builds.
const RECORDING_PATIENCE: Duration = Duration::from_secs(60);
/// How long anything may take on the server under test. A scenario that fails waits this long for
/// each event that does not come.
const REPLAY_PATIENCE: Duration = Duration::from_secs(10);

/// What came of one step that was not as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The step's label.
    pub step: String,
    /// Where the answer differs.
    pub differences: Vec<Difference>,
    /// Why the step could not be played.
    pub failure: Option<String>,
}

/// What came of replaying one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `area/name`.
    pub scenario: String,
    /// How many steps were compared.
    pub steps: usize,
    /// The steps that differ, in order.
    pub faults: Vec<StepReport>,
}

impl Report {
    /// Whether every step was answered as recorded.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.faults.is_empty()
    }

    fn failed(scenario: &Scenario, step: &str, failure: &anyhow::Error) -> Self {
        let fault = StepReport {
            step: step.to_owned(),
            differences: vec![],
            failure: Some(format!("{failure:#}")),
        };
        Self {
            scenario: scenario.id(),
            steps: 0,
            faults: vec![fault],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return writeln!(out, "{}: {} steps as recorded", self.scenario, self.steps);
        }
        writeln!(
            out,
            "{}: {} of {} steps differ",
            self.scenario,
            self.faults.len(),
            self.steps
        )?;
        for fault in &self.faults {
            writeln!(out, "  {}", fault.step)?;
            if let Some(failure) = &fault.failure {
                writeln!(out, "    {failure}")?;
            }
            for difference in &fault.differences {
                writeln!(out, "    {difference}")?;
            }
        }
        Ok(())
    }
}

/// Replays a scenario against a server that is empty and runs with the scenario's profile.
/// `provider_url` is where the provider of that server can be steered.
pub async fn replay(base_url: &str, provider_url: &str, scenario: &Scenario, golden: &Golden) -> Report {
    replay_patiently(base_url, provider_url, scenario, golden, REPLAY_PATIENCE).await
}

async fn replay_patiently(
    base_url: &str,
    provider_url: &str,
    scenario: &Scenario,
    golden: &Golden,
    patience: Duration,
) -> Report {
    let mut runner = match Runner::new(base_url, provider_url, patience) {
        Ok(runner) => runner,
        Err(error) => return Report::failed(scenario, "start", &error),
    };
    if let Err(error) = runner.prepare(scenario).await {
        return Report::failed(scenario, "people", &error);
    }
    let mut report = Report {
        scenario: scenario.id(),
        steps: 0,
        faults: vec![],
    };
    let mut recorded = golden.steps.iter();
    for (index, step) in scenario.steps.iter().enumerate() {
        runner.foresee(&scenario.steps[index..]);
        let mut fault = StepReport {
            step: step.label.clone(),
            differences: vec![],
            failure: None,
        };
        match runner.play(step).await {
            Ok(None) => continue,
            Ok(Some(answer)) => match recorded.next() {
                Some(golden) if golden.step == step.label => {
                    let actual = runner.masker().compare(&answer, &runner.names);
                    fault.differences = differences(&golden.answer, &actual, &mut runner.names);
                }
                _ => {
                    fault.failure =
                        Some("the golden file is older than the scenario: record it again".to_owned())
                }
            },
            Err(error) => {
                fault.failure = Some(format!("{error:#}"));
                recorded.next();
            }
        }
        report.steps += 1;
        if !fault.differences.is_empty() || fault.failure.is_some() {
            report.faults.push(fault);
        }
    }
    report
}

/// As [`replay`], with the golden file from a folder.
pub async fn replay_from(folder: &Path, base_url: &str, provider_url: &str, scenario: &Scenario) -> Report {
    match Golden::load(folder, scenario) {
        Ok(golden) => replay(base_url, provider_url, scenario, &golden).await,
        Err(error) => Report::failed(scenario, "golden file", &error),
    }
}

/// As [`replay_from`] on a reference server, to see whether a recording repeats itself.
pub async fn check(folder: &Path, base_url: &str, provider_url: &str, scenario: &Scenario) -> Report {
    match Golden::load(folder, scenario) {
        Ok(golden) => replay_patiently(base_url, provider_url, scenario, &golden, RECORDING_PATIENCE).await,
        Err(error) => Report::failed(scenario, "golden file", &error),
    }
}

/// Plays a scenario and keeps the answers.
///
/// # Errors
/// When a step cannot be played.
pub async fn record(base_url: &str, provider_url: &str, scenario: &Scenario) -> Result<Golden> {
    let mut runner = Runner::new(base_url, provider_url, RECORDING_PATIENCE)?;
    runner.prepare(scenario).await?;
    let mut golden = Golden {
        scenario: scenario.id(),
        profile: scenario.profile.clone(),
        steps: vec![],
    };
    for (index, step) in scenario.steps.iter().enumerate() {
        runner.foresee(&scenario.steps[index..]);
        let played = runner.play(step).await.map_err(|error| {
            let before = golden
                .steps
                .last()
                .map(|step| format!("{}: {}", step.step, step.answer))
                .unwrap_or_default();
            error.context(format!("{}, after {before}", step.label))
        });
        if let Some(answer) = played? {
            let answer = runner.masker().record(&answer, &mut runner.names);
            golden.steps.push(GoldenStep {
                step: step.label.clone(),
                answer,
            });
        }
    }
    Ok(golden)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Json, Router, routing::get};
    use serde_json::{Value, json};

    use super::*;
    use crate::scenario;

    const SCENARIO: &str = r#"
scenarios:
  - name: things
    anonymous_only: true
    steps:
      - call: GET /thing
        as: anonymous
        save: {thing: $.id}
      - call: GET /thing?again={{thing}}
        as: anonymous
"#;

    /// A server whose things have ids of their own and these further members.
    async fn server(members: Value) -> String {
        static COUNTER: AtomicUsize = AtomicUsize::new(1);
        let id = format!(
            "00000000-0000-4000-8000-{:012}",
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let mut thing = json!({"id": id, "url": format!("/files/{id}")});
        for (name, value) in members.as_object().unwrap() {
            thing[name] = value.clone();
        }
        let router = Router::new().route("/thing", get(async move || Json(thing)));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn the_same_server_passes_and_another_is_told_apart() {
        let scenario = &scenario::parse("area", SCENARIO).unwrap()[0];
        let golden = record(&server(json!({"n": 1})).await, "", scenario)
            .await
            .unwrap();
        assert_eq!(
            golden.steps[0].answer["json"],
            json!({"id": "<id:thing>", "url": "/files/<id:thing>", "n": 1})
        );

        let same = replay(&server(json!({"n": 1})).await, "", scenario, &golden).await;
        assert!(same.is_same(), "{same}");
        assert_eq!(same.steps, 2);

        let other = replay(&server(json!({"n": "1"})).await, "", scenario, &golden).await;
        let shown = other.to_string();
        assert!(shown.contains("area/things: 2 of 2 steps differ"), "{shown}");
        assert!(
            shown.contains("/json/n: expected int 1, got string \"1\""),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_changed_member_is_found_where_it_is() {
        let scenario = &scenario::parse("area", SCENARIO).unwrap()[0];
        let golden = record(&server(json!({})).await, "", scenario).await.unwrap();
        let other = replay(&server(json!({"id": null})).await, "", scenario, &golden).await;
        assert_eq!(other.faults[0].differences[0].pointer, "/json/id");
        assert!(!other.is_same());
    }
}
