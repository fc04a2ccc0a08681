//! Tokens of Microsoft Entra.

use oui_core::Clock;
use oui_fake_provider::{FakeProvider, Script};
use oui_providers::{Entra, EntraOptions, Http, HttpOptions};
use serde_json::json;

fn entra(options: EntraOptions) -> Entra {
    let options = HttpOptions {
        entra: options,
        ..HttpOptions::default()
    };
    Entra::new(Http::new(options, Clock::system()).unwrap())
}

#[tokio::test]
async fn an_application_signs_in_once() {
    let provider = FakeProvider::start().await;
    let answer = json!({"access_token": "t1", "expires_in": 3600});
    provider.script(Script::json(200, &answer).for_path("/tenant/oauth2/v2.0/token"));
    let entra = entra(EntraOptions {
        tenant: "tenant".into(),
        client: "app".into(),
        secret: Some("p&w".into()),
        authority: format!("{}/", provider.ollama_url()),
        ..EntraOptions::default()
    });
    for _ in 0..2 {
        assert_eq!(entra.token().await.unwrap().expose(), "t1");
    }
    let requests = provider.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        std::str::from_utf8(&requests[0].raw).unwrap(),
        "grant_type=client_credentials&client_id=app\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default&client_secret=p%26w"
    );
}

#[tokio::test]
async fn a_hosted_application_has_an_identity() {
    let provider = FakeProvider::start().await;
    let answer = json!({"access_token": "t2", "expires_in": "3600"});
    provider.script(Script::json(200, &answer).for_path("/identity"));
    let entra = entra(EntraOptions {
        endpoint: format!("{}/identity", provider.ollama_url()),
        header: Some("h".into()),
        ..EntraOptions::default()
    });
    assert_eq!(entra.token().await.unwrap().expose(), "t2");
    let requests = provider.requests();
    assert_eq!(requests[0].header("x-identity-header"), Some("h"));
    assert!(
        requests[0]
            .query
            .as_deref()
            .unwrap()
            .contains("resource=https%3A%2F%2Fcognitiveservices.azure.com")
    );
}

#[tokio::test]
async fn a_refusal_is_no_token_and_not_repeated_at_once() {
    let provider = FakeProvider::start().await;
    let entra = entra(EntraOptions {
        endpoint: format!("{}/identity", provider.ollama_url()),
        header: Some("h".into()),
        ..EntraOptions::default()
    });
    assert_eq!(entra.token().await, None);
    assert_eq!(entra.token().await, None);
    assert_eq!(provider.requests().len(), 1);
}
