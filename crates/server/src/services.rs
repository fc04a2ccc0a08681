//! Builds everything in order: database, configuration, authentication, socket server, provider clients, chat
//! engine, application, router; and ends it in the opposite order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use fancy_regex::Regex;
use oui_access::Authenticator;
use oui_access::passwords::{HashKind, PasswordPolicy};
use oui_chat::{Engine, EngineParts};
use oui_config::settings::{AuditLevel, PasswordHash};
use oui_config::{Config, Environment, Settings};
use oui_core::{Clock, Emitter, Notice, Notices};
use oui_events::{Events, EventsParts};
use oui_frontend::{FrontendOptions, FrontendService};
use oui_loaders::ingest::Ingest;
use oui_loaders::{Document, LoadError, Loader, Source};
use oui_models::file_texts::FileText;
use oui_models::{Db, config as config_rows};
use oui_providers::{
    EntraOptions, ForwardHeaders, GuardOptions, Guarded, Http, HttpOptions, ProviderClient, Secret, Timeouts,
    TlsVerify,
};
use oui_redis::{Bus, Message, Redis, RedisOptions};
use oui_retrieval::{Extract, Progress, Retrieval};
use oui_socket::{SocketOptions, SocketServer};
use oui_storage::Storage;
use oui_web::app::{Live, NoPeers};
use oui_web::audit::{AuditLog, AuditOptions};
use oui_web::{App, Services};
use oui_web_search::Web;

use crate::backend::SocketBackend;
use crate::kept_files::KeptFiles;
use crate::notifier::UserTargets;
use crate::peers::{BusPeers, Parts, SharedSessions, SharedUsage, everywhere};
use crate::{database, middleware, routes};

/// Error of files whose reading was cut off by the end of the process.
const INTERRUPTED: &str = "The server stopped while it read the file. Please upload it again.";

/// How long a server that stops waits for webhooks that are being told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What happens to the server itself.
fn system(name: &'static str) -> Notice {
    Notice::new(name).from_source("system")
}

/// A server that is ready to listen.
pub struct Running {
    /// Everything that HTTP sees.
    pub router: Router,
    /// The application, for tests.
    pub app: App,
    db: Db,
    engine: Arc<Engine>,
    retrieval: Arc<Retrieval>,
    socket: SocketServer,
}

impl Running {
    /// The database, for tests and tools.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Stops runs (each saves what it has), tells browsers, and closes the database.
    pub async fn stop(&self) {
        self.app.events.publish(system("system.shutdown.started"));
        self.engine.shut_down().await;
        self.socket.close().await;
        self.retrieval.close().await;
        self.app.events.publish(system("system.shutdown.completed"));
        self.app.events.settle(LAST_WORDS).await;
        self.db.close().await;
        let app = self.app.clone();
        if tokio::task::spawn_blocking(move || app.audit.close())
            .await
            .is_err()
        {
            tracing::warn!("the end of the audit log could not be awaited");
        }
    }
}

