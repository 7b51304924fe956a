//! What removed rows leave in a SQLite file: free pages, which go back to the file system in pieces.
//!
//! Only a file that was made with `auto_vacuum = INCREMENTAL` can shrink so; an older one keeps its free pages and fills
//! them again.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::store::open::Conn;
use crate::store::{Store, StoreError};

/// `PRAGMA auto_vacuum` of a file that shrinks in pieces.
const INCREMENTAL: i64 = 2;

/// Free pages that stay for the next events: 4 MiB.
const PAGES_KEPT: i64 = 1_024;

/// Pages that one piece gives back.
const PAGES_MAX: i64 = 128;

impl Store {
    /// Gives some free pages of a SQLite file back; whether there are more.
    pub async fn give_pages_back(&self, wait: Duration) -> Result<bool, StoreError> {
        if self.backend() != DbBackend::Sqlite {
            return Ok(false);
        }
        self.run("give free pages back", wait, |conn| async move {
            let free = figure(&conn, "freelist_count").await? - PAGES_KEPT;
            if free <= 0 || figure(&conn, "auto_vacuum").await? != INCREMENTAL {
                return Ok(false);
            }
            let pages = free.min(PAGES_MAX);
            conn.write().execute_unprepared(&format!("PRAGMA incremental_vacuum({pages})")).await?;
            Ok(free > pages)
        })
        .await
    }
}

async fn figure(conn: &Conn, pragma: &str) -> Result<i64, StoreError> {
    let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
    let row = conn.read().query_one_raw(statement).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}
