//! Python that models write: made ready to run, and run where the operator wants it, in the user's browser or on a
//! Jupyter server.

use oui_core::boxed;
use std::sync::LazyLock;
use std::time::Duration;

use oui_config::{Config, code};
use oui_core::ids;
use regex::Regex;
use serde_json::{Value, json};

use crate::jupyter::Jupyter;
use crate::pictures;
use crate::tool::ToolContext;

/// Name of the engine that is the browser.
pub const BROWSER: &str = "pyodide";

/// Name of the engine that is a server.
pub const JUPYTER: &str = "jupyter";

/// Colours and other commands to terminals.
static TERMINAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\x1b\[[0-9;]*[A-Za-z]|\x1b\([AB]|\x1b[PX^_].*?\x1b\\|\x1b\].*?(?:\x07|\x1b\\)").ok()
});

/// The code without what models put around it: commands to terminals, fences of Markdown.
pub fn cleaned(code: &str) -> String {
    let plain = match &*TERMINAL {
        Some(pattern) => pattern.replace_all(code, ""),
        None => code.into(),
    };
    let mut text = plain.trim();
    if let Some(rest) = text.strip_prefix("```") {
        let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        text = rest.strip_prefix('\n').unwrap_or(rest);
    }
    text = text.strip_suffix("```").unwrap_or(text);
    text.trim().to_owned()
}

/// The code with a guard before it that refuses to import some modules from the program itself.
pub fn guarded(code: &str, blocked: &[String]) -> String {
    if blocked.is_empty() {
        return code.to_owned();
    }
    let names = json!(blocked);
    format!(
        "import builtins as _oui_builtins\n\
         def _oui_guard(real, blocked):\n\
         \x20   def guarded(name, globals=None, locals=None, fromlist=(), level=0):\n\
         \x20       if name.split('.')[0] in blocked and (globals or {{}}).get('__name__') == '__main__':\n\
         \x20           raise ImportError(f\"Direct import of module {{name}} is restricted.\")\n\
         \x20       return real(name, globals, locals, fromlist, level)\n\
         \x20   return guarded\n\
         _oui_builtins.__import__ = _oui_guard(_oui_builtins.__import__, set({names}))\n\
         {code}"
    )
}

/// The server for code that people run from messages.
pub fn of_execution(config: &Config) -> Jupyter {
    jupyter(
        config.get(&code::CODE_EXECUTION_JUPYTER_URL),
        &config.get(&code::CODE_EXECUTION_JUPYTER_AUTH),
        config.get(&code::CODE_EXECUTION_JUPYTER_AUTH_TOKEN),
        config.get(&code::CODE_EXECUTION_JUPYTER_AUTH_PASSWORD),
        config.get(&code::CODE_EXECUTION_JUPYTER_TIMEOUT),
    )
}

/// The server for code that models run.
pub fn of_interpreter(config: &Config) -> Jupyter {
    jupyter(
        config.get(&code::CODE_INTERPRETER_JUPYTER_URL),
        &config.get(&code::CODE_INTERPRETER_JUPYTER_AUTH),
        config.get(&code::CODE_INTERPRETER_JUPYTER_AUTH_TOKEN),
        config.get(&code::CODE_INTERPRETER_JUPYTER_AUTH_PASSWORD),
        config.get(&code::CODE_INTERPRETER_JUPYTER_TIMEOUT),
    )
}

fn jupyter(url: String, auth: &str, token: String, password: String, timeout: i64) -> Jupyter {
    Jupyter {
        url,
        token: (auth == "token").then_some(token),
        password: (auth == "password").then_some(password),
        patience: Duration::from_secs(u64::try_from(timeout).unwrap_or(60)),
    }
}

/// Runs what a model wrote, and answers what the engine says of it: usually `{stdout, stderr, result}`.
#[boxed]
pub async fn run(context: &ToolContext, code: &str) -> Result<Value, String> {
    let code = guarded(&cleaned(code), &context.settings.chat.blocked_modules);
    let engine = context.config.get(&code::CODE_INTERPRETER_ENGINE);
    match engine.as_str() {
        BROWSER => {
            let request = json!({
                "id": ids::uuid(), "code": code, "session_id": context.session_id, "files": context.attachments,
            });
            let answer = context.reporter.ask("execute:python", request, None).await;
            Ok(answer.unwrap_or_else(|error| json!({ "error": error.to_string() })))
        }
        JUPYTER => Ok(of_interpreter(&context.config).execute(&code).await.to_json()),
        other => Err(format!("Unknown code interpreter engine: {other}")),
    }
}

/// A text with the pictures in it kept as files and shown by their address.
#[boxed]
pub async fn with_pictures(context: &ToolContext, text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let kept = match line.starts_with("data:image/") {
            true => pictures::keep(context, line.trim()).await,
            false => None,
        };
        lines.push(match kept {
            Some(path) => format!("![Output Image]({path})"),
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_freed_of_what_stands_around_it() {
        for code in [
            "print(1)",
            "```python\nprint(1)\n```",
            "```\nprint(1)\n``` ",
            "\x1b[31mprint(1)\x1b[0m\n",
            "```py print(1)```",
        ] {
            assert_eq!(cleaned(code), "print(1)", "{code:?}");
        }
        assert_eq!(cleaned("a = '```'\nprint(a)"), "a = '```'\nprint(a)");
    }

    #[test]
    fn modules_are_blocked_before_the_code_runs() {
        assert_eq!(guarded("import os", &[]), "import os");
        let code = guarded("import os", &["os".into(), "sys".into()]);
        assert!(
            code.ends_with("\nimport os") && code.contains("set([\"os\",\"sys\"])"),
            "{code}"
        );
    }
}