/// Starts all services.
///
/// # Errors
/// A text that names the variable, file or server at fault, and the fix.
pub async fn start(environment: &Environment, settings: Settings, clock: Clock) -> Result<Running> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let settings = Arc::new(settings);
    make_folders(&settings)?;
    let db = database::open(&settings, clock.clone()).await?;
    let config = Arc::new(load_config(environment, &settings, &db).await?);
    let secret = settings.secret_key.expose();
    let redis = redis(&settings).await?;
    let shared = redis
        .clone()
        .map(|redis| Arc::new(redis) as Arc<dyn oui_access::SharedState>);
    let auth = Arc::new(Authenticator::new(
        db.clone(),
        config.clone(),
        settings.clone(),
        secret,
        shared,
    ));
    let network = redis.as_ref().map(|redis| Network::start(redis, &settings));
    let socket = socket_server(&db, &auth, &settings, &clock, network.as_ref());
    let (emitter, listener): (Arc<dyn Emitter>, _) = match &network {
        Some(network) => {
            let (everywhere, here) = everywhere(&socket, &network.sessions, &network.bus);
            (Arc::new(everywhere), Some(here))
        }
        None => (Arc::new(socket.clone()), None),
    };
    let http = Http::new(http_options(&settings), clock.clone()).map_err(anyhow::Error::msg)?;
    let retrieval = Arc::new(Retrieval::new(
        db.clone(),
        config.clone(),
        settings.clone(),
        http.clone(),
    ));
    let web = Arc::new(Web::new(config.clone(), settings.clone(), clock.clone())?);
    let engine = Engine::new(EngineParts {
        db: db.clone(),
        config: config.clone(),
        settings: settings.clone(),
        auth: auth.clone(),
        emitter: emitter.clone(),
        providers: ProviderClient::new(http.clone(), clock.clone()),
        retrieval: retrieval.clone(),
        web: web.clone(),
    });
    match engine
        .recover()
        .await
        .context("replies that a crash cut off could not be completed")?
    {
        0 => {}
        count => tracing::warn!(count, "completed replies that the last stop had cut off"),
    }
    oui_chat::scheduler::start(&engine);
    let storage =
        Arc::new(Storage::new(&settings).context("the storage for uploaded files can not be used")?);
    engine.keep_files_with(Arc::new(KeptFiles {
        storage: storage.clone(),
        db: db.clone(),
    }));
    // With others on the same database a file may be theirs, which they are still reading.
    if settings.redis.url.is_none() {
        match oui_models::files::fail_interrupted(&db, INTERRUPTED).await? {
            0 => {}
            count => tracing::warn!(count, "files were being read when the server stopped last"),
        }
    }
    retrieval.extract_with(Arc::new(StoredFiles {
        storage: storage.clone(),
        loader: Loader::new(config.clone())?,
    }));
    // What others on the same database have noted lately may be in work there.
    let others = if settings.redis.url.is_some() { 3600 } else { 0 };
    match retrieval.tidy(db.now() + 1 - others).await {
        Ok(0) => {}
        Ok(files) => tracing::warn!(
            files,
            "removed what the last stop had left of files on their way into or out of collections"
        ),
        Err(error) => {
            tracing::error!(%error, "what the last stop left in the vector store could not be removed")
        }
    }
    let ingest: Arc<dyn Ingest> = retrieval.clone();
    fill_store(&retrieval);
    let frontend = frontend(&settings);
    let passwords = password_policy(&settings)?;
    let events = events(&settings, &db, &config, &clock)?;
    events.publish(system("system.startup.started"));
    http.tell_through(Arc::new(events.clone()));
    engine.tell_through(Arc::new(events.clone()));
    retrieval.tell_through(Arc::new(events.clone()));
    engine.notify_with(Arc::new(UserTargets {
        db: db.clone(),
        clock: clock.clone(),
        events: events.clone(),
    }));
    let audit = audit_log(&settings, &clock)?;
    let services = Services {
        config,
        settings: settings.clone(),
        clock,
        auth,
        passwords,
        retrieval: retrieval.clone(),
        emitter,
        chat: engine.clone(),
        live: Arc::new(LiveSockets(socket.clone())),
        peers: match &network {
            Some(network) => Arc::new(BusPeers(network.bus.clone())),
            None => Arc::new(NoPeers),
        },
        events,
        routes: routes::all(),
        audit,
        web,
        storage,
        ingest,
        frontend: frontend.clone(),
    };
    let app = App::new(services, db.clone());
    oui_routers_account::first_admin(&app)
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    oui_routers_system::adopt_legacy_webhook(&app)
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    oui_routers_account::check_second_factors(&app)
        .await
        .map_err(|error| anyhow::anyhow!("second factors can not be asked for: {error}"))?;
    if let (Some(network), Some(here)) = (network, listener) {
        let here = here(Parts {
            db: db.clone(),
            config: app.config.clone(),
            engine: engine.clone(),
            usage: network.usage,
        });
        tokio::spawn(here.listen(network.messages));
    }
    let api = middleware::wrap(routes::router(app.clone(), frontend), &app)?;
    let router = socket.router().merge(api);
    app.events.publish(system("system.startup.completed"));
    Ok(Running {
        router,
        app,
        db,
        engine,
        retrieval,
        socket,
    })
}

