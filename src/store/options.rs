//! How the database is opened: where it is, and how patient its sessions are.

use std::fmt;
use std::time::Duration;

use sea_orm::DbBackend;

use super::error::StoreError;

/// Where the database is and how patient its sessions are.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite://path` or `postgres://…`; may lead through a transaction pooler.
    pub url: String,
    /// The same PostgreSQL database without a pooler, for locks and heartbeats; empty = `url`.
    pub direct_url: String,
    /// Connections of the pool (on SQLite: those that only read).
    pub pool: u32,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// Longest statement; PostgreSQL ends it.
    pub statement_timeout: Duration,
    /// Longest wait of a statement for a lock.
    pub lock_timeout: Duration,
    /// Longest JSON of an event that is read, in bytes as the database writes it.
    pub json_bytes_max: usize,
}

impl StoreOptions {
    pub(super) fn backend(&self) -> Result<DbBackend, StoreError> {
        if self.url.starts_with("sqlite:") {
            Ok(DbBackend::Sqlite)
        } else if self.url.starts_with("postgres:") || self.url.starts_with("postgresql:") {
            Ok(DbBackend::Postgres)
        } else {
            Err(StoreError::setup("the database url must begin with sqlite: or postgres:"))
        }
    }

    pub(super) fn direct(&self) -> &str {
        if self.direct_url.is_empty() { &self.url } else { &self.direct_url }
    }
}

impl fmt::Debug for StoreOptions {
    /// Without the urls: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("pool", &self.pool)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}
