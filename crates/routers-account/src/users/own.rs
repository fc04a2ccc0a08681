//! What accounts keep about themselves: client settings, status, a free object.

use axum::Json;
use oui_config::{ui, users as keys};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::db::Changes;
use oui_models::users::{self, own};
use oui_web::body::ObjectBody;
use oui_web::{Body, Caller, Query, Verified};
use serde_json::{Map, Value};

use super::unknown_user;

/// Client settings of the interface page, which needs the permission `settings.interface`.
const INTERFACE: &[&str] = &[
    "autoTags",
    "autoFollowUps",
    "highContrastMode",
    "detectArtifacts",
    "responseAutoCopy",
    "showUsername",
    "showUpdateToast",
    "showChangelog",
    "showEmojiInCall",
    "voiceInterruption",
    "displayMultiModelResponsesInTabs",
    "chatFadeStreamingText",
    "richTextInput",
    "showFormattingToolbar",
    "insertPromptAsRichText",
    "promptAutocomplete",
    "insertSuggestionPrompt",
    "keepFollowUpPrompts",
    "insertFollowUpPrompt",
    "regenerateMenu",
    "enableMessageQueue",
    "largeTextAsFile",
    "copyFormatted",
    "collapseCodeBlocks",
    "renderMarkdownInUserMessages",
    "renderMarkdownInAssistantMessages",
    "expandDetails",
    "chatHoverPreview",
    "renderMarkdownInPreviews",
    "chatBubble",
    "widescreenMode",
    "splitLargeChunks",
    "scrollOnBranchChange",
    "scrollOnResponseGeneration",
    "showFilesOnTerminalSelect",
    "temporaryChatByDefault",
    "userLocation",
    "showChatTitleInTab",
    "iframeSandboxAllowScripts",
    "iframeSandboxAllowSameOrigin",
    "iframeSandboxAllowForms",
    "iframeSandboxAllowDownloads",
    "terminalPreviewAllowSameOrigin",
    "stylizedPdfExport",
    "hapticFeedback",
    "ctrlEnterToSend",
    "showFloatingActionButtons",
    "imageCompression",
    "imageCompressionInChannels",
    "landingPageMode",
    "chatDirection",
    "terminalFileDisplay",
    "defaultUploadContext",
    "webSearch",
    "models",
    "backgroundImageUrl",
    "fontFamily",
    "textScale",
    "title",
    "imageCompressionSize",
    "floatingActionButtons",
];

form! {
    pub(super) struct SettingsQuery {
        raw: bool = false,
    }
}

form! {
    /// Client settings; only `ui` has a type.
    pub(super) struct SettingsForm {
        ui: Option<Map<String, Value>>,
        ; .. pub(super) others
    }
}

form! {
    pub(super) struct StatusForm {
        status_emoji: Option<String>,
        status_message: Option<String>,
        status_expires_at: Option<i64>,
    }
}

/// The own settings over the operator's defaults, or, `raw`, as they are.
pub(super) async fn settings(caller: Caller<Verified>, Query(query): Query<SettingsQuery>) -> Json<Value> {
    let stored = caller.user().settings_json();
    let defaults = caller.app().config.get(&ui::DEFAULT_INTERFACE_SETTINGS);
    let Some(defaults) = defaults
        .as_object()
        .filter(|defaults| !query.raw && !defaults.is_empty())
    else {
        return Json(stored.unwrap_or_default());
    };
    let mut settings = stored
        .and_then(|stored| stored.as_object().cloned())
        .unwrap_or_default();
    let own = settings
        .get("ui")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    settings.insert("ui".into(), Value::Object(over(defaults, &own)));
    Json(Value::Object(settings))
}

