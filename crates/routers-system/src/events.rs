//! `/api/events`: the catalogue of events and the webhooks that administrators set on them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use oui_config::connections;
use oui_core::{ApiError, ApiResult, form};
use oui_events::{catalogue, webhooks};
use oui_frontend::FRONTEND_VERSION;
use oui_web::{Admin, App, Area, Body, Caller, endpoints};
use serde_json::{Value, json};

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "events" at "/api/events";
        GET    ""                       Admin => index,
        GET    "/webhooks"              Admin => list,
        POST   "/webhooks"              Admin => create,
        PUT    "/webhooks/{webhook_id}" Admin => update,
        DELETE "/webhooks/{webhook_id}" Admin => remove,
    }
}

form! {
    struct WebhookForm {
        name: Option<String>,
        url: String,
        enabled: bool = true,
        events: Option<Vec<String>>,
        targets: Option<Vec<BTreeMap<String, String>>>,
    }
}

form! {
    /// What is not sent stays.
    struct ChangeForm {
        name: Option<String>,
        url: Option<String>,
        enabled: Option<bool>,
        events: Option<Vec<String>>,
        targets: Option<Vec<BTreeMap<String, String>>>,
    }
}

async fn index(_: Caller<Admin>) -> Json<Value> {
    let events: Vec<Value> = catalogue::NAMES
        .iter()
        .map(|name| {
            json!({
                "event": name,
                "description": catalogue::description(name),
                "message": catalogue::title(name),
            })
        })
        .collect();
    Json(json!({ "schema": FRONTEND_VERSION, "events": events }))
}

async fn list(caller: Caller<Admin>) -> Json<Value> {
    Json(Value::Array(caller.app().events.webhooks()))
}

async fn create(caller: Caller<Admin>, Body { form, .. }: Body<WebhookForm>) -> ApiResult<Json<Value>> {
    let webhook = json!({
        "name": form.name, "url": form.url, "enabled": form.enabled, "events": form.events,
        "targets": form.targets,
    });
    save(&caller, &webhook, "created").await
}

async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, raw }: Body<ChangeForm>,
) -> ApiResult<Json<Value>> {
    let mut webhook = caller
        .app()
        .events
        .webhooks()
        .into_iter()
        .find(|webhook| webhook["id"] == id.as_str())
        .ok_or_else(missing)?;
    let sent = [
        ("name", json!(form.name)),
        ("url", json!(form.url)),
        ("enabled", json!(form.enabled)),
        ("events", json!(form.events)),
        ("targets", json!(form.targets)),
    ];
    for (name, value) in sent {
        if raw.get(name).is_some() {
            webhook[name] = value;
        }
    }
    save(&caller, &webhook, "updated").await
}

fn missing() -> ApiError {
    ApiError::not_found("Webhook not found")
}

/// Makes the single webhook address of older versions the first of the webhooks. Called at start.
///
/// # Errors
/// The database does not answer.
pub async fn adopt_legacy_webhook(app: &App) -> ApiResult<()> {
    let Some(all) = app.events.with_legacy() else {
        return Ok(());
    };
    let change = (connections::EVENT_WEBHOOKS.path().to_owned(), Value::Array(all));
    app.save_config(BTreeMap::from([change])).await
}

/// Stores a webhook in place of the one with its id, or as a new one.
async fn save(caller: &Caller<Admin>, webhook: &Value, action: &str) -> ApiResult<Json<Value>> {
    let app = caller.app();
    let url = webhook["url"].as_str().unwrap_or_default().trim();
    if !url.is_empty() {
        let checked = app.events.http().check(url).await;
        checked.map_err(|refused| ApiError::bad_request(refused.to_string()))?;
    }
    let webhook = webhooks::normalized(webhook, app.clock.seconds(), true)
        .map_err(|invalid| ApiError::bad_request(invalid.0))?;
    let (list, webhook) = webhooks::put(app.events.webhooks(), webhook);
    store(caller, list, false).await?;
    tell(caller, &webhook, action);
    Ok(Json(webhook))
}

async fn store(caller: &Caller<Admin>, list: Vec<Value>, without_legacy: bool) -> ApiResult<()> {
    let mut changes = BTreeMap::from([(connections::EVENT_WEBHOOKS.path().to_owned(), Value::Array(list))]);
    if without_legacy {
        changes.insert(connections::WEBHOOK_URL.path().to_owned(), json!(""));
    }
    caller.app().save_config(changes).await
}

fn tell(caller: &Caller<Admin>, webhook: &Value, action: &str) {
    let mut data = json!({ "action": action });
    if action != "deleted" {
        for name in ["enabled", "events", "targets"] {
            data[name] = webhook[name].clone();
        }
    }
    let notice = caller.notice("config.webhook.updated");
    caller.publish(notice.about_kind("config", webhook["id"].clone()).with(data));
}

async fn remove(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut list = caller.app().events.webhooks();
    let before = list.len();
    list.retain(|webhook| webhook["id"] != id.as_str());
    if list.len() == before {
        return Err(missing());
    }
    // The old single address would come back as this webhook at the next start.
    store(&caller, list, id == webhooks::DEFAULT_ID).await?;
    tell(&caller, &json!({ "id": id }), "deleted");
    Ok(Json(json!({ "status": true })))
}
