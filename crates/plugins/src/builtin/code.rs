//! Python that the model writes and that is run for it.

use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, required};
use crate::args::Args;
use crate::code;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "execute_code"
        "Runs Python code and gives back what it printed and what it ended with. For calculations, analysis of data and drawings; print what you want to see."
        [required("code", Shape::Text, "The Python code.")] => execute;
    }
}

async fn execute(context: &ToolContext, args: Args) -> Answer {
    let output = code::run(context, &args.text("code")?)
        .await
        .map_err(ToolError::new)?;
    let text = |name: &str| {
        output
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (stdout, stderr, result) = match &output {
        Value::Object(fields) => {
            let error = fields
                .get("error")
                .and_then(Value::as_str)
                .filter(|error| !error.is_empty());
            match error.filter(|_| text("stdout").is_empty() && text("result").is_empty()) {
                Some(error) => (String::new(), error.to_owned(), String::new()),
                None => (text("stdout"), text("stderr"), written(&output["result"])),
            }
        }
        other => (String::new(), String::new(), written(other)),
    };
    Ok(json!({
        "status": "success",
        "stdout": code::with_pictures(context, &stdout).await,
        "stderr": stderr,
        "result": code::with_pictures(context, &result).await,
    }))
}

fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
