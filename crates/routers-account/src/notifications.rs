//! `/api/v1/notifications`: where users want to be told of what happens while they are away.

use axum::Json;
use axum::extract::Path;
use oui_config::ui;
use oui_core::{ApiError, ApiResult, form, messages};
use oui_events::targets::{self, Targets};
use oui_events::{Invalid, catalogue};
use oui_models::db::Changes;
use oui_models::users;
use oui_web::{Area, Body, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "notifications" at "/api/v1/notifications";
        GET    "/events"                      Verified => events,
        GET    "/targets"                     Verified => list,
        POST   "/targets"                     Verified => create,
        PUT    "/targets/{target_id}"         Verified => update,
        DELETE "/targets/{target_id}"         Verified => remove,
        PUT    "/targets/{target_id}/default" Verified => make_default,
        POST   "/targets/{target_id}/test"    Verified => test,
    }
}

form! {
    struct TargetForm {
        id: Option<String>,
        r#type as "type": Option<String>,
        enabled: Option<bool>,
        events: Option<Vec<String>>,
        delivery: Option<String>,
        config: Option<Map<String, Value>>,
    }
}

impl TargetForm {
    /// The members that were sent, as they were read.
    fn payload(self, raw: &Value) -> Value {
        let members = [
            ("id", json!(self.id)),
            ("type", json!(self.r#type)),
            ("enabled", json!(self.enabled)),
            ("events", json!(self.events)),
            ("delivery", json!(self.delivery)),
            ("config", json!(self.config)),
        ];
        members
            .into_iter()
            .filter(|(name, _)| raw.get(name).is_some())
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// Refuses while users may have no webhooks, or this one not.
async fn demand(caller: &Caller<Verified>) -> ApiResult<()> {
    if !caller.app().config.get(&ui::ENABLE_USER_WEBHOOKS) {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    if !caller.may("features.webhooks").await? {
        return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
    }
    Ok(())
}

fn invalid(Invalid(text): Invalid) -> ApiError {
    ApiError::bad_request(text)
}

async fn read(caller: &Caller<Verified>) -> ApiResult<Targets> {
    demand(caller).await?;
    // The cached row may be older than the last change of a target.
    let user = users::by_id(caller.db(), caller.id()).await?;
    let user = user.ok_or_else(|| ApiError::bad_request("User not found"))?;
    let settings = Value::Object(user.settings_object());
    let targets = Targets::read(&settings, caller.app().clock.seconds());
    if targets.is_migrated() {
        store(caller, &targets).await?;
    }
    Ok(targets)
}

async fn store(caller: &Caller<Verified>, targets: &Targets) -> ApiResult<()> {
    let user = users::by_id(caller.db(), caller.id()).await?;
    let mut settings = user.map(|user| user.settings_object()).unwrap_or_default();
    settings.insert("notifications".to_owned(), targets.to_settings());
    let changes = Changes::new().set("settings", Value::Object(settings));
    users::update(caller.db(), caller.id(), changes).await?;
    Ok(())
}

/// Refuses an address that leads to a private network.
async fn check_address(caller: &Caller<Verified>, payload: &Value, existing: &Value) -> ApiResult<()> {
    let address = targets::address(payload, existing).map_err(invalid)?;
    let checked = caller.app().events.http().check(&address).await;
    checked
        .map(drop)
        .map_err(|refused| ApiError::bad_request(refused.to_string()))
}

async fn events(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand(&caller).await?;
    let events: Vec<Value> = catalogue::NOTIFICATIONS
        .iter()
        .map(|name| {
            json!({
                "event": name,
                "label": catalogue::title(name),
                "description": catalogue::description(name),
            })
        })
        .collect();
    Ok(Json(json!({ "events": events })))
}

async fn list(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "targets": read(&caller).await?.public() })))
}

async fn create(caller: Caller<Verified>, Body { form, raw }: Body<TargetForm>) -> ApiResult<Json<Value>> {
    let mut targets = read(&caller).await?;
    let payload = form.payload(&raw);
    refuse_other_kinds(&payload, &Value::Null)?;
    check_address(&caller, &payload, &Value::Null).await?;
    let target = targets
        .add(&payload, caller.app().clock.seconds())
        .map_err(invalid)?;
    store(&caller, &targets).await?;
    Ok(Json(target))
}

/// The kind is looked at before the address.
fn refuse_other_kinds(payload: &Value, existing: &Value) -> ApiResult<()> {
    let kind = payload["type"]
        .as_str()
        .or(existing["type"].as_str())
        .map(str::trim);
    match kind {
        None | Some("" | "webhook") => Ok(()),
        Some(_) => Err(ApiError::bad_request("Unsupported notification target type")),
    }
}

async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    Body { form, raw }: Body<TargetForm>,
) -> ApiResult<Json<Value>> {
    let mut targets = read(&caller).await?;
    let payload = form.payload(&raw);
    if let Some(existing) = targets.find(&id).cloned() {
        refuse_other_kinds(&payload, &existing)?;
        check_address(&caller, &payload, &existing).await?;
    }
    let target = targets
        .change(&id, &payload, caller.app().clock.seconds())
        .map_err(invalid)?;
    store(&caller, &targets).await?;
    Ok(Json(target))
}

async fn remove(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut targets = read(&caller).await?;
    if !targets.remove(&id) {
        return Err(ApiError::not_found(messages::NOT_FOUND));
    }
    store(&caller, &targets).await?;
    Ok(Json(json!({ "ok": true })))
}

async fn make_default(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let mut targets = read(&caller).await?;
    let target = targets.make_default(&id).map_err(invalid)?;
    store(&caller, &targets).await?;
    Ok(Json(target))
}

async fn test(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let targets = read(&caller).await?;
    let target = targets.find(&id);
    let target = target.ok_or_else(|| ApiError::bad_request("Notification target not found"))?;
    let sent = caller.app().events.test_target(caller.id(), target).await;
    sent.map_err(invalid)?;
    Ok(Json(json!({ "ok": true })))
}
