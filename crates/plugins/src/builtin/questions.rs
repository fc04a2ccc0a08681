//! Questions to the user in chats that are not saved: the browser shows them and sends the answers. In saved chats
//! the run stops at the question, and goes on when it is answered (the chat crate).

use std::time::Duration;

use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, required};
use crate::args::Args;
use crate::ask_user;
use crate::tool::{Answer, ToolContext};

builtins! {
    TOOLS {
        "ask_user"
        "Asks the user one to three questions and waits for the answers. For choices that only the user can make: what is meant, what is preferred, which way to go. Call it alone, without other tools."
        [
            required("questions", Shape::Objects, "One to three objects {id, header, question, options}; two or three options {label, description} each, the one you would choose first."),
            default("allow_other", Shape::Flag, "true", "Whether the user may write an answer of their own."),
            default("timeout_ms", Shape::Int, "120000", "Milliseconds for the answer, 60000 to 240000."),
        ] => ask;
    }
}

async fn ask(context: &ToolContext, args: Args) -> Answer {
    let given = json!({
        "questions": args.get("questions"), "allow_other": args.flag("allow_other", true),
        "timeout_ms": args.int("timeout_ms", 120_000),
    });
    let failed = |error: String| Ok(json!({ "status": "error", "error": error }));
    let request = match ask_user::normalize(&given) {
        Ok(request) => request,
        Err(error) => return failed(error),
    };
    if context.session_id.is_none() {
        return failed("Nobody can be asked: no browser is connected.".into());
    }
    let timeout = request["timeout_ms"].as_u64().map(Duration::from_millis);
    let answer = match context.reporter.ask("request:user_input", request, timeout).await {
        Ok(answer) => answer,
        Err(error) => return failed(error.to_string()),
    };
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        return failed(error.to_owned());
    }
    if !answer.is_object() {
        return failed("The answer could not be read.".into());
    }
    if answer["status"] == "cancelled" {
        return Ok(json!({ "status": "cancelled", "answers": {} }));
    }
    let answers = answer.get("answers").cloned().unwrap_or_else(|| json!({}));
    Ok(json!({ "status": "answered", "answers": answers }))
}
