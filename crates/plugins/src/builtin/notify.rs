//! Notifications to where the user wants to be told of things.

use serde_json::json;

use super::builtins;
use super::spec::{Shape, default, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext};

builtins! {
    TOOLS {
        "notify"
        "Sends the user a notification, through a target that the user has set up."
        [
            required("message", Shape::Text, "What it says."),
            default("target", Shape::Text, "\"\"", "Id of the target; empty for the default one."),
            default("title", Shape::Text, "\"\"", "Its title."),
        ] => notify;
    }
}

async fn notify(context: &ToolContext, args: Args) -> Answer {
    let Some(notifier) = &context.notifier else {
        return Ok(json!("Notification failed: there is no way to send one."));
    };
    let text = |name: &str| args.optional_text(name).unwrap_or_default();
    let sent = notifier
        .notify(
            &context.user,
            &text("target"),
            &args.text("message")?,
            &text("title"),
        )
        .await;
    Ok(match sent {
        Ok(target) => json!(format!("Notification sent to {target}.")),
        Err(error) => json!(format!("Notification failed: {error}")),
    })
}
