//! The benchmark's scenarios with hardly any load: every one of them must run through without a fault. How fast is
//! not asked here.

use std::time::Duration;

use oui_bench::load::Effort;
use oui_bench::report::Figures;
use oui_bench::scenarios::{reads, slow, sse, web};
use oui_bench::site::{CLOCK_MODEL, Extent, Site};
use oui_fake_provider::{FakeProvider, Settings};
use oui_testkit::{Backend, TestApp};

async fn every_scenario(backend: Backend) {
    let effort = Effort::token();
    let mut settings = Settings::with_models([CLOCK_MODEL]);
    settings.times = true;
    settings.pause = Duration::from_millis(1);
    settings.chunks = effort.words;
    let clock = FakeProvider::start_with(settings).await;
    let fast = FakeProvider::start().await;
    let urls = format!("{};{}", fast.openai_url(), clock.openai_url());
    let variables = [
        ("OPENAI_API_BASE_URLS", urls.as_str()),
        ("OPENAI_API_KEYS", "sk-fast;sk-slow"),
        ("BYPASS_MODEL_ACCESS_CONTROL", "true"),
    ];
    let Some(app) = TestApp::with_environment(backend, &variables).await else {
        return;
    };
    let address = app.url().trim_start_matches("http://").parse().unwrap();
    let extent = Extent {
        people: effort.clients,
        chats: 3,
        messages: 5,
    };
    let site = Site::prepare(address, extent).await.unwrap();

    let mut figures = Figures::default();
    reads::run(&site, &effort, &mut figures).await.unwrap();
    assert_eq!(figures.names().count(), 14);
    let words = Settings::default().chunks;
    let bare = sse::run(fast.address(), sse::PROVIDER_PATH, &[], words, &effort).await;
    assert!(bare.unwrap().per_second > 0.0);
    let through = sse::run(address, sse::SERVER_PATH, &site.tokens, words, &effort).await;
    assert!(through.unwrap().per_second > 0.0);
    assert!(web::run(&site, words, &effort).await.unwrap().per_second > 0.0);
    let expected = effort.streams * effort.words;
    let delays = slow::sse(address, sse::SERVER_PATH, &site.tokens, &effort)
        .await
        .unwrap();
    assert_eq!(delays.len(), expected);
    assert_eq!(slow::web(&site, &effort).await.unwrap().len(), expected);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_runs_on_sqlite() {
    every_scenario(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_runs_on_postgres() {
    every_scenario(Backend::Postgres).await;
}
