//! Scheduled prompts of the user: listing, making, changing, pausing, deleting.

use oui_models::automations::{self as rows, AutomationFilter, AutomationInput, AutomationRow};
use oui_models::folders;
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// Coming runs that are told.
const SHOWN_RUNS: u16 = 5;

/// Characters of a prompt in lists.
const SNIPPET: usize = 100;

builtins! {
    TOOLS {
        "create_automation"
        "Schedules a prompt that runs by itself, once or again and again, with the model of this chat. The schedule is an iCalendar rule: \"DTSTART:20250101T090000\\nRRULE:FREQ=DAILY\" runs every day at nine, \"RRULE:FREQ=MINUTELY;INTERVAL=30\" every half hour, \"DTSTART:20250415T140000\\nRRULE:FREQ=DAILY;COUNT=1\" once. Times are the user's."
        [
            required("name", Shape::Text, "Short name."),
            required("prompt", Shape::Text, "What the model is asked at each run."),
            required("rrule", Shape::Text, "When it runs."),
            optional("folder_id", Shape::Text, "Folder of the user for the chats that it makes."),
        ] => create;

        "update_automation"
        "Changes a scheduled prompt; what is left out stays."
        [
            required("automation_id", Shape::Text, "Id of the scheduled prompt."),
            optional("name", Shape::Text, "New name."),
            optional("prompt", Shape::Text, "New prompt."),
            optional("rrule", Shape::Text, "New schedule, written as for create_automation."),
            optional("model_id", Shape::Text, "Model that runs it."),
            default("folder_id", Shape::Text, "\"\"", "New folder; empty keeps it, null takes it out of its folder."),
        ] => update;

        "list_automations"
        "Lists the user's scheduled prompts with their next runs."
        [
            optional("status", Shape::Text, "active or paused; both when left out."),
            optional("folder_id", Shape::Text, "Only those of this folder."),
            default("count", Shape::Int, "10", "How many at most."),
        ] => list;

        "toggle_automation"
        "Pauses a scheduled prompt, or lets a paused one run again."
        [required("automation_id", Shape::Text, "Id of the scheduled prompt.")] => toggle;

        "delete_automation"
        "Deletes a scheduled prompt and the record of its runs."
        [required("automation_id", Shape::Text, "Id of the scheduled prompt.")] => delete;
    }
}

fn text<'d>(data: &'d Value, name: &str) -> &'d str {
    data.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn runs(context: &ToolContext, rule: &str, count: u16) -> Vec<i64> {
    let (zone, now) = (context.user.timezone.as_deref(), context.db.clock().nanos());
    context.schedules.next(rule, zone, now, count).unwrap_or_default()
}

/// Refuses schedules that can not be read, or that the operator does not allow.
async fn check(context: &ToolContext, rule: &str, is_new: bool) -> Result<(), ToolError> {
    let now = context.db.clock().nanos();
    if context.is_admin() {
        return Ok(());
    }
    let limit = |value: Option<i64>| value.filter(|limit| *limit > 0);
    let most = limit(context.config.get(&oui_config::features::AUTOMATION_MAX_COUNT));
    if let (true, Some(most)) = (is_new, most)
        && rows::count_of(&context.db, &context.user.id).await? >= most
    {
        return Err(ToolError::new(format!("Automation limit reached ({most})")));
    }
    let least = limit(context.config.get(&oui_config::features::AUTOMATION_MIN_INTERVAL));
    let interval = context.schedules.interval(rule, now).ok().flatten();
    match (least, interval) {
        (Some(least), Some(interval)) if interval < least => {
            let text = format!("Schedule too frequent. Minimum interval is {least} seconds.");
            Err(ToolError::new(text))
        }
        _ => Ok(()),
    }
}

fn readable(context: &ToolContext, rule: &str) -> Result<(), ToolError> {
    let (zone, now) = (context.user.timezone.as_deref(), context.db.clock().nanos());
    let checked = context.schedules.check(rule, zone, now);
    checked.map_err(|error| ToolError::new(format!("Invalid schedule: {error}")))
}

async fn own_folder(context: &ToolContext, id: Option<String>) -> Result<Option<String>, ToolError> {
    let Some(id) = id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let folder = folders::by_id(&context.db, &id).await?;
    match folder.filter(|folder| folder.user_id == context.user.id) {
        Some(_) => Ok(Some(id)),
        None => Err(ToolError::new("Folder not found")),
    }
}

async fn own(context: &ToolContext, args: &Args) -> Result<AutomationRow, ToolError> {
    let id = args.text("automation_id")?;
    let row = rows::by_id(&context.db, &id).await?;
    let row = row.ok_or_else(|| ToolError::new("Automation not found"))?;
    if row.user_id == context.user.id {
        Ok(row)
    } else {
        Err(ToolError::new("Access denied"))
    }
}

