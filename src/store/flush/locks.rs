//! Which kind of lock a flush met.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend};

use super::super::open::begin_write;
use super::super::{Store, StoreError, StoreErrorKind};
use super::roll_back;

/// Takes the locks that a flush takes on its tables, without waiting.
const TAKE: &str = "LOCK TABLE dedupe_keys, events, attempts, flushes IN ROW EXCLUSIVE MODE NOWAIT";

impl Store {
    /// Whether there is a lock, or a wait for one, that no flush gets past: that of a whole table, and on SQLite any.
    /// Else it is a key or a row that is held, and concerns only records that need that one.
    pub async fn is_flush_locked(&self, wait: Duration) -> Result<bool, StoreError> {
        if self.backend() != DatabaseBackend::Postgres {
            return Ok(true);
        }
        self.run("look for a lock", wait, |conn| async move {
            let tx = begin_write(&conn).await?;
            let taken = tx.execute_unprepared(TAKE).await.map_err(StoreError::from);
            roll_back(tx).await;
            match taken {
                Err(error) if error.kind == StoreErrorKind::Locked => Ok(true),
                taken => taken.map(|_| false),
            }
        })
        .await
    }
}
