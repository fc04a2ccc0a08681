//! The state behind every handler.

use oui_core::boxed;
use std::sync::Arc;

use oui_access::{Authenticator, Permissions};
use oui_config::{Config, Settings};
use oui_core::{ApiResult, Clock, Emitter, Notice, Notices};
use oui_models::Db;

use crate::memo::Memo;

/// The application. Cheap to clone. Its database is reached through a caller only.
#[derive(Clone)]
pub struct App {
    services: Arc<Services>,
    memo: Arc<Memo>,
    db: Db,
}

/// What the application is made of, built once by the server crate.
pub struct Services {
    /// Configuration keys.
    pub config: Arc<Config>,
    /// Process settings.
    pub settings: Arc<Settings>,
    /// Time.
    pub clock: Clock,
    /// Resolves credentials.
    pub auth: Arc<Authenticator>,
    /// Rules for new passwords.
    pub passwords: oui_access::passwords::PasswordPolicy,
    /// Embeddings, vector store and search.
    pub retrieval: Arc<oui_retrieval::Retrieval>,
    /// Reaches browsers.
    pub emitter: Arc<dyn Emitter>,
    /// Chat runs, model catalogue and provider connections.
    pub chat: Arc<oui_chat::Engine>,
    /// Numbers and lists that the socket server keeps.
    pub live: Arc<dyn Live>,
    /// Other servers of the same database.
    pub peers: Arc<dyn Peers>,
    /// Tells webhooks and users what happened.
    pub events: oui_events::Events,
    /// Every route, for the description of the API.
    pub routes: Vec<Route>,
    /// The audit log.
    pub audit: crate::audit::AuditLog,
    /// Pages and search engines.
    pub web: Arc<oui_web_search::Web>,
    /// Bytes of uploaded files.
    pub storage: Arc<oui_storage::Storage>,
    /// Makes files findable.
    pub ingest: Arc<dyn oui_loaders::ingest::Ingest>,
    /// The client's files, the changelog among them.
    pub frontend: oui_frontend::FrontendService,
}

/// The other servers of the same database.
pub trait Peers: Send + Sync {
    /// Rows of table `config` changed here.
    fn config_changed(&self);

    /// Asks them to stop a task that does not run here; `false` when there is nobody to ask.
    fn stop_task(&self, task_id: &str) -> bool;
}

/// There are no others.
pub struct NoPeers;

impl Peers for NoPeers {
    fn config_changed(&self) {}

    fn stop_task(&self, _: &str) -> bool {
        false
    }
}

/// One row of the tables of endpoints.
#[derive(Debug, Clone)]
pub struct Route {
    /// HTTP method.
    pub method: String,
    /// Whole path.
    pub path: String,
    /// Name of the policy.
    pub policy: &'static str,
    /// Name of the area.
    pub area: &'static str,
    /// Name of the handler.
    pub handler: &'static str,
    /// What it takes and answers, where that is described.
    pub shapes: crate::endpoint::Shapes,
}

/// What routes ask the socket server.
pub trait Live: Send + Sync {
    /// Ids of the models in use.
    fn usage_models(&self) -> Vec<String>;

    /// Ids of the sockets of a user.
    fn sessions_of(&self, user_id: &str) -> Vec<String>;

    /// Lets those who have a chat open know that the rules about it changed, and puts those out who may no longer look.
    fn refresh_chat_access(&self, chat_id: &str);
}

impl App {
    /// Puts the application together.
    pub fn new(services: Services, db: Db) -> Self {
        Self {
            services: Arc::new(services),
            memo: Arc::default(),
            db,
        }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// What a router crate remembers for this application: one value per type, made at the first use.
    pub fn memo<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.memo.get()
    }

    /// The effective permissions of a user.
    #[boxed]
    pub async fn permissions_of(&self, user_id: &str) -> ApiResult<Permissions> {
        self.auth.permissions_of(user_id).await
    }

    /// Notes something about the security of an account in the log, in the audit log, and to those who hear of
    /// events.
    pub fn security_event(&self, name: &'static str, user_id: &str, reason: Option<&str>) {
        let mut data = serde_json::json!({ "event": name });
        if let Some(reason) = reason {
            data["reason"] = reason.into();
        }
        tracing::info!(event = name, user = user_id, reason, "security event");
        self.audit.write(&crate::audit::AuditEntry {
            id: oui_core::ids::uuid(),
            user: serde_json::json!({ "id": user_id }),
            level: "METADATA",
            verb: "MFA".to_owned(),
            request_uri: "/api/v1/auths/mfa".to_owned(),
            extra: data.clone(),
            ..crate::audit::AuditEntry::default()
        });
        self.events
            .publish(Notice::new(name).about_kind("user", user_id).with(data));
    }

    /// Writes configuration rows and makes them effective.
    #[boxed]
    pub async fn save_config(
        &self,
        changes: std::collections::BTreeMap<String, serde_json::Value>,
    ) -> ApiResult<()> {
        oui_models::config::write(&self.db, self.config.rows_to_write(&changes)).await?;
        self.config.apply(&changes);
        self.chat.catalogue.invalidate();
        self.peers.config_changed();
        Ok(())
    }

    /// Writes configuration rows together with what `tx` holds already, and makes them effective.
    #[boxed]
    pub async fn save_config_in(
        &self,
        mut tx: oui_models::Tx,
        changes: std::collections::BTreeMap<String, serde_json::Value>,
    ) -> ApiResult<()> {
        oui_models::config::write_in(&mut tx, self.config.rows_to_write(&changes)).await?;
        tx.commit().await?;
        self.config.apply(&changes);
        self.chat.catalogue.invalidate();
        self.peers.config_changed();
        Ok(())
    }

    /// Writes rules of sign-in and ends every session, both or neither. Answers whose sessions ended.
    #[boxed]
    pub async fn save_config_and_revoke(
        &self,
        changes: std::collections::BTreeMap<String, serde_json::Value>,
    ) -> ApiResult<Vec<String>> {
        let mut tx = self.db.begin().await?;
        oui_models::config::write_in(&mut tx, self.config.rows_to_write(&changes)).await?;
        let ended = oui_models::auths::revoke_all(&mut tx).await?;
        tx.commit().await?;
        for id in &ended {
            oui_models::users::changed(&self.db, id);
        }
        self.config.apply(&changes);
        self.chat.catalogue.invalidate();
        self.peers.config_changed();
        Ok(ended)
    }
}

impl std::ops::Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}
