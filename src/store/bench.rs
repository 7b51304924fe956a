//! What a measurement needs of databases: a new one on a PostgreSQL server, and the bare INSERT of rows that a run has
//! written, as the limit that the machine sets.

mod postgres;
mod sqlite;

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::DbBackend;

pub use self::postgres::ScratchServer;
use super::error::StoreError;
use super::options::StoreOptions;

/// How long rows are inserted.
const LASTS: Duration = Duration::from_secs(2);

/// Most rows of a statement on SQLite, which takes a limited number of parameters.
const ROWS_MAX: usize = 256;

/// How fast rows went in.
#[derive(Debug, Clone, Copy)]
pub struct BareInsert {
    /// Rows that were inserted.
    pub rows: u64,
    /// Rows of each transaction.
    pub per_transaction: usize,
    /// How long it took.
    pub took: Duration,
}

/// Which rows to insert, and how.
#[derive(Debug, Clone, Copy)]
pub struct BareInsertPlan<'a> {
    /// Most rows that are read from the database of `options`; they are inserted again under other ids.
    pub sample: usize,
    /// Rows of each transaction.
    pub per_transaction: usize,
    /// The file that is made for SQLite.
    pub scratch: &'a Path,
}

impl BareInsertPlan<'_> {
    /// Inserts rows of the events of a database into a table with the same columns, constraints and indexes: on SQLite
    /// in another file, on PostgreSQL in another schema. One connection, one transaction after the other, every commit
    /// synced as the service does it.
    pub async fn run(self, options: &StoreOptions) -> Result<BareInsert, StoreError> {
        let inserted = match options.backend()? {
            DbBackend::Postgres => postgres::insert(self, options).await,
            _ => sqlite::insert(self, options).await,
        };
        inserted.map_err(|error| error.in_context("measure the bare insert"))
    }

    /// Inserts again and again, as long as it lasts; each pass gets ids behind those of the pass before.
    async fn repeat(
        self,
        rows: usize,
        mut insert: impl AsyncFnMut(std::ops::Range<usize>, i64) -> Result<(), StoreError>,
    ) -> Result<BareInsert, StoreError> {
        // A pass has whole transactions only.
        let per_transaction = self.per_transaction.clamp(1, rows.max(1));
        let mut inserted = 0;
        let began = Instant::now();
        'passes: for pass in 0.. {
            for first in (0..=rows.saturating_sub(per_transaction)).step_by(per_transaction) {
                if rows == 0 || began.elapsed() >= LASTS {
                    break 'passes;
                }
                insert(first..first + per_transaction, pass).await?;
                inserted += per_transaction as u64;
            }
        }
        Ok(BareInsert { rows: inserted, per_transaction, took: began.elapsed() })
    }
}
