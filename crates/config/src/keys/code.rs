//! Keys of code execution (run buttons in messages) and of the code interpreter (run by the model).

use crate::key::{Key, keys};

keys! {
    "Code execution and interpreter";

    /// Lets users run code blocks of a message.
    pub static ENABLE_CODE_EXECUTION: Key<bool> = Key::bool("code_execution.enable", true);
    /// Where code blocks run: `pyodide` (browser) or `jupyter`.
    pub static CODE_EXECUTION_ENGINE: Key<String> = Key::text("code_execution.engine", "pyodide");
    /// Jupyter server that runs code blocks.
    pub static CODE_EXECUTION_JUPYTER_URL: Key<String> = Key::text("code_execution.jupyter.url", "");
    /// How to sign in to that server: `token`, `password` or empty.
    pub static CODE_EXECUTION_JUPYTER_AUTH: Key<String> = Key::text("code_execution.jupyter.auth", "");
    /// Token for that server.
    pub static CODE_EXECUTION_JUPYTER_AUTH_TOKEN: Key<String> =
        Key::text("code_execution.jupyter.auth_token", "").secret();
    /// Password for that server.
    pub static CODE_EXECUTION_JUPYTER_AUTH_PASSWORD: Key<String> =
        Key::text("code_execution.jupyter.auth_password", "").secret();
    /// Seconds a code block may run.
    pub static CODE_EXECUTION_JUPYTER_TIMEOUT: Key<i64> = Key::int("code_execution.jupyter.timeout", 60);
    /// Lets models run code while they answer.
    pub static ENABLE_CODE_INTERPRETER: Key<bool> = Key::bool("code_interpreter.enable", true);
    /// Where the interpreter runs: `pyodide` (browser) or `jupyter`.
    pub static CODE_INTERPRETER_ENGINE: Key<String> = Key::text("code_interpreter.engine", "pyodide");
    /// Instructions for the interpreter; empty uses the built-in ones.
    pub static CODE_INTERPRETER_PROMPT_TEMPLATE: Key<String> =
        Key::text("code_interpreter.prompt_template", "");
    /// Jupyter server of the interpreter.
    pub static CODE_INTERPRETER_JUPYTER_URL: Key<String> =
        Key::text("code_interpreter.jupyter.url", "").or_env(&["CODE_EXECUTION_JUPYTER_URL"]);
    /// How to sign in to the interpreter's server: `token`, `password` or empty.
    pub static CODE_INTERPRETER_JUPYTER_AUTH: Key<String> =
        Key::text("code_interpreter.jupyter.auth", "").or_env(&["CODE_EXECUTION_JUPYTER_AUTH"]);
    /// Token for the interpreter's server.
    pub static CODE_INTERPRETER_JUPYTER_AUTH_TOKEN: Key<String> =
        Key::text("code_interpreter.jupyter.auth_token", "")
            .or_env(&["CODE_EXECUTION_JUPYTER_AUTH_TOKEN"])
            .secret();
    /// Password for the interpreter's server.
    pub static CODE_INTERPRETER_JUPYTER_AUTH_PASSWORD: Key<String> =
        Key::text("code_interpreter.jupyter.auth_password", "")
            .or_env(&["CODE_EXECUTION_JUPYTER_AUTH_PASSWORD"])
            .secret();
    /// Seconds one interpreter run may take.
    pub static CODE_INTERPRETER_JUPYTER_TIMEOUT: Key<i64> =
        Key::int("code_interpreter.jupyter.timeout", 60).or_env(&["CODE_EXECUTION_JUPYTER_TIMEOUT"]);
}
