//! The connections of an open database: a pool that reads and one that writes; on PostgreSQL they are one.
//!
//! Those of SQLite are closed all at once and made anew when the database stays locked. SQLite keeps the locks of all
//! connections of a process in one place, and where the system fails to give one back, it stays there until the last
//! connection is gone. If it is another process that holds the lock, new connections do no harm.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::sqlx::Connection;

use super::db_pool::DbPool;
use super::options::StoreOptions;
use super::sqlite;
use crate::telemetry::facts;

/// Longest wait for connections to be closed; one that hangs in the system is left behind. One that waits for a mark of
/// the log does so for ten seconds, and holds all locks meanwhile.
const CLOSE_MAX: Duration = Duration::from_secs(15);

/// Longest time for which it is no sign of a lock that nobody gets a connection: SQLite may take ten seconds for one
/// operation by itself.
const STARVING_MAX: Duration = Duration::from_secs(10);

/// Tries to open a connection before the pools are made anew. One that fails has outlasted all that were being opened
/// before it.
const TRIES: usize = 2;

/// What operations work on.
#[derive(Debug)]
pub(super) struct ConnectionPools {
    pub read: DbPool,
    pub write: DbPool,
    /// How often they were made anew.
    pub generation: u64,
    /// How many operations on them have succeeded.
    successes: AtomicU64,
    /// Since when nobody gets a connection, and how many had succeeded by then.
    starving: Mutex<Option<(u64, Instant)>>,
}

impl ConnectionPools {
    pub fn new(read: DbPool, write: DbPool) -> Self {
        Self { read, write, generation: 0, successes: AtomicU64::new(0), starving: Mutex::default() }
    }

    /// Notes that an operation has succeeded.
    pub fn note_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an operation waited in vain for a connection; whether all have for long, so that whoever has one waits for
    /// what will not come.
    pub fn note_starving(&self) -> bool {
        let successes = self.successes.load(Ordering::Relaxed);
        let mut starving = self.starving.lock().unwrap_or_else(PoisonError::into_inner);
        match *starving {
            Some((before, since)) if before == successes => since.elapsed() >= STARVING_MAX,
            _ => {
                *starving = Some((successes, Instant::now()));
                false
            }
        }
    }

    /// As if nobody had got a connection for long.
    #[cfg(test)]
    pub fn have_starved(&self) {
        let long_ago = Instant::now().checked_sub(STARVING_MAX);
        let successes = self.successes.load(Ordering::Relaxed);
        *self.starving.lock().unwrap_or_else(PoisonError::into_inner) = long_ago.map(|since| (successes, since));
    }

    /// Ends the connections, after the operations that hold them.
    pub async fn close(&self) {
        for link in [&self.read, &self.write] {
            // Closing twice, or a connection that is gone already, is fine.
            let _ = link.pool().close_by_ref().await;
        }
    }

    /// Closes all connections to the SQLite file at `path`, and only then lets new ones be opened.
    pub async fn reopen(&mut self, path: &Path, options: &StoreOptions) {
        facts::connections_reopened();
        let _ = tokio::time::timeout(CLOSE_MAX, self.close()).await;
        outlast_openings(path, options).await;
        let [read, write] = [sqlite::readers(path, options), sqlite::writer_later(path, options)].map(DbPool::from);
        *self = Self { generation: self.generation + 1, ..Self::new(read, write) };
    }
}

/// Waits for connections that are being opened though nobody waits for them any more: they belong to no pool, and hold all
/// locks as open ones do.
async fn outlast_openings(path: &Path, options: &StoreOptions) {
    for _ in 0..TRIES {
        if let Ok(Ok(connection)) = tokio::time::timeout(CLOSE_MAX, sqlite::connect(path, options)).await {
            // One that cannot be closed in order is gone as well.
            let _ = connection.close().await;
            return;
        }
    }
}
