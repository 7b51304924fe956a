//! Pending events in the database, and what its connections do.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, Statement};

use super::reading::time;
use super::{Store, StoreError};

/// The pending events of all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub events: u64,
    /// When the oldest one was received.
    pub oldest: Option<DateTime<Utc>>,
}

/// The connections of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// `all` on PostgreSQL, `read` and `write` on SQLite.
    pub pool: &'static str,
    /// Those at work.
    pub used: u64,
    /// Open ones that wait for work.
    pub idle: u64,
    /// The most that there may be.
    pub most: u64,
}

impl Store {
    /// Counts what is pending. Both figures are queried together: for the age alone the planner might walk all events
    /// in the order of their receipt.
    pub async fn backlog(&self, wait: Duration) -> Result<Backlog, StoreError> {
        self.run("count pending events", wait, |conn| async move {
            let sql = "SELECT COUNT(*), MIN(received_at) FROM events WHERE status = 'pending'";
            let row = conn.search_one(Statement::from_string(conn.backend(), sql)).await?;
            let Some(row) = row else { return Ok(Backlog::default()) };
            let events: i64 = row.try_get_by_index(0)?;
            Ok(Backlog { events: events.cast_unsigned(), oldest: time(&row, 1).flatten() })
        })
        .await
    }

    /// What the connections do now; does not query the database. Nothing while they are made anew.
    pub fn connections(&self) -> Vec<PoolUse> {
        let Some(pools) = self.pools() else { return Vec::new() };
        let used = |pool, open: u32, idle: usize, most: u32| {
            let idle = (idle as u64).min(u64::from(open));
            PoolUse { pool, used: u64::from(open) - idle, idle, most: u64::from(most) }
        };
        if self.backend() == DbBackend::Postgres {
            let all = pools.write.pool().get_postgres_connection_pool();
            return vec![used("all", all.size(), all.num_idle(), all.options().get_max_connections())];
        }
        [("read", &pools.read), ("write", &pools.write)]
            .map(|(name, link)| {
                let pool = link.pool().get_sqlite_connection_pool();
                used(name, pool.size(), pool.num_idle(), pool.options().get_max_connections())
            })
            .to_vec()
    }

    /// What kind of database it is, for people.
    pub fn kind_name(&self) -> &'static str {
        if self.backend() == DbBackend::Postgres { "postgresql" } else { "sqlite" }
    }
}
