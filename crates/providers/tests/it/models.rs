//! Lists of models.

use std::time::Duration;

use oui_core::Clock;
use oui_fake_provider::{FakeProvider, Script};
use oui_providers::{
    CallContext, CallUser, ForwardHeaders, Http, HttpOptions, ModelCatalogue, ProviderKind, Timeouts,
};
use serde_json::json;

use crate::{NOW, dead_address, hasty, http, settings, silent_server};

fn catalogue(timeouts: Timeouts) -> ModelCatalogue {
    ModelCatalogue::new(http(timeouts), Clock::fixed(NOW))
}

#[tokio::test]
async fn all_providers_make_one_list() {
    let (a, b) = (FakeProvider::start().await, FakeProvider::start().await);
    let list =
        json!({"object": "list", "data": [{"id": "m1", "object": "model"}, {"id": "m2", "name": "Two"}]});
    for provider in [&a, &b] {
        provider.script(Script::json(200, &list).for_path("/v1/models"));
    }
    let tags =
        json!({"models": [{"name": "l:1", "model": "l:1", "size": 5}, {"name": "l:2", "model": "l:2"}]});
    a.script(Script::json(200, &tags).for_path("/api/tags"));
    b.script(Script::json(200, &tags).for_path("/api/tags"));
    let loaded = json!({"models": [{"model": "l:2", "expires_at": "2023-11-14T22:13:20.123456789Z"}]});
    b.script(Script::json(200, &loaded).for_path("/api/ps"));
    let settings = settings(json!({
        "openai.enable": true,
        "openai.api_base_urls": [a.openai_url(), b.openai_url(), "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"],
        "openai.api_keys": ["ka", "kb"],
        "openai.api_configs": {
            "1": {"prefix_id": "b", "tags": [{"name": "t"}]},
            "2": {"enable": false},
            "3": {"model_ids": ["fixed"], "connection_type": "local"},
        },
        "ollama.enable": true,
        "ollama.base_urls": [a.ollama_url(), b.ollama_url()],
        "ollama.api_configs": {"1": {"key": "ko", "model_ids": ["l:2"]}},
    }));
    let catalogue = catalogue(Timeouts::default());
    assert!(catalogue.snapshot().openai.is_empty());
    let found = catalogue.refresh(&settings, &CallContext::default()).await;
    assert_eq!(found.warnings, []);
    assert_eq!(
        found.openai.keys().collect::<Vec<_>>(),
        ["m1", "m2", "b.m1", "b.m2", "fixed"]
    );
    assert_eq!(
        found.openai["b.m2"],
        json!({"id": "b.m2", "name": "b.Two", "tags": [{"name": "t"}], "connection_type": "external", "owned_by": "openai",
               "openai": {"id": "b.m2", "name": "b.Two", "tags": [{"name": "t"}], "connection_type": "external"},
               "provider": "", "urlIdx": 1})
    );
    assert_eq!(
        (found.openai_index("fixed"), found.openai_index("nothing")),
        (Some(3), None)
    );
    assert_eq!(
        (found.ollama_indices("l:1"), found.ollama_indices("l:2")),
        (vec![0], vec![0, 1])
    );
    assert_eq!(found.ollama["l:2"]["expires_at"], NOW);
    let base = found.base_models();
    assert_eq!(base.len(), 7);
    assert_eq!(
        base[6],
        json!({"id": "l:2", "name": "l:2", "object": "model", "created": 0, "owned_by": "ollama",
               "ollama": found.ollama["l:2"], "loaded": true, "connection_type": "local", "tags": []})
    );
    let connection = found.connection(&settings, ProviderKind::OpenAi, "b.m1").unwrap();
    assert_eq!((connection.index, connection.key.expose()), (1, "kb"));
    assert_eq!(a.requests_to("/v1/models")[0].bearer(), Some("ka"));
    assert_eq!(
        (
            a.requests_to("/api/tags")[0].bearer(),
            b.requests_to("/api/tags")[0].bearer()
        ),
        (None, Some("ko"))
    );
    assert_eq!(found.fetched_at, NOW * 1_000_000_000);
    assert_eq!(catalogue.snapshot().openai, found.openai);
}

