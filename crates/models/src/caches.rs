//! The row caches of a [`Db`](crate::Db): what authentication and permission checks read on nearly
//! every request. Whoever writes such a row invalidates it here after the commit.

use std::sync::Arc;
use std::time::Duration;

use crate::db::{Dialect, RowCache};
use crate::functions::FunctionRow;
use crate::groups::Membership;
use crate::models::Registered;
use crate::quotas::QuotaSet;
use crate::users::Account;

/// Caches by kind.
pub(crate) struct Caches {
    /// User row and session stamp by user id.
    pub(crate) accounts: RowCache<String, Arc<Account>>,
    /// Groups (with their ancestors) by user id.
    pub(crate) memberships: RowCache<String, Arc<Membership>>,
    /// User id by API key.
    pub(crate) api_keys: RowCache<String, String>,
    /// Workspace models with their grants, all under one key.
    pub(crate) models: RowCache<(), Arc<Vec<Registered>>>,
    /// Functions in use, all under one key.
    pub(crate) functions: RowCache<(), Arc<Vec<FunctionRow>>>,
    /// Limits and prices, all under one key. Other servers are told of changes, so they may stay for long.
    pub(crate) quotas: RowCache<(), Arc<QuotaSet>>,
}

impl Caches {
    pub(crate) fn new(dialect: Dialect) -> Self {
        // A SQLite file has one server; a PostgreSQL database may have several, whose writes are
        // seen after at most this long.
        let ttl = match dialect {
            Dialect::Sqlite => Duration::from_secs(60),
            Dialect::Postgres => Duration::from_secs(1),
        };
        Self {
            accounts: RowCache::new(ttl, 20_000),
            memberships: RowCache::new(ttl, 20_000),
            api_keys: RowCache::new(ttl, 20_000),
            models: RowCache::new(ttl, 1),
            functions: RowCache::new(ttl, 1),
            quotas: RowCache::new(Duration::from_secs(60), 1),
        }
    }
}
