//! The list of steps that a model shows beside its work in a saved chat.

use oui_models::chats;
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// States of a step.
const STATES: [&str; 4] = ["cancelled", "completed", "in_progress", "pending"];

const STEPS: &str = r#"{"type": "array", "items": {"type": "object", "properties": {
    "id": {"type": "string", "description": "Name of the step; numbered when left out."},
    "content": {"type": "string", "description": "What is to be done."},
    "status": {"type": "string", "enum": ["pending", "in_progress", "completed", "cancelled"], "default": "pending",
        "description": "How far it is."}}, "required": ["content"]}}"#;

builtins! {
    TOOLS {
        "create_tasks"
        "Shows the user a list of steps for work that takes several, in place of any earlier list."
        [required("tasks", Shape::Schema(STEPS), "The steps in order.")] => create;

        "update_task"
        "Marks one step of the list as completed, in_progress, pending or cancelled."
        [
            required("id", Shape::Text, "Name of the step."),
            default("status", Shape::Text, "\"completed\"", "completed, in_progress, pending or cancelled."),
        ] => update;
    }
}

fn chat(context: &ToolContext) -> Result<&str, ToolError> {
    let id = context.chat_id.as_deref();
    id.ok_or_else(|| ToolError::new("Only saved chats have a list of steps."))
}

fn text(step: &Value, name: &str) -> String {
    match step.get(name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn steps(given: &[Value]) -> Vec<Value> {
    let step = |(index, step): (usize, &Value)| {
        let content = text(step, "content");
        if content.is_empty() {
            return None;
        }
        let id = Some(text(step, "id")).filter(|id| !id.is_empty());
        let status = text(step, "status").to_lowercase();
        let status = if STATES.contains(&status.as_str()) {
            status
        } else {
            "pending".to_owned()
        };
        Some(
            json!({ "id": id.unwrap_or_else(|| (index + 1).to_string()), "content": content, "status": status }),
        )
    };
    given.iter().enumerate().filter_map(step).collect()
}

async fn create(context: &ToolContext, args: Args) -> Answer {
    let chat_id = chat(context)?;
    let given = args
        .list("tasks")
        .ok_or_else(|| ToolError::new("create_tasks needs a list 'tasks'"))?;
    let steps = steps(given);
    chats::set_tasks(&context.db, chat_id, &Value::Array(steps.clone())).await?;
    told(context, steps).await
}

async fn update(context: &ToolContext, args: Args) -> Answer {
    let chat_id = chat(context)?;
    let id = args.text("id")?;
    let status = args.optional_text("status").unwrap_or_else(|| "completed".into());
    let status = status.trim().to_lowercase();
    if !STATES.contains(&status.as_str()) {
        return Err(ToolError::new(format!(
            "'{status}' is none of {}",
            STATES.join(", ")
        )));
    }
    let mut steps = chats::tasks(&context.db, chat_id).await?;
    let step = steps.iter_mut().find(|step| step["id"] == id.as_str());
    let step = step.ok_or_else(|| ToolError::new(format!("There is no step '{id}'")))?;
    step["status"] = json!(status);
    chats::set_tasks(&context.db, chat_id, &Value::Array(steps.clone())).await?;
    told(context, steps).await
}

/// Shows the list and answers it with its counts.
async fn told(context: &ToolContext, steps: Vec<Value>) -> Answer {
    context
        .reporter
        .report("chat:message:tasks", json!({ "tasks": steps }))
        .await;
    let count = |status: &str| steps.iter().filter(|step| step["status"] == status).count();
    let summary = json!({
        "total": steps.len(), "pending": count("pending"), "in_progress": count("in_progress"),
        "completed": count("completed"), "cancelled": count("cancelled"),
    });
    Ok(json!({ "tasks": steps, "summary": summary }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_get_a_name_and_a_state() {
        let given = [
            json!({"content": " first "}),
            json!({"content": ""}),
            json!({"id": 7, "content": "third", "status": "DONE"}),
            json!({"id": "x", "content": "fourth", "status": "Completed"}),
        ];
        assert_eq!(
            Value::Array(steps(&given)),
            json!([
                {"id": "1", "content": "first", "status": "pending"},
                {"id": "7", "content": "third", "status": "pending"},
                {"id": "x", "content": "fourth", "status": "completed"},
            ])
        );
    }
}