#[tokio::test]
async fn dead_and_silent_providers_do_not_hurt_the_others() {
    let provider = FakeProvider::start().await;
    let (listener, silent) = silent_server().await;
    let dead = dead_address().await;
    let settings = settings(json!({
        "openai.enable": true,
        "openai.api_base_urls": [format!("http://{silent}/v1"), format!("http://u:secret@{dead}/v1"), provider.openai_url()],
        "ollama.enable": true,
        "ollama.base_urls": [format!("http://{dead}"), provider.ollama_url(), format!("http://{silent}")],
    }));
    let catalogue = catalogue(hasty());
    for _ in 0..2 {
        let context = CallContext::default();
        let round = catalogue.refresh(&settings, &context);
        let found = tokio::time::timeout(Duration::from_secs(20), round)
            .await
            .unwrap();
        assert!(found.openai.contains_key("echo") && !found.ollama.is_empty());
        assert_eq!(found.openai_index("echo"), Some(2));
        let warned: Vec<_> = found
            .warnings
            .iter()
            .map(|warning| (warning.kind, warning.index, warning.url.clone()))
            .collect();
        let expected = [
            (ProviderKind::OpenAi, 0, format!("http://{silent}/v1")),
            (ProviderKind::OpenAi, 1, format!("http://{dead}/v1")),
            (ProviderKind::Ollama, 0, format!("http://{dead}")),
            (ProviderKind::Ollama, 2, format!("http://{silent}")),
        ];
        assert_eq!(warned, expected);
        assert_eq!(found.warnings[0].message, "no answer in time");
    }

    // Once it answers again it is back, at the latest in the round after.
    drop(listener);
    let revived = FakeProvider::bind(silent, oui_fake_provider::Settings::default())
        .await
        .unwrap();
    let mut found = catalogue.refresh(&settings, &CallContext::default()).await;
    for _ in 0..20 {
        if found.ollama_indices(found.ollama.keys().next().unwrap()) == [1, 2] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = catalogue.refresh(&settings, &CallContext::default()).await;
    }
    assert_eq!(found.openai_index("echo"), Some(0));
    assert!(!revived.requests_to("/v1/models").is_empty());
}

#[tokio::test]
async fn answers_of_any_kind_break_nothing() {
    let provider = FakeProvider::start().await;
    let urls: Vec<_> = (0..5).map(|_| provider.openai_url()).collect();
    for body in [
        "{\"error\": {\"message\": \"no\"}}",
        "[{\"id\": \"from-list\"}]",
        "{\"data\": null}",
        "{\"data\": [1, null]}",
    ] {
        provider.script(Script::raw(200, "application/json", [body]).for_path("/v1/models"));
    }
    provider.script(Script::raw(200, "text/html", ["<html>"]).for_path("/v1/models"));
    let settings = settings(json!({"openai.enable": true, "openai.api_base_urls": urls}));
    let found = catalogue(Timeouts::default())
        .refresh(&settings, &CallContext::default())
        .await;
    assert_eq!(found.openai.keys().collect::<Vec<_>>(), ["from-list"]);
    assert_eq!(found.warnings.len(), 1);
}

#[tokio::test]
async fn rounds_are_shared_and_forgotten() {
    let provider = FakeProvider::start().await;
    let one = settings(json!({"openai.enable": true, "openai.api_base_urls": [provider.openai_url()]}));
    let catalogue = catalogue(Timeouts::default());
    let context = CallContext::for_user(CallUser {
        id: "u".into(),
        ..CallUser::default()
    });
    let other = CallContext::default();
    let rounds = (0..8).map(|turn| catalogue.refresh(&one, if turn % 2 == 0 { &context } else { &other }));
    let found = futures::future::join_all(rounds).await;
    assert!(found.iter().all(|snapshot| snapshot.openai.contains_key("echo")));
    assert_eq!(provider.requests_to("/v1/models").len(), 1);

    catalogue.refresh(&one, &context).await;
    assert_eq!(provider.requests_to("/v1/models").len(), 2);
    catalogue.invalidate();
    assert!(catalogue.snapshot().openai.is_empty());

    // A round that began before the change does not come back after it.
    let late = tokio::spawn({
        let (catalogue, one) = (catalogue.clone(), one.clone());
        async move { catalogue.refresh(&one, &CallContext::default()).await }
    });
    tokio::task::yield_now().await;
    catalogue.invalidate();
    assert!(late.await.unwrap().openai.contains_key("echo"));
    assert!(catalogue.snapshot().openai.is_empty());

    let off = settings(json!({"openai.enable": false, "openai.api_base_urls": [provider.openai_url()]}));
    assert!(catalogue.refresh(&off, &context).await.openai.is_empty());
}

