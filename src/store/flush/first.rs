//! The first write of new events that were processed at once and have no key: the way of nearly all events, and the
//! shortest. Only what differs from row to row is passed; half of the columns follow from the others.
//!
//! PostgreSQL gets one statement, which is its own transaction. A row that is there already makes all of the write
//! fail, and the flush goes the long way, which tells a repetition from a collision.

use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr};

use super::super::open::{Conn, begin_write};
use super::super::{Kind, StoreError};
use super::counts::Counted;
use super::turnstile::Turnstile;
use super::{FlushHeader, Record, Written, commit_through, postgres, roll_back, sqlite};
use crate::domain::outcome::Status;

/// Whether `records` can go the short way.
pub(super) fn is_first_write(records: &[Record], header: &FlushHeader) -> bool {
    header.is_first_write && records.iter().all(is_plain)
}

/// Whether all of the row follows from the columns that are passed.
fn is_plain(record: &Record) -> bool {
    let Record { event, outcome, .. } = record;
    record.lease.is_none()
        && event.key.is_none()
        && outcome.status == Status::Processed
        && (outcome.attempts, outcome.crashes) == (1, 0)
        && record.started_at == event.received_at
        && outcome.processed_at == Some(record.finished_at)
}

/// Inserts all of `records`, or none: `None` says that not all of them are new.
pub(super) async fn write(
    conn: &Conn,
    records: &[Record],
    header: &FlushHeader,
    turnstile: &Turnstile,
) -> Result<Option<Vec<Written>>, StoreError> {
    let began = Instant::now();
    let written = vec![Written::Stored; records.len()];
    let counted = Counted::of(records, &written);
    if conn.backend() == DatabaseBackend::Postgres {
        let statement = postgres::insert_first(records, header, counted.values(header, began));
        turnstile.pass(conn)?;
        return match conn.write().execute_raw(statement).await.map_err(StoreError::from) {
            Ok(_) => Ok(Some(written)),
            Err(error) if error.kind == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        };
    }
    let tx = begin_write(conn).await?;
    match insert(&tx, records, &counted, header, began).await {
        Ok(true) => commit_through(turnstile, conn, tx).await.map(|()| Some(written)),
        Ok(false) => {
            roll_back(tx).await;
            Ok(None)
        }
        Err(error) => {
            roll_back(tx).await;
            Err(StoreError::from(error).before_commit())
        }
    }
}

/// Whether all of `records` were new.
async fn insert(
    tx: &DatabaseTransaction,
    records: &[Record],
    counted: &Counted<'_>,
    header: &FlushHeader,
    began: Instant,
) -> Result<bool, DbErr> {
    let mut inserted = 0;
    for statement in sqlite::insert_first(records, header, &counted.values(header, began)) {
        inserted += tx.execute_raw(statement).await?.rows_affected();
    }
    // The row of the flush is counted as well.
    Ok(inserted == records.len() as u64 + 1)
}
