//! The official clients of OpenAI, Anthropic and Ollama (from PyPI) against the server. They run in a Python that has
//! them, which `test.sh` sets up and names in `OUI_TEST_SDK`; without it the test says so and passes.

use oui_testkit::{Backend, TestApp, repository};
use serde_json::json;

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not of the server"
)]
fn python() -> Option<String> {
    std::env::var("OUI_TEST_SDK").ok().filter(|path| !path.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_work() {
    let Some(python) = python() else {
        eprintln!("OUI_TEST_SDK names no Python with the official clients; left out");
        return;
    };
    let app = TestApp::start(Backend::Sqlite).await.unwrap();
    let admin = app.admin().await;
    let provider = app.provider.ollama_url();
    let openai = json!({
        "ENABLE_OPENAI_API": true,
        "OPENAI_API_BASE_URLS": [app.provider.openai_url(), format!("{provider}/api.anthropic.com/v1")],
        "OPENAI_API_KEYS": ["sk-provider", "sk-ant"],
        "OPENAI_API_CONFIGS": {"1": {"prefix_id": "ant"}},
    });
    admin.post("/openai/config/update", openai).await.ok();
    let ollama = json!({"ENABLE_OLLAMA_API": true, "OLLAMA_BASE_URLS": [provider], "OLLAMA_API_CONFIGS": {}});
    admin.post("/ollama/config/update", ollama).await.ok();
    let output = tokio::process::Command::new(python)
        .arg(repository().join("tests/sdk/run.py"))
        .arg(app.url())
        .arg(admin.token.as_deref().unwrap_or_default())
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .output()
        .await
        .unwrap();
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{error}");
    assert!(
        out.lines().filter(|line| line.starts_with("ok ")).count() >= 15,
        "{out}"
    );
}