/// Makes all vectors anew, without serving.
///
/// # Errors
/// What does not let the work begin; files that fail are counted.
pub async fn reindex(
    environment: &Environment,
    settings: Settings,
    clock: Clock,
    show: impl FnMut(Progress),
) -> Result<Progress> {
    let settings = Arc::new(settings);
    make_folders(&settings)?;
    let db = database::open(&settings, clock.clone()).await?;
    let config = Arc::new(load_config(environment, &settings, &db).await?);
    let http = Http::new(http_options(&settings), clock).map_err(anyhow::Error::msg)?;
    let retrieval = Retrieval::new(db.clone(), config, settings, http);
    let done = retrieval.reindex(false, show).await;
    retrieval.close().await;
    db.close().await;
    Ok(done?)
}

/// Gets the text out of files where uploads are stored.
struct StoredFiles {
    storage: Arc<Storage>,
    loader: Loader,
}

#[async_trait::async_trait]
impl Extract for StoredFiles {
    async fn extract(&self, file: &FileText) -> Result<Vec<Document>, LoadError> {
        let path = file.path.as_deref().unwrap_or_default();
        let local = self
            .storage
            .local(path)
            .await
            .map_err(|error| LoadError::new(error.to_string()))?;
        let meta = file.meta.as_ref();
        let source = Source {
            path: local.path(),
            name: file.name(),
            content_type: meta.and_then(|meta| meta.get("content_type")?.as_str()),
            file_id: Some(&file.id),
            user: None,
        };
        self.loader.extract(&source).await
    }
}

/// Makes vectors in the background that the store may lack.
fn fill_store(retrieval: &Arc<Retrieval>) {
    let retrieval = retrieval.clone();
    tokio::spawn(async move {
        match retrieval.needs_reindex().await {
            Ok(false) => return,
            Ok(true) => tracing::info!("making vectors of the stored texts in the background"),
            Err(error) => return tracing::error!(%error, "could not find out which vectors are missing"),
        }
        let mut shown = 0;
        let done = retrieval
            .reindex(true, |progress| {
                let percent = progress.done * 100 / progress.total.max(1);
                if percent >= shown + 5 {
                    shown = percent;
                    tracing::info!(
                        percent,
                        done = progress.done,
                        total = progress.total,
                        "making vectors"
                    );
                }
            })
            .await;
        match done {
            Ok(done) => tracing::info!(
                total = done.total,
                failed = done.failed,
                "made vectors of the stored texts"
            ),
            Err(error) => {
                tracing::error!(%error, "vectors of the stored texts could not be made; the next start tries again");
            }
        }
    });
}

fn make_folders(settings: &Settings) -> Result<()> {
    for folder in [
        settings.server.data_dir.clone(),
        settings.server.upload_dir(),
        settings.server.cache_dir(),
    ] {
        std::fs::create_dir_all(&folder).with_context(|| {
            format!(
                "the folder {} can not be made; set DATA_DIR to one that is writable",
                folder.display()
            )
        })?;
    }
    Ok(())
}

/// Rows of the database over the environment; rows of older versions are repaired, missing ones are written.
async fn load_config(environment: &Environment, settings: &Settings, db: &Db) -> Result<Config> {
    if settings.persistence.reset {
        config_rows::replace_all(db, &BTreeMap::new()).await?;
    }
    let stored = config_rows::all(db).await?;
    let repair = oui_config::repair(&stored);
    if !repair.set.is_empty() || !repair.remove.is_empty() {
        let mut rows = stored;
        rows.retain(|path, _| !repair.remove.iter().any(|gone| gone == path));
        rows.extend(repair.set);
        config_rows::replace_all(db, &rows).await?;
    }
    let config = Config::new(environment, config_rows::all(db).await?);
    let missing = config.defaults_to_seed();
    if !missing.is_empty() {
        config_rows::write(db, missing.iter().map(|(path, value)| (*path, value))).await?;
        // What comes back is what the other server would read, storage classes included.
        config.reset_to(config_rows::all(db).await?);
    }
    Ok(config)
}

