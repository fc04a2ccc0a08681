//! Making, changing, switching and starting automations. Everything is the owner's alone: not even administrators
//! reach the automations of others.

use axum::Json;
use axum::extract::Path;
use oui_chat::recurrence;
use oui_config::{channels as channel_keys, features};
use oui_core::{ApiError, ApiResult, choice, form, messages};
use oui_models::automations::{self, AutomationInput, AutomationRow, RunRow};
use oui_models::folders;
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::check;
use crate::channels;

/// Runs to come that are shown.
const PREVIEW: u16 = 5;

choice! {
    /// Where the answer goes.
    enum TargetKind { Chat = "chat", Channel = "channel" }
}

form! {
    /// Where the answer goes.
    struct TargetForm {
        /// A chat of its own, or a channel.
        kind as "type": TargetKind = TargetKind::Chat,
        /// The channel.
        channel_id: Option<String>,
    }
}

form! {
    /// The terminal that the run may use.
    struct TerminalForm {
        /// Connection.
        server_id: String,
        /// Folder to begin in.
        cwd: Option<String>,
    }
}

form! {
    /// What is run, and when.
    struct DataForm {
        /// The prompt.
        prompt: String,
        /// The model.
        model_id: String,
        /// The schedule.
        rrule: String,
        /// The terminal.
        terminal: Option<TerminalForm>,
        /// Where the answer goes.
        target: Option<TargetForm>,
    }
}

form! {
    /// An automation.
    pub(super) struct AutomationForm {
        /// Name shown.
        name: String,
        /// Folder of the chats that it makes.
        folder_id: Option<String>,
        /// What is run, and when.
        data: DataForm,
        /// Free object.
        meta: Option<Map<String, Value>>,
        /// Whether it runs.
        is_active: Option<bool> = Some(true),
    }
}

impl AutomationForm {
    fn input(self, next_run_at: Option<i64>) -> AutomationInput {
        let data = self.data;
        AutomationInput {
            name: self.name,
            folder_id: self.folder_id,
            data: json!({
                "prompt": data.prompt,
                "model_id": data.model_id,
                "rrule": data.rrule,
                "terminal": data
                    .terminal
                    .map(|terminal| json!({ "server_id": terminal.server_id, "cwd": terminal.cwd })),
                "target": data
                    .target
                    .map(|target| json!({ "type": target.kind.as_str(), "channel_id": target.channel_id })),
            }),
            meta: self.meta.map(Value::Object),
            is_active: self.is_active,
            next_run_at,
        }
    }
}

fn rule(row: &AutomationRow) -> &str {
    row.data.get("rrule").and_then(Value::as_str).unwrap_or_default()
}

/// The next runs by the clock of the caller.
fn next_runs(caller: &Caller<Verified>, rule: &str, count: u16) -> Vec<i64> {
    let timezone = caller.user().timezone.as_deref();
    recurrence::next_runs(rule, timezone, caller.app().clock.nanos(), count).unwrap_or_default()
}

/// The caller's own automation.
async fn own(caller: &Caller<Verified>, id: &str) -> ApiResult<AutomationRow> {
    let row = automations::by_id(caller.db(), id).await?;
    row.filter(|row| row.user_id == caller.id())
        .ok_or_else(|| ApiError::not_found(messages::NOT_FOUND))
}

/// The automation as it is now, with its last and next runs.
async fn answer(caller: &Caller<Verified>, id: &str) -> ApiResult<Json<Value>> {
    let row = own(caller, id).await?;
    let last = automations::runs(caller.db(), id, (0, 1)).await?;
    let mut item = row.to_json();
    item.insert(
        "last_run".into(),
        last.first().map_or(Value::Null, RunRow::to_json),
    );
    item.insert("next_runs".into(), json!(next_runs(caller, rule(&row), PREVIEW)));
    Ok(Json(Value::Object(item)))
}

/// Tells what was done to an automation.
fn tell(caller: &Caller<Verified>, news: &'static str, row: &AutomationRow) {
    let details = json!({ "name": row.name, "is_active": row.is_active, "folder_id": row.folder_id });
    caller.tell(news, row.id.as_str(), details);
}

