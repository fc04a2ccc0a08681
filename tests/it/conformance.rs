//! Every recorded scenario is replayed against our server, each on a server of its own.

use std::fmt::Write as _;

use futures::StreamExt;
use oui_conformance::{Suite, Verdict};
use oui_testkit::{Backend, TestApp};

/// Scenarios at a time: each brings its own server and database.
const AT_ONCE: usize = 3;

/// Areas or scenarios to replay, from `OUI_SCENARIOS=auths,chats/lists`; all when it is not set.
#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not of the server")]
fn chosen() -> Vec<String> {
    let list = std::env::var("OUI_SCENARIOS").unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

async fn replay_all(backend: Backend) {
    let suite = Suite::of_checkout().unwrap();
    let only = chosen();
    let scenarios: Vec<_> = suite.select(&only).collect();
    assert!(!scenarios.is_empty());
    let verdicts: Vec<Option<Verdict>> = futures::stream::iter(scenarios)
        .map(|scenario| async {
            // The addresses are not known before the start, so the provider comes first.
            let provider = oui_fake_provider::FakeProvider::start().await;
            let provider_url = provider.ollama_url();
            let environment = suite.environment(scenario, &provider_url).unwrap();
            let variables: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
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
            eprintln!("{} passes now; take it out of conformance/pending.txt", report.scenario);
        } else if !verdict.is_good() {
            write!(faults, "{verdict}").unwrap();
        }
    }
    assert!(faults.is_empty(), "of {count} scenarios:\n{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    replay_all(Backend::Sqlite).await;
}

/// Whether the recordings are also replayed on PostgreSQL. They are asked for with
/// `OUI_REPLAY_POSTGRES=1`: several servers starting at once in one process run out of
/// connections while loading their configuration, for a reason not yet found.
#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not of the server")]
fn on_postgres() -> bool {
    std::env::var("OUI_REPLAY_POSTGRES").is_ok_and(|value| value == "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    if !on_postgres() {
        eprintln!("not replayed on PostgreSQL: OUI_REPLAY_POSTGRES=1 asks for it");
        return;
    }
    replay_all(Backend::Postgres).await;
}
