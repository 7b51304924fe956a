//! Checkpoints of SQLite: its write-ahead log is emptied before it grows without bound.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};

use super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use super::identity::beside;
use super::open::Store;

/// A log longer than this is emptied; SQLite begins that by itself at 4 MB.
const LOG_BYTES_MAX: u64 = 64 << 20;

impl Store {
    /// Empties a log that has grown long. Where that is held up, all connections are opened anew: a lock that the system
    /// did not take back would hold it up for ever.
    pub async fn empty_log(&self, wait: Duration) -> Result<(), StoreError> {
        let Some(bytes) = self.file().and_then(log_bytes).filter(|bytes| *bytes > LOG_BYTES_MAX) else { return Ok(()) };
        let (generation, is_empty) = self
            .run("empty the log", wait, |conn| async move {
                let statement = Statement::from_string(conn.backend(), "PRAGMA wal_checkpoint(PASSIVE)");
                let row = conn.write().query_one_raw(statement).await?;
                let row = row.ok_or_else(|| StoreError::setup("SQLite says nothing of its log"))?;
                let [is_busy, pages, written] = [0, 1, 2].map(|column| row.try_get_by_index::<i64>(column));
                Ok((conn.generation(), is_busy? == 0 && pages? == written?))
            })
            .await?;
        if is_empty {
            return Ok(());
        }
        self.reopen_connections(generation).await;
        let text = format!("the log of the database has {bytes} bytes, and something reads what is in it");
        Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, Cause::Setup(text)))
    }
}

/// The length of the log beside the database; none if there is no log.
fn log_bytes(path: &Path) -> Option<u64> {
    let log = beside(&fs::canonicalize(path).ok()?, "-wal");
    fs::metadata(log).ok().map(|log| log.len())
}