/// Refuses folders, channels and schedules that the caller may not use.
async fn check_form(caller: &Caller<Verified>, form: &AutomationForm, is_new: bool) -> ApiResult<()> {
    if let Some(folder_id) = &form.folder_id {
        let folder = folders::by_id(caller.db(), folder_id).await?;
        if folder.is_none_or(|folder| folder.user_id != caller.id()) {
            return Err(ApiError::not_found(messages::NOT_FOUND));
        }
    }
    if let Some(target) = form
        .data
        .target
        .as_ref()
        .filter(|target| target.kind == TargetKind::Channel)
    {
        check_channel(caller, target.channel_id.as_deref()).await?;
    }
    let (rule, now) = (&form.data.rrule, caller.app().clock.nanos());
    recurrence::check_schedule(rule, caller.user().timezone.as_deref(), now)
        .map_err(ApiError::bad_request)?;
    if caller.is_admin() {
        return Ok(());
    }
    let limit = caller
        .app()
        .config
        .get(&features::AUTOMATION_MAX_COUNT)
        .unwrap_or(0);
    if is_new && limit > 0 && automations::count_of(caller.db(), caller.id()).await? >= limit {
        return Err(ApiError::forbidden(format!("Automation limit reached ({limit})")));
    }
    let least = caller
        .app()
        .config
        .get(&features::AUTOMATION_MIN_INTERVAL)
        .unwrap_or(0);
    let interval = recurrence::interval_seconds(rule, now).unwrap_or_default();
    if least > 0 && interval.is_some_and(|interval| interval < least) {
        let text = format!("Schedule too frequent. Minimum interval is {least} seconds.");
        return Err(ApiError::bad_request(text));
    }
    Ok(())
}

/// Refuses channels that the caller may not write in.
async fn check_channel(caller: &Caller<Verified>, id: Option<&str>) -> ApiResult<()> {
    let missing = || ApiError::not_found(messages::NOT_FOUND);
    let id = id.filter(|id| !id.is_empty()).ok_or_else(missing)?;
    if !caller.app().config.get(&channel_keys::ENABLE_CHANNELS) {
        return Err(missing());
    }
    let channel = channels::find(caller, id).await?;
    if caller.is_admin()
        || (caller.may("features.channels").await? && channels::may_write(caller, &channel).await?)
    {
        Ok(())
    } else {
        Err(ApiError::forbidden(messages::DEFAULT))
    }
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<AutomationForm>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let form = body.form;
    check_form(&caller, &form, true).await?;
    let next = next_runs(&caller, &form.data.rrule, 1).first().copied();
    let row = automations::create(caller.db(), caller.id(), form.input(next)).await?;
    tell(&caller, "automation.created", &own(&caller, &row.id).await?);
    answer(&caller, &row.id).await
}

pub(super) async fn get(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    answer(&caller, &id).await
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<AutomationForm>,
) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    own(&caller, &id).await?;
    let form = body.form;
    check_form(&caller, &form, false).await?;
    let next = next_runs(&caller, &form.data.rrule, 1).first().copied();
    automations::update(caller.db(), &id, form.input(next)).await?;
    tell(&caller, "automation.updated", &own(&caller, &id).await?);
    answer(&caller, &id).await
}

pub(super) async fn toggle(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let row = own(&caller, &id).await?;
    let next = next_runs(&caller, rule(&row), 1).first().copied();
    automations::set_active(caller.db(), &id, !row.is_active, next).await?;
    let news = if row.is_active {
        "automation.disabled"
    } else {
        "automation.enabled"
    };
    caller.tell(news, id.as_str(), json!({ "name": row.name }));
    answer(&caller, &id).await
}

pub(super) async fn run(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    own(&caller, &id).await?;
    automations::mark_run(caller.db(), &id).await?;
    let row = own(&caller, &id).await?;
    let shown = answer(&caller, &id).await?;
    caller.tell("automation.run_started", id, json!({ "name": row.name }));
    tokio::spawn(oui_chat::automations::run(caller.app().chat.clone(), row));
    Ok(shown)
}

pub(super) async fn delete(caller: Caller<Verified>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    check(&caller).await?;
    let row = own(&caller, &id).await?;
    let gone = automations::delete(caller.db(), &id).await?;
    caller.tell("automation.deleted", id, json!({ "name": row.name }));
    Ok(Json(json!(gone)))
}
