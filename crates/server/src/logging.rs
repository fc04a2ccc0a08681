//! The log: levels from `GLOBAL_LOG_LEVEL`, text or one JSON object per line (`LOG_FORMAT=json`).

use std::io::IsTerminal;

use oui_config::settings::{LogLevel, Logging};
use tracing_subscriber::EnvFilter;

/// Starts the log. Libraries are kept to warnings unless everything is asked for.
pub fn init(logging: &Logging) {
    let filter = match logging.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug,hyper=info,h2=info,reqwest=info,rustls=info,sqlx=info",
        LogLevel::Info => "info,sqlx=warn",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        // Colours are for people: a file or a collector gets plain text.
        .with_ansi(std::io::stdout().is_terminal())
        .with_target(true);
    // A second start in one process (tests) keeps the first log.
    let _ = if logging.json() {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}
