//! Trying connections.

use axum::response::IntoResponse;
use oui_fake_provider::{FakeProvider, Script};
use oui_providers::{CallContext, Timeouts, verify_ollama, verify_openai};
use serde_json::{Value, json};

use crate::{body, dead_address, hasty, http, silent_server};

#[tokio::test]
async fn openai_servers_are_tried() {
    let provider = FakeProvider::start().await;
    let (http, context) = (http(Timeouts::default()), CallContext::default());
    let url = provider.openai_url();
    let found = verify_openai(&http, &url, "sk", None, &context).await.unwrap();
    assert_eq!(found["object"], "list");
    assert_eq!(provider.requests_to("/v1/models")[0].bearer(), Some("sk"));

    provider.script(Script::refuse(401).for_path("/v1/models"));
    let error = verify_openai(&http, &url, "sk", Some(&json!({"auth_type": "none"})), &context)
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), &error.body()["error"]["code"]),
        (401, &json!("invalid_api_key"))
    );

    provider.script(Script::raw(404, "text/plain", ["nothing here"]).for_path("/v1/models"));
    let response = verify_openai(&http, &url, "sk", None, &context)
        .await
        .unwrap_err()
        .into_response();
    assert_eq!(response.status(), 404);
    assert_eq!(body(response).await, "nothing here");

    let dead = format!("http://{}/v1", dead_address().await);
    let error = verify_openai(&http, &dead, "sk", None, &context)
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (500, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );

    let config = json!({"azure": true, "api_version": "2024-10-21"});
    assert!(
        verify_openai(&http, &provider.ollama_url(), "sk", Some(&config), &context)
            .await
            .is_err()
    );
    let sent = provider.requests().pop().unwrap();
    assert_eq!(
        (sent.path.as_str(), sent.query.as_deref()),
        ("/openai/models", Some("api-version=2024-10-21"))
    );
    assert_eq!(sent.header("api-key"), Some("sk"));
}

#[tokio::test]
async fn ollama_servers_are_tried() {
    let provider = FakeProvider::start().await;
    let (http, context) = (http(hasty()), CallContext::default());
    let url = provider.ollama_url();
    let found = verify_ollama(&http, &url, "", None, &context).await.unwrap();
    assert!(found["version"].is_string());

    let detail = |script: Script| {
        provider.script(script.for_path("/api/version"));
        let (http, url, context) = (&http, &url, &context);
        async move {
            let error = verify_ollama(http, url, "", None, context).await.unwrap_err();
            assert_eq!(error.status(), 500);
            error.detail_text()
        }
    };
    let gone = json!({"error": "gone"});
    assert_eq!(
        detail(Script::json(404, &gone)).await,
        "Unexpected error: External Error: gone"
    );
    let odd = json!({"error": {"message": "it", "n": null}});
    assert_eq!(
        detail(Script::json(500, &odd)).await,
        "Unexpected error: External Error: {'message': 'it', 'n': None}"
    );
    assert_eq!(
        detail(Script::json(403, &Value::from(Vec::<Value>::new()))).await,
        "Unexpected error: HTTP Error: 403"
    );
    assert_eq!(
        detail(Script::raw(200, "text/html", ["<html>"])).await,
        "Open WebUI: Server Connection Error"
    );

    let error = verify_ollama(
        &http,
        &format!("http://{}", dead_address().await),
        "",
        None,
        &context,
    )
    .await
    .unwrap_err();
    assert_eq!(error.detail_text(), "Open WebUI: Server Connection Error");
    let (_listener, silent) = silent_server().await;
    let error = verify_ollama(&http, &format!("http://{silent}"), "", None, &context)
        .await
        .unwrap_err();
    assert_eq!(error.detail_text(), "Unexpected error: ");
}