async fn redis(settings: &Settings) -> Result<Option<Redis>> {
    let Some(url) = &settings.redis.url else {
        return Ok(None);
    };
    let options = RedisOptions {
        url: url.expose().to_owned(),
        prefix: settings.redis.key_prefix.clone(),
        connect_timeout: settings.redis.connect_timeout,
        timeout: settings.redis.timeout,
    };
    let redis = Redis::connect(options)
        .await
        .context("Redis does not answer; check REDIS_URL, or remove it to run one server without Redis")?;
    Ok(Some(redis))
}

/// What connects this server with the others.
struct Network {
    bus: Bus,
    messages: tokio::sync::mpsc::UnboundedReceiver<Message>,
    sessions: Arc<SharedSessions>,
    usage: Arc<SharedUsage>,
}

impl Network {
    fn start(redis: &Redis, settings: &Settings) -> Self {
        let id = settings
            .server
            .instance_id
            .clone()
            .unwrap_or_else(oui_core::ids::uuid);
        let (bus, messages) = Bus::start(redis, &id);
        Self {
            sessions: Arc::new(SharedSessions::new(bus.clone())),
            usage: Arc::new(SharedUsage::new(bus.clone())),
            bus,
            messages,
        }
    }
}

fn socket_server(
    db: &Db,
    auth: &Arc<Authenticator>,
    settings: &Settings,
    clock: &Clock,
    network: Option<&Network>,
) -> SocketServer {
    let backend = SocketBackend {
        db: db.clone(),
        auth: auth.clone(),
        admin_chats: settings.access.admin_chats,
    };
    let websocket = &settings.websocket;
    let options = SocketOptions {
        websocket: websocket.enabled,
        ping_interval: websocket.ping_interval,
        ping_timeout: websocket.ping_timeout,
        allowed_origins: settings.server.cors_origins.clone(),
        heartbeat_interval: websocket.heartbeat.map(std::time::Duration::from_secs),
        ..SocketOptions::default()
    };
    match network {
        Some(network) => SocketServer::with_pools(
            options,
            clock.clone(),
            Arc::new(backend),
            network.sessions.clone(),
            network.usage.clone(),
        ),
        None => SocketServer::new(options, clock.clone(), Arc::new(backend)),
    }
}

fn http_options(settings: &Settings) -> HttpOptions {
    let (upstream, forwarding) = (&settings.upstream, &settings.forwarding);
    HttpOptions {
        timeouts: Timeouts {
            total: upstream.timeout,
            stream_idle: upstream.stream_idle_timeout,
            model_list: upstream.model_list_timeout,
            ..Timeouts::default()
        },
        tls: tls(settings),
        redirects: true,
        prior_http2: false,
        forward: ForwardHeaders {
            enabled: forwarding.enabled,
            user_name: forwarding.user_name.clone(),
            user_id: forwarding.user_id.clone(),
            user_email: forwarding.user_email.clone(),
            user_role: forwarding.user_role.clone(),
            auth_type: forwarding.auth_type.clone(),
            chat_id: forwarding.chat_id.clone(),
            jwt_secret: forwarding
                .jwt_secret
                .as_ref()
                .map(|secret| Secret::new(secret.expose())),
            jwt: forwarding.jwt.clone(),
            jwt_expires: forwarding.jwt_lifetime,
        },
        entra: EntraOptions {
            tenant: settings.entra.tenant.clone(),
            client: settings.entra.client.clone(),
            secret: settings
                .entra
                .client_secret
                .as_ref()
                .map(|secret| Secret::new(secret.expose())),
            token_file: settings.entra.token_file.clone(),
            authority: settings.entra.authority.clone(),
            endpoint: settings.entra.endpoint.clone(),
            header: settings
                .entra
                .header
                .as_ref()
                .map(|secret| Secret::new(secret.expose())),
        },
    }
}

