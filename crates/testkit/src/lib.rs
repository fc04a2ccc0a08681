//! A whole server in a test: the real router on a loopback port, a real database of either kind, a scripted
//! provider, and clients that are signed in. Nothing in here is compiled into the server.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "test support: a failure is the test's failure"
)]

mod client;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use oui_config::{Environment, Settings};
use oui_core::Clock;
use oui_fake_provider::FakeProvider;
use oui_migrations::testing::{PostgresDatabase, PostgresServer, SqliteDatabase};
use oui_server::Running;
use serde_json::json;

pub use client::{Client, Reply};

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A fresh file.
    Sqlite,
    /// A fresh database of the server in `OUI_TEST_POSTGRES_URL`.
    Postgres,
}

enum Database {
    Sqlite(SqliteDatabase),
    Postgres(Box<PostgresDatabase>),
    File(PathBuf),
    /// Of another server.
    Shared(String),
}

impl Database {
    async fn new(backend: Backend) -> Option<Self> {
        Some(match backend {
            Backend::Sqlite => Self::Sqlite(SqliteDatabase::prepared().await),
            Backend::Postgres => {
                Self::Postgres(Box::new(PostgresServer::from_env()?.prepared_database().await))
            }
        })
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(database) => format!("sqlite:///{}", database.path().display()),
            Self::File(path) => format!("sqlite:///{}", path.display()),
            Self::Shared(url) => url.clone(),
            Self::Postgres(database) => {
                let options = database.options();
                let password = std::env::var("OUI_TEST_POSTGRES_URL")
                    .ok()
                    .and_then(|url| {
                        url.split_once("://")?
                            .1
                            .split_once('@')
                            .map(|(login, _)| login.to_owned())
                    })
                    .unwrap_or_default();
                let (host, port) = (options.get_host(), options.get_port());
                format!("postgresql://{password}@{host}:{port}/{}", database.name())
            }
        }
    }
}

/// A running server.
pub struct TestApp {
    running: Option<Running>,
    address: SocketAddr,
    /// The scripted provider behind it.
    pub provider: FakeProvider,
    server: tokio::task::JoinHandle<()>,
    database: Option<Database>,
    _data: tempfile::TempDir,
}

impl TestApp {
    /// A server on a fresh database; `None` when the database server is not there (said on standard error).
    pub async fn start(backend: Backend) -> Option<Self> {
        Self::with_environment(backend, &[]).await
    }

    /// [`TestApp::start`] with more environment variables.
    pub async fn with_environment(backend: Backend, variables: &[(&str, &str)]) -> Option<Self> {
        Some(Self::on(Database::new(backend).await?, variables).await)
    }

    /// A server on an existing SQLite file, which it changes.
    pub async fn on_file(path: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        Self::on(Database::File(path.to_owned()), variables).await
    }

    /// Another server on the database of this one, which must outlive it.
    pub async fn beside(&self, variables: &[(&str, &str)]) -> Self {
        let url = self
            .database
            .as_ref()
            .expect("a running server has a database")
            .url();
        Self::on(Database::Shared(url), variables).await
    }

    async fn on(database: Database, variables: &[(&str, &str)]) -> Self {
        let provider = FakeProvider::start().await;
        let openai_url = provider.openai_url();
        let data = tempfile::tempdir().unwrap();
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in [
            ("DATA_DIR", data.path().to_str().unwrap()),
            ("DATABASE_URL", &database.url()),
            ("WEBUI_SECRET_KEY", "test-secret-of-at-least-32-bytes!"),
            ("ENABLE_OLLAMA_API", "false"),
            ("OPENAI_API_BASE_URL", &openai_url),
            ("OPENAI_API_KEY", "sk-provider"),
            // The default embeds with a model that no test machine can download.
            ("RAG_EMBEDDING_ENGINE", "openai"),
            ("RAG_EMBEDDING_MODEL", "embed"),
            ("RAG_OPENAI_API_BASE_URL", &openai_url),
            ("RAG_OPENAI_API_KEY", "sk-provider"),
            ("OFFLINE_MODE", "true"),
            ("CORS_ALLOW_ORIGIN", "*"),
            ("DATABASE_POOL_SIZE", "4"),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        if let Ok(python) = std::env::var("OUI_TEST_PYTHON") {
            environment.insert("OUI_PYTHON".into(), python);
        }
        environment.extend(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        link_client(data.path());
        let environment = Environment::from_map(environment);
        let settings = Settings::load(&environment).expect("test settings are good");
        let running = oui_server::start(&environment, settings, Clock::system())
            .await
            .expect("the server starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = running
            .router
            .clone()
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            running: Some(running),
            address,
            provider,
            server,
            database: Some(database),
            _data: data,
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The database behind the server.
    pub fn db(&self) -> &oui_models::Db {
        self.running.as_ref().unwrap().db()
    }

    /// The services behind the server.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Somebody without credentials.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url(), None)
    }

    /// The administrator: signs up first.
    pub async fn admin(&self) -> Client {
        let form = json!({ "name": "Admin", "email": "admin@example.org", "password": "admin-password" });
        let reply = self.anonymous().post("/api/v1/auths/signup", form).await;
        if reply.status == 200 {
            return Client::new(&self.url(), reply.body["token"].as_str());
        }
        self.sign_in("admin@example.org", "admin-password").await
    }

    /// An account of the given role, made by the administrator.
    pub async fn member(&self, admin: &Client, name: &str, role: &str) -> Client {
        let email = format!("{name}@example.org");
        let form = json!({ "name": name, "email": email, "password": "user-password", "role": role });
        let reply = admin.post("/api/v1/auths/add", form).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        self.sign_in(&email, "user-password").await
    }

    /// A signed-in client.
    pub async fn sign_in(&self, email: &str, password: &str) -> Client {
        let form = json!({ "email": email, "password": password });
        let reply = self.anonymous().post("/api/v1/auths/signin", form).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        Client::new(&self.url(), reply.body["token"].as_str())
    }

    /// Ends the server as SIGTERM does.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.server.abort();
        // PostgreSQL drops a database only when no session is half-way through signing in. One of those may be
        // a future of this very task, which goes on only if nothing here blocks.
        let database = self.database.take();
        tokio::task::spawn_blocking(move || drop(database)).await.unwrap();
    }
}

/// Gives the server the official client that `OUI_TEST_CLIENT` names (a folder as `oui frontend install` makes it);
/// without it the server has none.
fn link_client(data: &std::path::Path) {
    if let Ok(client) = std::env::var("OUI_TEST_CLIENT") {
        let name = PathBuf::from(&client)
            .file_name()
            .expect("OUI_TEST_CLIENT names a folder")
            .to_owned();
        std::os::unix::fs::symlink(&client, data.join(name)).expect("the client can be linked");
    }
}

/// Folder of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Declares a test that runs on SQLite and on PostgreSQL.
///
/// ```ignore
/// both! { async fn somebody_signs_up(app: TestApp) { ... } }
/// ```
#[macro_export]
macro_rules! both {
    ($(async fn $name:ident($app:ident: TestApp $(, $env:expr)?) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn run($app: $crate::TestApp) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let env: &[(&str, &str)] = $crate::both!(@env $($env)?);
                run($crate::TestApp::with_environment($crate::Backend::Sqlite, env).await.unwrap()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                let env: &[(&str, &str)] = $crate::both!(@env $($env)?);
                if let Some(app) = $crate::TestApp::with_environment($crate::Backend::Postgres, env).await {
                    run(app).await;
                }
            }
        }
    )*};
    (@env) => { &[] };
    (@env $env:expr) => { $env };
}
