//! Every recorded scenario is replayed against our server, each on a server of its own.

use std::fmt::Write as _;

use futures::StreamExt;
use oui_conformance::{Report, Suite, Verdict};
use oui_testkit::{Backend, TestApp};

/// Scenarios at a time: each brings its own server and database.
const AT_ONCE: usize = 3;

/// Whether all that differs is a number that SQLite stores in another class: its JSON columns make `0.0`
/// a `0`, PostgreSQL keeps it, and the recordings come from SQLite.
fn is_storage_class(backend: Backend, report: &Report) -> bool {
    matches!(backend, Backend::Postgres)
        && report.faults.iter().all(|fault| {
            fault.failure.is_none()
                && fault.differences.iter().all(|found| {
                    number(found.expected.as_ref(), "int")
                        .is_some_and(|expected| Some(expected) == number(found.actual.as_ref(), "float"))
                })
        })
}

/// The number that a report shows as `int 0` or `float 0.0`; of a masked one, `<int>`, only the kind is known.
fn number(shown: Option<&serde_json::Value>, kind: &str) -> Option<Option<i64>> {
    match shown? {
        serde_json::Value::String(mask) => (*mask == format!("<{kind}>")).then_some(None),
        serde_json::Value::Number(number) => {
            let is_kind = (kind == "float") == number.is_f64();
            let whole = number.as_f64().filter(|value| value.fract() == 0.0);
            #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
            whole.filter(|_| is_kind).map(|value| Some(value as i64))
        }
        _ => None,
    }
}

/// Areas or scenarios to replay, from `OUI_SCENARIOS=auths,chats/lists`; all when it is not set.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not of the server"
)]
fn chosen() -> Vec<String> {
    let list = std::env::var("OUI_SCENARIOS").unwrap_or_default();
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

async fn replay_all(backend: Backend) {
    let suite = Suite::of_checkout().unwrap();
    let only = chosen();
    let scenarios: Vec<_> = suite.select(&only).collect();
    assert!(!scenarios.is_empty());
    let verdicts: Vec<Option<Verdict>> = futures::stream::iter(scenarios)
        .map(|scenario| async {
            // The addresses are not known before the start, so the provider comes first.
            let provider = oui_conformance::start_provider().await;
            let provider_url = provider.ollama_url();
            let environment = suite.environment(scenario, &provider_url).unwrap();
            let variables: Vec<(&str, &str)> = environment
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let app = TestApp::with_environment(backend, &variables).await?;
            let verdict = suite.check(scenario, &app.url(), &provider_url).await;
            app.stop().await;
            Some(verdict)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut faults = String::new();
    let mut count = 0;
    for verdict in verdicts.iter().flatten() {
        count += 1;
        if let Verdict::NoLongerPending(report) = verdict {
            writeln!(
                faults,
                "{} passes now; take it out of conformance/pending.txt",
                report.scenario
            )
            .unwrap();
        } else if !verdict.is_good() && !is_storage_class(backend, verdict.report()) {
            write!(faults, "{verdict}").unwrap();
        }
    }
    assert!(faults.is_empty(), "of {count} scenarios:\n{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    replay_all(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    replay_all(Backend::Postgres).await;
}
