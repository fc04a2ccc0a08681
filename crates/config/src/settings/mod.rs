//! Process settings: what the operator fixes at start-up and nobody changes while the server runs.
//!
//! One file per topic lists settings with the `settings!` macro of `spec`; `resolve` holds the few rules that
//! need more than one variable. Values that administrators can change are configuration keys, see `keys`.

mod auth;
mod database;
mod database_url;
mod engines;
mod limits;
mod logging;
mod resolve;
mod security_headers;
mod server;
mod shared;
mod spec;
mod storage;
#[cfg(test)]
mod tests;
mod upstream;
mod vectors;

pub use auth::{Auth, OAuth, PasswordHash, SameSite};
pub use database::{Database, Persistence};
pub use database_url::{DatabaseUrl, Postgres};
pub use engines::Engines;
pub use limits::{Access, Chat, GroupShare, Plugins, Scheduler};
pub use logging::{AuditLevel, LogLevel, Logging};
pub use security_headers::{Header, SecurityHeaders};
pub use server::Server;
pub use shared::{Redis, Websocket};
pub(crate) use spec::Reader;
pub use spec::SettingMeta;
pub use storage::Storage;
pub use upstream::{Entra, Forwarding, TlsVerify, Upstream};
pub use vectors::{VectorEngine, Vectors};

use std::path::PathBuf;

/// Folder in the data folder with the Python environment of plugins.
pub const PYTHON_FOLDER: &str = "python";

use crate::environment::Environment;
use crate::error::StartupError;
use crate::secret::Secret;

macro_rules! groups {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ident,)+) => {
        /// All process settings, read once.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// Where the data is: `DATABASE_URL`, its parts, or a file in `DATA_DIR`.
            pub database_url: DatabaseUrl,
            /// Signs sessions; never empty.
            pub secret_key: Secret,
            /// File of the audit log.
            pub audit_file: PathBuf,
            /// Settings that were ignored, as sentences for the log.
            pub warnings: Vec<String>,
        }

        /// The tables of all groups, for the documents.
        pub(crate) static TABLES: &[&[SettingMeta]] = &[$($type::TABLE),+];

        struct Groups {
            $($field: $type,)+
        }

        impl Groups {
            fn load(reader: &mut spec::Reader<'_>) -> Self {
                Self { $($field: $type::load(reader)),+ }
            }

            fn complete(self, rest: resolve::Rest) -> Settings {
                Settings {
                    $($field: self.$field,)+
                    database_url: rest.database_url,
                    secret_key: rest.secret_key,
                    audit_file: rest.audit_file,
                    warnings: rest.warnings,
                }
            }
        }
    };
}

groups! {
    /// Address, folders, identity.
    server: Server,
    /// Logs.
    logging: Logging,
    /// Sign-in.
    auth: Auth,
    /// OAuth.
    oauth: OAuth,
    /// Database connections.
    database: Database,
    /// Stored configuration.
    persistence: Persistence,
    /// Redis.
    redis: Redis,
    /// Socket.IO.
    websocket: Websocket,
    /// Calls to other servers.
    upstream: Upstream,
    /// User details in such calls.
    forwarding: Forwarding,
    /// Microsoft Entra.
    entra: Entra,
    /// Access.
    access: Access,
    /// Chats and models.
    chat: Chat,
    /// Uploaded files.
    storage: Storage,
    /// Files and engines.
    engines: Engines,
    /// Vectors and local models.
    vectors: Vectors,
    /// Plugins.
    plugins: Plugins,
    /// Background loops.
    scheduler: Scheduler,
    /// Response headers.
    security_headers: SecurityHeaders,
}

impl Settings {
    /// Reads all settings and tests the variables of all configuration keys.
    ///
    /// Creates the file of the signing secret if there is neither a secret nor the file.
    ///
    /// # Errors
    /// Every variable that does not allow a start, all at once.
    pub fn load(environment: &Environment) -> Result<Self, StartupError> {
        resolve::load(environment)
    }

    /// Key that protects stored client registrations of tool servers.
    pub fn oauth_client_key(&self) -> &Secret {
        self.oauth.client_key.as_ref().unwrap_or(&self.secret_key)
    }

    /// Key that protects stored OAuth tokens.
    pub fn oauth_session_key(&self) -> &Secret {
        self.oauth.session_key.as_ref().unwrap_or(&self.secret_key)
    }
}