fn events(settings: &Settings, db: &Db, config: &Arc<Config>, clock: &Clock) -> Result<Events> {
    let upstream = &settings.upstream;
    let http = Guarded::new(GuardOptions {
        private: upstream.private_web_fetch,
        filter: upstream.web_fetch_filter.clone(),
        redirects: upstream.follow_redirects,
        tls: tls(settings),
    });
    Ok(Events::new(EventsParts {
        db: db.clone(),
        config: config.clone(),
        clock: clock.clone(),
        http: http.map_err(anyhow::Error::msg)?,
        name: settings.server.name.clone(),
        version: oui_frontend::FRONTEND_VERSION,
    }))
}

pub(crate) fn audit_log(settings: &Settings, clock: &Clock) -> Result<AuditLog> {
    let logging = &settings.logging;
    if logging.audit_level == AuditLevel::None || !(logging.audit_to_file || logging.audit_to_stdout) {
        return Ok(AuditLog::off(clock.clone()));
    }
    let file = &settings.audit_file;
    AuditLog::open(AuditOptions {
        file: logging.audit_to_file.then(|| file.clone()),
        rotate_at: logging.audit_rotation_bytes,
        to_stdout: logging.audit_to_stdout,
        clock: clock.clone(),
    })
    .with_context(|| {
        format!(
            "the audit log {} can not be written; set AUDIT_LOGS_FILE_PATH to a file that can",
            file.display()
        )
    })
}

fn tls(settings: &Settings) -> TlsVerify {
    match &settings.upstream.tls {
        oui_config::settings::TlsVerify::On => TlsVerify::System,
        oui_config::settings::TlsVerify::Off => TlsVerify::Off,
        oui_config::settings::TlsVerify::CaFile(path) => TlsVerify::CaFile(path.clone()),
    }
}

fn frontend(settings: &Settings) -> FrontendService {
    FrontendService::new(FrontendOptions {
        data_dir: settings.server.data_dir.clone(),
        build_dir: Some(settings.server.frontend_dir.clone()).filter(|folder| folder.is_dir()),
        static_dir: Some(settings.server.static_dir()).filter(|folder| folder.is_dir()),
        compress: settings.server.compression,
    })
}

fn password_policy(settings: &Settings) -> Result<PasswordPolicy> {
    let auth = &settings.auth;
    let pattern = if auth.validate_password {
        // The pattern is matched from the start of the password, as in the reference.
        let pattern = Regex::new(&format!("^(?:{})", auth.password_pattern)).with_context(|| {
            "PASSWORD_VALIDATION_REGEX_PATTERN is no regular expression; mend it or turn ENABLE_PASSWORD_VALIDATION off"
        })?;
        Some((pattern, auth.password_hint.clone()))
    } else {
        None
    };
    let kind = match auth.password_hash {
        PasswordHash::Bcrypt => HashKind::Bcrypt,
        PasswordHash::Argon2 => HashKind::Argon2,
    };
    Ok(PasswordPolicy { kind, pattern })
}

struct LiveSockets(SocketServer);

impl Live for LiveSockets {
    fn usage_models(&self) -> Vec<String> {
        self.0.usage_models()
    }

    fn sessions_of(&self, user_id: &str) -> Vec<String> {
        self.0.sessions_of(user_id)
    }

    fn refresh_chat_access(&self, chat_id: &str) {
        let (socket, chat_id) = (self.0.clone(), chat_id.to_owned());
        tokio::spawn(async move { socket.refresh_chat_access(Some(&chat_id)).await });
    }
}