fn shown(context: &ToolContext, row: &AutomationRow) -> Value {
    json!({
        "status": "success", "id": row.id, "name": row.name, "folder_id": row.folder_id,
        "model_id": text(&row.data, "model_id"), "target": row.data.get("target"), "is_active": row.is_active,
        "next_runs": runs(context, text(&row.data, "rrule"), SHOWN_RUNS),
    })
}

async fn create(context: &ToolContext, args: Args) -> Answer {
    let (name, prompt, rule) = (args.text("name")?, args.text("prompt")?, args.text("rrule")?);
    let folder_id = own_folder(context, args.optional_text("folder_id")).await?;
    readable(context, &rule)?;
    check(context, &rule, true).await?;
    let data = json!({
        "prompt": prompt, "model_id": context.model_id, "rrule": rule, "terminal": null, "target": null,
    });
    let input = AutomationInput {
        name,
        folder_id,
        data,
        meta: None,
        is_active: Some(true),
        next_run_at: runs(context, &rule, 1).first().copied(),
    };
    let row = rows::create(&context.db, &context.user.id, input).await?;
    Ok(shown(context, &row))
}

async fn update(context: &ToolContext, args: Args) -> Answer {
    let row = own(context, &args).await?;
    let mut data = row.data.as_object().cloned().unwrap_or_default();
    if let Some(prompt) = args.optional_text("prompt") {
        data.insert("prompt".into(), json!(prompt));
    }
    if let Some(model) = args
        .optional_text("model_id")
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
    {
        data.insert("model_id".into(), json!(model));
    }
    let folder_id = match (args.is_null("folder_id"), args.optional_text("folder_id")) {
        (true, _) => None,
        (false, Some(id)) if !id.trim().is_empty() => own_folder(context, Some(id)).await?,
        _ => row.folder_id.clone(),
    };
    if let Some(rule) = args.optional_text("rrule") {
        readable(context, &rule)?;
        data.insert("rrule".into(), json!(rule));
    }
    let data = Value::Object(data);
    let rule = text(&data, "rrule").to_owned();
    check(context, &rule, false).await?;
    let input = AutomationInput {
        name: args.optional_text("name").unwrap_or_else(|| row.name.clone()),
        folder_id,
        data,
        meta: row.meta.clone(),
        is_active: Some(row.is_active),
        next_run_at: runs(context, &rule, 1).first().copied().filter(|_| row.is_active),
    };
    rows::update(&context.db, &row.id, input).await?;
    let changed = rows::by_id(&context.db, &row.id).await?;
    let changed = changed.ok_or_else(|| ToolError::new("Automation not found"))?;
    Ok(shown(context, &changed))
}

async fn list(context: &ToolContext, args: Args) -> Answer {
    let folder_id = own_folder(context, args.optional_text("folder_id")).await?;
    let status = args.optional_text("status");
    let filter = AutomationFilter {
        query: None,
        status: status.as_deref(),
        folder_id: folder_id.as_deref(),
    };
    let window = (0, args.count("count", 10));
    let (found, total) = rows::search(&context.db, &context.user.id, filter, window).await?;
    let shown: Vec<Value> = found
        .iter()
        .map(|row| {
            let (prompt, rule) = (text(&row.data, "prompt"), text(&row.data, "rrule"));
            let mut snippet: String = prompt.chars().take(SNIPPET).collect();
            if prompt.chars().count() > SNIPPET {
                snippet.push_str("...");
            }
            json!({
                "id": row.id, "name": row.name, "folder_id": row.folder_id, "prompt_snippet": snippet,
                "model_id": text(&row.data, "model_id"), "target": row.data.get("target"), "rrule": rule,
                "is_active": row.is_active, "last_run_at": row.last_run_at,
                "next_runs": runs(context, rule, SHOWN_RUNS),
            })
        })
        .collect();
    Ok(json!({ "automations": shown, "total": total }))
}

async fn toggle(context: &ToolContext, args: Args) -> Answer {
    let row = own(context, &args).await?;
    let next = runs(context, text(&row.data, "rrule"), 1).first().copied();
    rows::set_active(&context.db, &row.id, !row.is_active, next).await?;
    Ok(json!({ "status": "success", "id": row.id, "name": row.name, "is_active": !row.is_active }))
}

async fn delete(context: &ToolContext, args: Args) -> Answer {
    let row = own(context, &args).await?;
    rows::delete(&context.db, &row.id).await?;
    Ok(json!({ "status": "success", "message": format!("Automation \"{}\" deleted", row.name) }))
}
