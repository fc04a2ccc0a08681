//! `oui doctor`: looks at everything that can be wrong with an installation, one line each, and says how to
//! mend what is wrong.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use oui_config::{Config, Environment, Settings};
use oui_core::Clock;
use oui_providers::{CallContext, Http, HttpOptions, ModelCatalogue, ProviderSettings};
use std::sync::Arc;

use crate::database;

/// What a check found.
enum Finding {
    Good(String),
    Odd(String),
    Bad(String),
}

/// Runs every check and prints what it found. The exit code is 1 when something is wrong.
#[expect(clippy::print_stdout, reason = "this command answers on standard output")]
pub async fn run(environment: &Environment, settings: Settings) -> ExitCode {
    let mut findings = vec![("data folder", data_folder(&settings.server.data_dir))];
    findings.push(("client", client(&settings)));
    let (database, config) = open_database(environment, &settings).await;
    findings.push(("database", database));
    if let Some(config) = config {
        findings.push(("providers", providers(&config).await));
    }
    let mut healthy = true;
    for (name, finding) in &findings {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok  ", text),
            Finding::Odd(text) => ("note", text),
            Finding::Bad(text) => {
                healthy = false;
                ("BAD ", text)
            }
        };
        println!("{mark}  {name}: {text}");
    }
    if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn data_folder(folder: &Path) -> Finding {
    let shown = folder.display();
    let probe = folder.join(".oui-doctor");
    if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b"x")) {
        return Finding::Bad(format!(
            "{shown} can not be written ({error}); change its rights or set DATA_DIR"
        ));
    }
    // The probe was written just now; if it can not be removed, it does no harm.
    let _ = std::fs::remove_file(&probe);
    Finding::Good(format!("{shown} can be written"))
}

fn client(settings: &Settings) -> Finding {
    if settings.server.frontend_dir.join("index.html").is_file() {
        return Finding::Good(format!("served from {}", settings.server.frontend_dir.display()));
    }
    match oui_frontend::installed(&settings.server.data_dir) {
        Some(client) => Finding::Good(format!("version {} in {}", client.version, client.dir.display())),
        None => Finding::Odd("not installed; the API works without it. Run: oui frontend install".to_owned()),
    }
}

async fn open_database(environment: &Environment, settings: &Settings) -> (Finding, Option<Config>) {
    let db = match database::open(settings, Clock::system()).await {
        Ok(db) => db,
        Err(error) => return (Finding::Bad(format!("{error:#}")), None),
    };
    let counted = oui_models::users::count(&db).await;
    let stored = oui_models::config::all(&db).await;
    db.close().await;
    match (counted, stored) {
        (Ok(users), Ok(stored)) => (
            Finding::Good(format!("open, {users} accounts")),
            Some(Config::new(environment, stored)),
        ),
        (Err(error), _) | (_, Err(error)) => {
            (Finding::Bad(format!("open, but can not be read: {error}")), None)
        }
    }
}

async fn providers(config: &Config) -> Finding {
    let settings = Arc::new(ProviderSettings::read(|path| config.value(path)));
    let http = match Http::new(HttpOptions::default(), Clock::system()) {
        Ok(http) => http,
        Err(error) => return Finding::Bad(error),
    };
    let catalogue = ModelCatalogue::new(http, Clock::system());
    let nobody = CallContext::default();
    let asked = catalogue.refresh(&settings, &nobody);
    let Ok(snapshot) = tokio::time::timeout(Duration::from_secs(30), asked).await else {
        return Finding::Bad("no provider answered within 30 s".to_owned());
    };
    let models = snapshot.base_models().len();
    if snapshot.warnings.is_empty() {
        return match models {
            0 => Finding::Odd("none answers with models; add a connection in the admin settings".to_owned()),
            _ => Finding::Good(format!("{models} models")),
        };
    }
    let silent: Vec<String> = snapshot
        .warnings
        .iter()
        .map(|warning| format!("{}: {}", warning.url, warning.message))
        .collect();
    Finding::Odd(format!(
        "{models} models; without answer: {}. Start them, or remove the connection in the admin settings",
        silent.join("; ")
    ))
}
