//! Addresses at which programs write into a channel without signing in. Whoever manages the channel makes them.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Notice, Notices, form, messages as texts};
use oui_models::channel_webhooks::{self, WebhookRow};
use oui_models::channels::ChannelRow;
use oui_models::messages::{self, NewMessage, Shape};
use oui_models::shared;
use oui_web::{Body, Caller, Public, Verified};
use serde_json::{Map, Value, json};

use super::messages::{created, one, tell};
use super::{Channel, check, check_switch, find, manages, may_read, refused};
use crate::picture;

form! {
    /// Name and picture under which a program writes.
    pub(super) struct WebhookForm {
        /// Name shown.
        name: String,
        /// Path, address or data URI.
        profile_image_url: Option<String>,
    }
}

form! {
    /// What a program writes.
    pub(super) struct ContentForm {
        /// Text.
        content: String,
    }
}

/// Refuses pictures that may not be kept.
fn check_picture(caller: &Caller<Verified>, url: Option<&str>) -> ApiResult<()> {
    let Some(url) = url.filter(|url| !picture::is_valid(url, &caller.app().settings.access)) else {
        return Ok(());
    };
    let text = "Invalid profile image URL: must be a known internal path, an HTTP(S) URL with a host, or a data:image \
                URI (png/jpeg/gif/webp).";
    let mut issues = Issues::at("body");
    issues.inside("profile_image_url", |issues| {
        let text = format!("Value error, {text}");
        issues.push_ctx("value_error", text, &json!(url), json!({ "error": {} }));
    });
    Err(ApiError::unprocessable(issues.into_found()))
}

/// The channel, when the caller manages it.
async fn managed(caller: &Caller<Verified>, id: &str) -> ApiResult<Channel> {
    check(caller).await?;
    let channel = find(caller, id).await?;
    if manages(caller, &channel).await? || caller.is_admin() {
        Ok(channel)
    } else {
        Err(ApiError::forbidden(texts::UNAUTHORIZED))
    }
}

/// The address, when it is one of this channel.
async fn of_channel(caller: &Caller<Verified>, channel_id: &str, id: &str) -> ApiResult<WebhookRow> {
    let webhook = channel_webhooks::by_id(caller.db(), id).await?;
    webhook
        .filter(|webhook| webhook.channel_id == channel_id)
        .ok_or_else(|| ApiError::not_found(texts::NOT_FOUND))
}

pub(super) async fn list(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    managed(&caller, &id).await?;
    let webhooks = channel_webhooks::of_channel(caller.db(), &id).await?;
    Ok(Json(webhooks.iter().map(WebhookRow::to_json).collect()))
}

pub(super) async fn create(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<WebhookForm>,
) -> ApiResult<Json<Value>> {
    let form = body.form;
    check_picture(&caller, form.profile_image_url.as_deref())?;
    managed(&caller, &id).await?;
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let shown = (form.name.as_str(), form.profile_image_url);
    let webhook = channel_webhooks::create(caller.db(), &id, caller.id(), shown, token).await?;
    let details = json!({ "channel_id": id, "name": webhook.name });
    caller.tell("channel.webhook.created", webhook.id.as_str(), details);
    Ok(Json(webhook.to_json()))
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path((id, webhook_id)): Path<(String, String)>,
    body: Body<WebhookForm>,
) -> ApiResult<Json<Value>> {
    let form = body.form;
    check_picture(&caller, form.profile_image_url.as_deref())?;
    managed(&caller, &id).await?;
    of_channel(&caller, &id, &webhook_id).await?;
    channel_webhooks::update(caller.db(), &webhook_id, &form.name, form.profile_image_url).await?;
    let webhook = of_channel(&caller, &id, &webhook_id).await?;
    let details = json!({ "channel_id": id, "name": webhook.name });
    caller.tell("channel.webhook.updated", webhook_id, details);
    Ok(Json(webhook.to_json()))
}

pub(super) async fn delete(
    caller: Caller<Verified>,
    Path((id, webhook_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    managed(&caller, &id).await?;
    of_channel(&caller, &id, &webhook_id).await?;
    let gone = channel_webhooks::delete(caller.db(), &webhook_id).await?;
    if gone {
        caller.tell("channel.webhook.deleted", webhook_id, json!({ "channel_id": id }));
    }
    Ok(Json(json!(gone)))
}

pub(super) async fn picture(caller: Caller<Verified>, Path(webhook_id): Path<String>) -> ApiResult<Response> {
    check(&caller).await?;
    let access = &caller.app().settings.access;
    let Some(webhook) = channel_webhooks::by_id(caller.db(), &webhook_id).await? else {
        return Ok(picture::respond(None, None, access));
    };
    let channel = find(&caller, &webhook.channel_id).await?;
    if !may_read(&caller, &channel).await? {
        return Err(refused());
    }
    Ok(picture::respond(
        webhook.profile_image_url.as_deref(),
        None,
        access,
    ))
}

pub(super) async fn post(
    caller: Caller<Public>,
    Path((webhook_id, token)): Path<(String, String)>,
    body: Body<ContentForm>,
) -> ApiResult<Json<Value>> {
    check_switch(caller.app())?;
    let webhook = channel_webhooks::by_id(caller.db(), &webhook_id).await?;
    let webhook = webhook
        .filter(|webhook| same(&webhook.token, &token))
        .ok_or_else(|| {
            ApiError::unauthorized("The URL you provided is invalid. Please double-check and try again.")
        })?;
    let channel = shared::get::<ChannelRow>(caller.db(), &webhook.channel_id).await?;
    let channel = channel.ok_or_else(|| ApiError::not_found(texts::NOT_FOUND))?;
    let new = NewMessage {
        content: body.form.content,
        meta: Some(Map::from_iter([(
            "webhook".to_owned(),
            json!({ "id": webhook.id }),
        )])),
        ..NewMessage::default()
    };
    let row = messages::create(caller.db(), &channel.row.id, &webhook.user_id, new, false).await?;
    channel_webhooks::mark_used(caller.db(), &webhook.id).await?;
    let author = json!({ "id": webhook.id, "name": webhook.name, "role": "webhook", "type": "webhook" });
    let notice = Notice::new("message.created").by(author).about(row.id.as_str());
    let notice = notice.from_source("channel_webhook");
    caller
        .app()
        .events
        .publish(notice.with(created(&channel.row.id, &row)));
    if let Some(message) = one(caller.db(), &row.id).await? {
        let told = message.to_json(Shape::Whole);
        tell(
            caller.app(),
            &channel,
            &row.id,
            ("message", told),
            webhook.author_json(),
        )
        .await;
    }
    Ok(Json(json!({ "success": true, "message_id": row.id })))
}

/// Compares secrets in a time that tells nothing of where they differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left
            .bytes()
            .zip(right.bytes())
            .fold(0, |sum, (a, b)| sum | (a ^ b))
            == 0
}
