//! From settings to an open database: the file or server, prepared by the migrations, and its pools.

use anyhow::{Context, Result};
use oui_config::Settings;
use oui_config::settings::DatabaseUrl;
use oui_core::Clock;
use oui_migrations::{Outcome, SqlitePragmas, Target, postgres_options};
use oui_models::Db;
use oui_models::db::Connect;
use sqlx::postgres::PgConnectOptions;

/// Connections to PostgreSQL when `DATABASE_POOL_SIZE` is empty.
const DEFAULT_POOL: u32 = 10;
/// Reading connections to SQLite: enough to keep a few cores busy, few enough to stay small.
const SQLITE_READERS: usize = 4;

/// The database of the settings.
pub fn target(settings: &Settings) -> Result<Target> {
    Ok(match &settings.database_url {
        DatabaseUrl::SqliteFile(path) => Target::Sqlite {
            path: path.clone(),
            pragmas: pragmas(settings)?,
        },
        DatabaseUrl::SqliteMemory => anyhow::bail!(
            "DATABASE_URL names an in-memory database, which several connections can not share. \
             Use sqlite:///path/to/webui.db."
        ),
        DatabaseUrl::Postgres(postgres) => {
            let url = postgres.to_url();
            let options: PgConnectOptions = url
                .expose()
                .parse()
                .context("DATABASE_URL can not be read as a PostgreSQL address")?;
            Target::Postgres {
                options: Box::new(options),
                schema: settings.database.schema.clone(),
            }
        }
    })
}

fn pragmas(settings: &Settings) -> Result<SqlitePragmas> {
    let mut pragmas = SqlitePragmas {
        wal: settings.database.sqlite_wal,
        ..SqlitePragmas::default()
    };
    let given: std::collections::HashMap<&str, &str> = settings.database.pragmas().into_iter().collect();
    let number = |name: &str| -> Result<Option<i64>> {
        given
            .get(name)
            .map(|text| {
                let variable = format!("DATABASE_SQLITE_PRAGMA_{}", name.to_uppercase());
                text.parse()
                    .with_context(|| format!("{variable} must be a whole number, not {text}"))
            })
            .transpose()
    };
    pragmas.busy_timeout = number("busy_timeout")?.and_then(|ms| u32::try_from(ms).ok());
    pragmas.cache_size = number("cache_size")?;
    pragmas.mmap_size = number("mmap_size")?;
    pragmas.journal_size_limit = number("journal_size_limit")?;
    pragmas.synchronous = given.get("synchronous").map(|text| text.parse()).transpose()?;
    pragmas.temp_store = given.get("temp_store").map(|text| text.parse()).transpose()?;
    Ok(pragmas)
}

/// Prepares and opens the database. Says in the log what was done to it.
pub async fn open(settings: &Settings, clock: Clock) -> Result<Db> {
    let target = target(settings)?;
    if let Target::Sqlite { path, .. } = &target
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} can not be made; check DATA_DIR", folder.display()))?;
    }
    match oui_migrations::prepare(&target, clock.seconds()).await? {
        Outcome::Created => tracing::info!("made a new database"),
        Outcome::Opened { backup: Some(copy) } => {
            tracing::info!(backup = %copy.display(), "opened an existing database; a copy from before stands beside it");
        }
        Outcome::Opened { backup: None } => tracing::info!("opened an existing database"),
        Outcome::AlreadyOurs => {}
    }
    connect(&target, settings, clock).await
}

async fn connect(target: &Target, settings: &Settings, clock: Clock) -> Result<Db> {
    let connect = match target {
        Target::Sqlite { path, pragmas } => Connect::Sqlite {
            options: Box::new(pragmas.connect_options(path)),
            readers: SQLITE_READERS,
        },
        Target::Postgres { options, schema } => {
            let size = settings
                .database
                .pool_size
                .filter(|size| *size > 0)
                .unwrap_or(DEFAULT_POOL);
            Connect::Postgres {
                options: Box::new(postgres_options((**options).clone(), schema.as_deref())),
                size: size + settings.database.pool_overflow.unwrap_or(0),
            }
        }
    };
    Db::connect(connect, clock)
        .await
        .context("the database was prepared but can not be opened")
}
