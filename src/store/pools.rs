//! The connections of an open database: a pool that reads and one that writes; on PostgreSQL they are one.
//!
//! Those of SQLite are closed all at once and made anew when the database stays locked. SQLite keeps the locks of all
//! connections of a process in one place, and where the system fails to give one back, it stays there until the last
//! connection is gone. If it is another process that holds the lock, new connections do no harm.

use std::path::Path;
use std::time::Duration;

use super::db_pool::DbPool;
use super::options::StoreOptions;
use super::sqlite;
use crate::telemetry::facts;

/// Longest wait for connections to be closed; one that hangs in the system is left behind. One that waits for a mark of
/// the log does so for ten seconds, and holds all locks meanwhile.
const CLOSE_MAX: Duration = Duration::from_secs(15);

/// What operations work on.
#[derive(Debug)]
pub(super) struct ConnectionPools {
    pub read: DbPool,
    pub write: DbPool,
    /// How often they were made anew.
    pub generation: u64,
}

impl ConnectionPools {
    pub fn new(read: DbPool, write: DbPool) -> Self {
        Self { read, write, generation: 0 }
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
        let [read, write] = [sqlite::readers(path, options), sqlite::writer_later(path, options)].map(DbPool::from);
        *self = Self { read, write, generation: self.generation + 1 };
    }
}