#[tokio::test]
async fn who_asks_matters_when_providers_are_told() {
    let provider = FakeProvider::start().await;
    let forward = ForwardHeaders {
        enabled: true,
        ..ForwardHeaders::default()
    };
    let http = Http::new(
        HttpOptions {
            forward,
            ..HttpOptions::default()
        },
        Clock::fixed(NOW),
    )
    .unwrap();
    let catalogue = ModelCatalogue::new(http, Clock::fixed(NOW));
    let settings = settings(json!({"openai.enable": true, "openai.api_base_urls": [provider.openai_url()]}));
    let user = |id: &str| {
        CallContext::for_user(CallUser {
            id: id.into(),
            ..CallUser::default()
        })
    };
    let (a, b) = (user("a"), user("b"));
    tokio::join!(
        catalogue.refresh(&settings, &a),
        catalogue.refresh(&settings, &b),
        catalogue.refresh(&settings, &a)
    );
    let requests = provider.requests_to("/v1/models");
    let mut askers: Vec<_> = requests
        .iter()
        .filter_map(|request| request.header("x-openwebui-user-id"))
        .collect();
    askers.sort_unstable();
    assert_eq!(askers, ["a", "b"]);
}

#[tokio::test]
async fn anthropic_lists_come_in_pages() {
    let provider = FakeProvider::start().await;
    // The address is recognised by the host's name, which may stand in the path; the provider leaves it out of what
    // it keeps.
    let url = format!("{}/api.anthropic.com/v1", provider.ollama_url());
    let path = "/v1/models";
    let pages = [
        json!({"data": [{"id": "c1", "display_name": "C One"}], "has_more": true, "last_id": "c 1"}),
        json!({"data": [{"id": "c2"}], "has_more": false, "last_id": "c2"}),
    ];
    for page in &pages {
        provider.script(Script::json(200, page).for_path(path));
    }
    let settings =
        settings(json!({"openai.enable": true, "openai.api_base_urls": [url], "openai.api_keys": ["ka"]}));
    let catalogue = catalogue(Timeouts::default());
    let found = catalogue.refresh(&settings, &CallContext::default()).await;
    let names: Vec<_> = found
        .openai
        .values()
        .map(|model| (&model["name"], &model["openai"]["owned_by"]))
        .collect();
    let owner = json!("anthropic");
    assert_eq!(names, [(&json!("C One"), &owner), (&json!("c2"), &owner)]);
    let asked = provider.requests_to(path);
    let queries: Vec<_> = asked
        .iter()
        .map(|request| request.query.as_deref().unwrap())
        .collect();
    assert_eq!(queries, ["limit=1000", "limit=1000&after_id=c%201"]);
    assert_eq!(
        (asked[0].header("x-api-key"), asked[0].bearer()),
        (Some("ka"), None)
    );
    assert_eq!(asked[0].header("anthropic-version"), Some("2023-06-01"));

    provider.script(Script::refuse(401).for_path(path));
    assert!(
        catalogue
            .refresh(&settings, &CallContext::default())
            .await
            .openai
            .is_empty()
    );
    provider.script(Script::refuse(401).for_path(path));
    let context = CallContext::default();
    let http = http(Timeouts::default());
    let error = oui_providers::verify_openai(&http, &settings.openai[0].url, "ka", None, &context)
        .await
        .unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.body()),
        (500, &json!({"detail": "Open WebUI: Server Connection Error"}))
    );
}
