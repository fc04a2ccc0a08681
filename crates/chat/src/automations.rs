//! Running an automation: its prompt becomes a chat of its owner, answered as if the owner had asked, though nobody
//! has the page open. How it ended is written down and told to the owner's tabs.

use oui_core::boxed;
use std::sync::Arc;

use oui_access::tokens::parse_duration;
use oui_access::{ADMIN, is_verified};
use oui_config::features;
use oui_core::{ApiError, ApiResult, Notice, Room, ids};
use oui_models::automations::{self, AutomationRow};
use oui_models::chat_edits::{self, NewChat};
use oui_models::users::Account;
use oui_models::{folders, users};
use oui_providers::CallContext;
use serde_json::{Map, Value, json};

use crate::engine::{Completion, Engine};
use crate::turn::{Object, RunUser, truthy};
use crate::{errands, template};

/// Characters of an error that are kept.
const ERROR_LENGTH: usize = 4_000;

const NOT_PERMITTED: &str = "Owner no longer permitted to run automations";

/// A run that failed, with the chat that it had made by then.
struct Failure {
    chat_id: Option<String>,
    error: String,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            chat_id: None,
            error: format!("{}: {}", error.status().as_u16(), error.detail_text()),
        }
    }
}

impl From<&str> for Failure {
    fn from(error: &str) -> Self {
        Self {
            chat_id: None,
            error: error.to_owned(),
        }
    }
}

/// Runs an automation to its end. Never fails: what goes wrong is written down.
#[boxed]
pub async fn run(engine: Arc<Engine>, automation: AutomationRow) {
    let outcome = attempt(&engine, &automation).await;
    let (chat_id, error) = match &outcome {
        Ok(chat_id) => (Some(chat_id.as_str()), None),
        Err(failure) => {
            tracing::warn!(
                automation = automation.id,
                error = failure.error,
                "an automation failed"
            );
            (failure.chat_id.as_deref(), Some(failure.error.as_str()))
        }
    };
    let error = error.map(|error| error.chars().take(ERROR_LENGTH).collect::<String>());
    if error.is_none() {
        let told = json!({
            "automation_id": automation.id, "name": automation.name, "chat_id": chat_id, "status": "success",
        });
        let room = Room::User(automation.user_id.clone());
        engine.emitter.emit(&room, "automation:result", &told, None).await;
    }
    if let Err(error) = automations::record_run(&engine.db, &automation.id, chat_id, error.as_deref()).await {
        tracing::error!(%error, automation = automation.id, "the end of a run could not be written down");
    }
    tell(&engine, &automation, chat_id, error.as_deref()).await;
}

/// Tells those who hear of events how a run ended.
async fn tell(engine: &Engine, automation: &AutomationRow, chat_id: Option<&str>, error: Option<&str>) {
    let name = if error.is_none() {
        "automation.run_completed"
    } else {
        "automation.run_failed"
    };
    if !engine.is_wanted(name) {
        return;
    }
    let mut notice = Notice::new(name)
        .about(automation.id.as_str())
        .with(json!({ "name": automation.name }));
    if let Some(error) = error {
        notice = notice.with(json!({ "error": error }));
    }
    if let Some(chat_id) = chat_id {
        notice = notice.with(json!({ "chat_id": chat_id }));
    }
    // The reference names the owner only with runs that went well or were refused to them.
    let named = error.is_none_or(|error| error == NOT_PERMITTED);
    if named && let Ok(Some(owner)) = users::by_id(&engine.db, &automation.user_id).await {
        notice = notice.by(owner.actor_json());
    }
    engine.tell(notice);
}

async fn attempt(engine: &Arc<Engine>, automation: &AutomationRow) -> Result<String, Failure> {
    let account = users::account(&engine.db, &automation.user_id)
        .await
        .map_err(ApiError::from)?;
    let account = account.ok_or("User not found")?;
    let user = &account.user;
    let allowed = user.role == ADMIN
        || (is_verified(&user.role)
            && engine
                .auth
                .permissions_of(&user.id)
                .await?
                .has("features.automations"));
    if !allowed {
        return Err(NOT_PERMITTED.into());
    }
    if !account.active {
        return Err("Automation owner is no longer active".into());
    }
    let chat_id = ids::uuid();
    answer(engine, automation, &account, &chat_id)
        .await
        .map_err(|failure| Failure {
            chat_id: failure.chat_id.map(|_| chat_id.clone()),
            ..failure
        })?;
    Ok(chat_id)
}

