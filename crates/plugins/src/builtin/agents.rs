//! Work that is given away: to a sub-agent, or to this chat at a later time. How it is done is the chat crate's.

use serde_json::json;

use super::builtins;
use super::spec::{Parameter, Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, Errand, ToolContext};

const TASK: Parameter = required("task", Shape::Text, "What is to be done, complete in itself.");
const CONTEXT: Parameter = default(
    "context",
    Shape::Text,
    "\"\"",
    "What has to be known for it: facts, decisions, paths. The sub-agent does not see this chat.",
);
const FILE_IDS: Parameter = optional(
    "file_ids",
    Shape::Texts,
    "Ids of attached files and pictures that it needs; it cannot open those that are only named in the context.",
);
const EVENTS: &str =
    r#"{"type": "array", "items": {"type": "string", "enum": ["chat.read", "chat.user_message"]}}"#;

builtins! {
    WITH_BACKGROUND {
        "delegate_task"
        "Gives one task to a sub-agent that has the same model and tools. Several calls in one turn run side by side."
        [
            TASK,
            CONTEXT,
            FILE_IDS,
            default("background", Shape::Flag, "false", "Whether to answer at once; this chat hears of the result when it is there."),
        ] => delegate;
    }

    FOREGROUND {
        "delegate_task"
        "Gives one task to a sub-agent that has the same model and tools. Several calls in one turn run side by side."
        [TASK, CONTEXT, FILE_IDS] => delegate;
    }

    TIMER {
        "timer"
        "Sets a timer that puts a prompt into this chat once, at a later time, for you to answer."
        [
            required("prompt", Shape::Text, "What you are asked then."),
            required("at", Shape::Text, "When: an interval such as 10s, 5m, 1h or 2d, or an RFC 3339 time with its zone."),
            optional("cancel_on", Shape::Schema(EVENTS), "What calls it off before: the user reads the chat, or writes in it."),
        ] => timer;
    }
}

async fn delegate(context: &ToolContext, args: Args) -> Answer {
    let Some(errands) = &context.errands else {
        return Ok(json!("Error: sub-agents cannot be used here."));
    };
    let errand = Errand {
        task: args.text("task")?,
        context: args.optional_text("context").unwrap_or_default(),
        file_ids: args.texts("file_ids").unwrap_or_default(),
        background: args.flag("background", false),
    };
    Ok(errands.delegate(errand).await)
}

async fn timer(context: &ToolContext, args: Args) -> Answer {
    let Some(errands) = &context.errands else {
        return Ok(json!("Error: timers cannot be set here."));
    };
    let cancel_on = args.texts("cancel_on").unwrap_or_default();
    Ok(errands
        .set_timer(&args.text("prompt")?, &args.text("at")?, &cancel_on)
        .await)
}