/// `settings` over `defaults`, objects field by field; null gives the default.
fn over(defaults: &Map<String, Value>, settings: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = defaults.clone();
    for (name, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        let both = (merged.get(name).and_then(Value::as_object), value.as_object());
        let value = match both {
            (Some(default), Some(value)) => Value::Object(over(default, value)),
            _ => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// Saves client settings. What the caller may not set is passed over.
pub(super) async fn update_settings(
    caller: Caller<Verified>,
    Body { form, raw }: Body<SettingsForm>,
) -> ApiResult<Json<Value>> {
    let mut patch = form.others;
    if raw.get("ui").is_some() {
        patch.insert("ui".into(), form.ui.map_or(Value::Null, Value::Object));
    }
    if !caller.is_admin() {
        let permissions = caller.permissions().await?;
        withhold(&mut patch, |path| permissions.has(path));
    }
    let user = own::patch_settings(caller.db(), caller.id(), patch)
        .await?
        .ok_or_else(unknown_user)?;
    caller.tell("user.settings_updated", caller.id(), Value::Null);
    Ok(Json(user.settings_json().unwrap_or_default()))
}

/// Takes out what the permissions do not reach.
fn withhold(patch: &mut Map<String, Value>, may: impl Fn(&str) -> bool) {
    let webhooks = may("features.webhooks");
    if !webhooks {
        patch.shift_remove("notifications");
    }
    let Some(ui) = patch.get_mut("ui").and_then(Value::as_object_mut) else {
        return;
    };
    if !may("settings.interface") {
        ui.retain(|name, _| !INTERFACE.contains(&name.as_str()));
    }
    if !may("chat.controls") || !may("chat.system_prompt") {
        ui.shift_remove("system");
    }
    if !may("features.direct_tool_servers") {
        ui.shift_remove("toolServers");
    }
    if !webhooks && let Some(notifications) = ui.get_mut("notifications").and_then(Value::as_object_mut) {
        notifications.shift_remove("webhook_url");
    }
}

fn demand_status(caller: &Caller<Verified>) -> ApiResult<()> {
    if caller.app().config.get(&keys::ENABLE_USER_STATUS) {
        return Ok(());
    }
    Err(ApiError::forbidden(messages::ACTION_PROHIBITED))
}

pub(super) async fn status(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    demand_status(&caller)?;
    Ok(Json(caller.user().to_json()))
}

/// Sets what was sent; null leaves a field as it is, as at the reference.
pub(super) async fn update_status(
    caller: Caller<Verified>,
    Body { form, .. }: Body<StatusForm>,
) -> ApiResult<Json<Value>> {
    demand_status(&caller)?;
    let changes = Changes::new()
        .set_some("status_emoji", form.status_emoji)
        .set_some("status_message", form.status_message)
        .set_some("status_expires_at", form.status_expires_at);
    let user = users::update(caller.db(), caller.id(), changes)
        .await?
        .ok_or_else(unknown_user)?;
    caller.tell("user.status_updated", caller.id(), Value::Null);
    Ok(Json(user.to_json()))
}

pub(super) async fn info(caller: Caller<Verified>) -> Json<Value> {
    Json(caller.user().info.clone().unwrap_or_default())
}

pub(super) async fn update_info(
    caller: Caller<Verified>,
    ObjectBody(fields): ObjectBody,
) -> ApiResult<Json<Value>> {
    let user = own::merge_info(caller.db(), caller.id(), fields)
        .await?
        .ok_or_else(unknown_user)?;
    Ok(Json(user.info.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn own_settings_lie_over_the_defaults() {
        let defaults = object(json!({"a": 1, "title": {"auto": true, "x": 1}, "b": 2}));
        let own = object(json!({"a": null, "title": {"auto": false}, "b": {"c": 1}, "d": 4}));
        let expected = json!({"a": 1, "title": {"auto": false, "x": 1}, "b": {"c": 1}, "d": 4});
        assert_eq!(Value::Object(over(&defaults, &own)), expected);
    }

    #[test]
    fn what_is_not_permitted_is_passed_over() {
        let ui = json!({"system": "s", "toolServers": [], "chatBubble": true, "theme": "dark",
                        "notifications": {"webhook_url": "u", "enabled": true}});
        let patch = json!({"notifications": {}, "ui": ui, "x": 1});
        let mut none = object(patch.clone());
        withhold(&mut none, |_| false);
        assert_eq!(
            Value::Object(none),
            json!({"ui": {"theme": "dark", "notifications": {"enabled": true}}, "x": 1})
        );
        let mut all = object(patch.clone());
        withhold(&mut all, |_| true);
        assert_eq!(Value::Object(all), patch);
    }
}