/// Makes the chat and has it answered.
async fn answer(
    engine: &Arc<Engine>,
    automation: &AutomationRow,
    account: &Account,
    chat_id: &str,
) -> Result<(), Failure> {
    let user = &account.user;
    let text = |name: &str| {
        automation
            .data
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let context = template::Context {
        user: Some(user),
        groups: &[],
        variables: None,
        chat_variables: None,
        clock: &engine.clock,
    };
    let (prompt, model_id) = (template::render(text("prompt"), &context), text("model_id"));
    let (question, reply) = (ids::uuid(), ids::uuid());
    let new = NewChat {
        id: chat_id.to_owned(),
        user_id: user.id.clone(),
        document: document(engine, automation, (&question, &reply), &prompt, model_id),
        folder_id: folder(engine, automation).await?,
        ..NewChat::default()
    };
    chat_edits::create(&engine.db, new)
        .await
        .map_err(ApiError::from)?;
    let told = json!({ "chat_id": chat_id, "message_id": question, "data": { "type": "chat:list" } });
    engine
        .emitter
        .emit(&Room::User(user.id.clone()), "events", &told, None)
        .await;
    let in_chat = |error: String| Failure {
        chat_id: Some(chat_id.to_owned()),
        error,
    };
    let mut body = model_defaults(engine, model_id).await?;
    if wants_memory(engine, account) {
        let features = body.entry("features").or_insert_with(|| json!({}));
        features["memory"] = json!(true);
    }
    let fields = json!({
        "model": model_id,
        "messages": [{ "role": "user", "content": prompt }],
        "stream": true,
        "chat_id": chat_id,
        "id": reply,
        "parent_id": null,
        "user_message": { "id": question, "parentId": null, "role": "user", "content": prompt },
        "session_id": format!("automation:{}", automation.id),
        "automation_id": automation.id,
        "background_tasks": {},
    });
    body.extend(fields.as_object().cloned().unwrap_or_default());
    let caller = run_user(engine, account).await?;
    let started = engine.complete(caller, body).await;
    let started = started.map_err(|error| in_chat(Failure::from(error).error))?;
    if let Completion::Json(answer) = started {
        for task in answer["task_ids"].as_array().into_iter().flatten() {
            engine.tasks.finished(task.as_str().unwrap_or_default()).await;
        }
    }
    let stored = chat_edits::messages_map(&engine.db, chat_id)
        .await
        .map_err(ApiError::from)?
        .unwrap_or_default();
    let reply = stored.get(&reply).cloned().unwrap_or_default();
    match reply.get("error").filter(|error| truthy(error)) {
        Some(error) => {
            let error = error.get("content").unwrap_or(error);
            Err(in_chat(
                error.as_str().map_or_else(|| error.to_string(), str::to_owned),
            ))
        }
        None if !reply.get("done").is_some_and(truthy) => {
            Err(in_chat("Automation reply did not complete".into()))
        }
        None => Ok(()),
    }
}

/// The chat's document with the question and an empty reply.
fn document(
    engine: &Engine,
    automation: &AutomationRow,
    (question, reply): (&str, &str),
    prompt: &str,
    model_id: &str,
) -> Object {
    let now = engine.clock.seconds();
    let messages = json!({
        question: {
            "id": question, "parentId": null, "role": "user", "content": prompt, "childrenIds": [reply],
            "timestamp": now, "models": [model_id],
        },
        reply: {
            "id": reply, "parentId": question, "role": "assistant", "content": "", "done": false,
            "model": model_id, "childrenIds": [], "timestamp": now,
        },
    });
    let document = json!({
        "title": automation.name,
        "models": [model_id],
        "history": { "currentId": reply, "messages": messages },
        "messages": [{ "role": "user", "content": prompt }],
        "meta": { "automation_id": automation.id },
    });
    document.as_object().cloned().unwrap_or_default()
}

/// The automation's folder, as long as it is still its owner's.
async fn folder(engine: &Engine, automation: &AutomationRow) -> ApiResult<Option<String>> {
    let Some(folder_id) = &automation.folder_id else {
        return Ok(None);
    };
    let folder = folders::by_id(&engine.db, folder_id).await?;
    if folder.is_some_and(|folder| folder.user_id == automation.user_id) {
        return Ok(Some(folder_id.clone()));
    }
    automations::leave_folder(&engine.db, &automation.user_id, folder_id).await?;
    Ok(None)
}

/// What the model brings along when nobody chooses: tools, filters, a terminal, features that are switched on.
pub(crate) async fn model_defaults(engine: &Engine, model_id: &str) -> ApiResult<Object> {
    let mut defaults = Object::new();
    let models = engine.catalogue.known(&CallContext::default()).await?;
    let Some(meta) = models.get(model_id).and_then(|model| model.meta()) else {
        return Ok(defaults);
    };
    for (name, of_model) in [
        ("tool_ids", "toolIds"),
        ("filter_ids", "defaultFilterIds"),
        ("terminal_id", "terminalId"),
    ] {
        if let Some(value) = meta.get(of_model).filter(|value| truthy(value)) {
            defaults.insert(name.into(), value.clone());
        }
    }
    let wanted = |feature: &str| {
        let listed = meta.get("defaultFeatureIds").and_then(Value::as_array);
        let capable = meta
            .get("capabilities")
            .and_then(|all| all.get(feature))
            .is_some_and(truthy);
        capable && listed.is_some_and(|listed| listed.iter().any(|id| id == feature))
    };
    let switched_on = |path: &str| engine.config.value(path).is_some_and(|value| truthy(&value));
    let mut features = Map::new();
    for (feature, path) in [
        ("web_search", "web.search.enable"),
        ("image_generation", "image_generation.enable"),
    ] {
        if wanted(feature) && switched_on(path) {
            features.insert(feature.into(), json!(true));
        }
    }
    if !features.is_empty() {
        defaults.insert("features".into(), Value::Object(features));
    }
    Ok(defaults)
}

/// Whether the owner's chats use memories: their own setting, else the server's default, else the switch.
fn wants_memory(engine: &Engine, account: &Account) -> bool {
    let own = account.user.settings_object();
    let own = own.get("ui").and_then(|ui| ui.get("memory")).cloned();
    let default = engine.config.get(&oui_config::ui::DEFAULT_INTERFACE_SETTINGS);
    let chosen = own
        .filter(|value| !value.is_null())
        .or_else(|| default.get("memory").cloned().filter(|value| !value.is_null()));
    chosen.map_or_else(
        || engine.config.get(&features::ENABLE_MEMORIES),
        |value| truthy(&value),
    )
}

/// The owner as caller, with a token for connections that ask for one.
async fn run_user(engine: &Engine, account: &Account) -> ApiResult<RunUser> {
    let lifetime = parse_duration(&engine.config.get(&features::AUTOMATION_AUTH_TOKEN_EXPIRES_IN)).flatten();
    errands::caller(engine, account, Some(("automation", lifetime.unwrap_or(3_600)))).await
}
