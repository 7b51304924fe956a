//! The write of outcomes: one transaction for many units, the only way an event's row is created or changed.
//!
//! Guarantees: a unit is written whole or not at all; a flush whose answer was lost may be repeated (identity is
//! `(id, task_id)`, a claimed row is changed only under its lease); keys are taken in the transaction of their event;
//! the `flushes` row counts exactly what this transaction changed.

mod claimed;
mod commit_gate;
mod copy;
pub(super) mod counts;
mod differences;
mod fast_insert;
mod inserts;
mod keys;
mod postgres;
mod record;
mod repeats;
mod sqlite;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, TransactionTrait};

use self::commit_gate::CommitGate;
use self::counts::Counted;
pub use self::record::{FailedAttempt, FlushHeader, KeptEvent, Record, Written};
pub use self::stop::FlushError;
use self::stop::TxAbort;
use super::db_pool::commit;
use super::open::{Conn, begin_write};
use super::{Store, StoreError, StoreErrorKind, notifications};

/// Takes the locks that a flush takes on its tables, without waiting.
const TAKE_LOCKS: &str = "LOCK TABLE dedupe_keys, events, attempts, flushes IN ROW EXCLUSIVE MODE NOWAIT";

impl Store {
    /// The reference's `persist_event_to_db`, for many events at once.
    ///
    /// Writes `records` in one transaction and returns, in their order, what became of each.
    ///
    /// The caller waits at most `wait`, and on SQLite for a lock besides. A flush that has not come to its COMMIT by then
    /// never will, and is certainly not stored; one whose COMMIT was sent may be, and may be repeated.
    pub async fn persist_event_to_db(
        &self,
        records: Arc<Vec<Record>>,
        header: FlushHeader,
        wait: Duration,
    ) -> Result<Vec<Written>, FlushError> {
        let gate = CommitGate::default();
        let inside = gate.clone();
        // SQLite measures its wait by its naps, which a busy machine makes longer; what is only refused its
        // lock must not look like a lost answer.
        let wait = if self.backend() == DatabaseBackend::Sqlite { wait + self.options().lock_timeout } else { wait };
        let flushed = self.run("flush", wait, move |conn| async move {
            if fast_insert::is_first_write(&records, &header)
                && let Some(written) = fast_insert::write(&conn, &records, &header, &inside).await?
            {
                return Ok(Ok(written));
            }
            let tx = begin_write(&conn).await?;
            match write_all(&tx, &records, &header).await {
                Ok(written) => commit_through(&inside, &conn, tx).await.map(|()| Ok(written)),
                Err(stop) => {
                    roll_back(tx).await;
                    stop.into_result()
                }
            }
        });
        let flushed = flushed.await.map_err(|error| gate.close(error));
        flushed?.map_err(FlushError::Collision)
    }

    /// Tries `records` in a transaction that is always rolled back: whether the database would refuse them.
    pub async fn rehearse(
        &self,
        records: Arc<Vec<Record>>,
        header: FlushHeader,
        wait: Duration,
    ) -> Result<(), StoreError> {
        self.run("rehearsal of a flush", wait, move |conn| async move {
            let tx = begin_write(&conn).await?;
            let result = write_and_check(&tx, &records, &header).await;
            roll_back(tx).await;
            result.or_else(|stop| stop.into_result::<()>().map(drop))
        })
        .await
    }

    /// Whether the database would take `record`, its COMMIT included: it is written, rolled back to a savepoint, and
    /// what is left, which is nothing, is committed. SQLite writes and syncs as many pages for that as for an event
    /// that stays.
    pub async fn probe(&self, record: Record, header: FlushHeader, wait: Duration) -> Result<(), StoreError> {
        self.run("probe of a flush", wait, move |conn| async move {
            let tx = begin_write(&conn).await?;
            let inner = tx.begin().await.map_err(|error| StoreError::from(error).before_commit())?;
            let result = write_and_check(&inner, &[record], &header).await;
            roll_back(inner).await;
            match result {
                Ok(()) => commit(tx).await,
                Err(stop) => {
                    roll_back(tx).await;
                    stop.into_result::<()>().map(drop)
                }
            }
        })
        .await
    }

    /// Whether there is a lock, or a wait for one, that no flush gets past: that of a whole table, and on SQLite any.
    /// Else it is a key or a row that is held, and concerns only records that need that one.
    pub async fn is_flush_locked(&self, wait: Duration) -> Result<bool, StoreError> {
        if self.backend() != DatabaseBackend::Postgres {
            return Ok(true);
        }
        self.run("look for a lock", wait, |conn| async move {
            let tx = begin_write(&conn).await?;
            let taken = tx.execute_unprepared(TAKE_LOCKS).await.map_err(StoreError::from);
            roll_back(tx).await;
            match taken {
                Err(error) if error.kind == StoreErrorKind::Locked => Ok(true),
                taken => taken.map(|_| false),
            }
        })
        .await
    }
}

/// As [`write_all`], with what would be checked at the COMMIT only.
async fn write_and_check(tx: &DatabaseTransaction, records: &[Record], header: &FlushHeader) -> Result<(), TxAbort> {
    write_all(tx, records, header).await?;
    if tx.get_database_backend() == DatabaseBackend::Postgres {
        tx.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await?;
    }
    Ok(())
}

/// A rollback that fails leaves a connection that the pool's own hook clears or closes.
async fn roll_back(tx: DatabaseTransaction) {
    let _ = tx.rollback().await;
}

/// Commits, unless the caller has given the flush up.
async fn commit_through(gate: &CommitGate, conn: &Conn, tx: DatabaseTransaction) -> Result<(), StoreError> {
    if let Err(error) = gate.pass(conn) {
        roll_back(tx).await;
        return Err(error);
    }
    commit(tx).await.map_err(StoreError::of_foreign_constraint)
}

/// Keys, then new rows, then claimed rows, then the attempts that failed, then the flush's own row.
async fn write_all(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
) -> Result<Vec<Written>, TxAbort> {
    let began = Instant::now();
    let mut written = vec![Written::Stored; records.len()];
    let keys = keys::take(tx, records, header, &mut written).await?;
    differences::note(tx, records, &mut written).await?;
    let records = &*keys::apply_key_conflicts(records, &mut written);
    inserts::insert(tx, records, header, &mut written).await?;
    repeats::count(tx, records, &mut written).await?;
    claimed::update(tx, records, header, &mut written).await?;
    keys::give_back(tx, records, &written, &keys).await?;
    let stored: Vec<&Record> = of_kind(records, &written, Written::is_stored);
    insert_attempts(tx, &stored, header).await?;
    counts::insert(tx, &Counted::of(records, &written), header, began).await?;
    if stored.iter().any(|record| record.outcome.retry_in == Some(Duration::ZERO)) {
        notifications::work_is_due(tx).await?;
    }
    Ok(written)
}

fn of_kind<'a>(records: &'a [Record], written: &[Written], wanted: impl Fn(&Written) -> bool) -> Vec<&'a Record> {
    records.iter().zip(written).filter(|(_, written)| wanted(written)).map(|(record, _)| record).collect()
}

async fn insert_attempts(tx: &DatabaseTransaction, stored: &[&Record], header: &FlushHeader) -> Result<(), DbErr> {
    use entity::attempt::{ActiveModel, Entity};
    use sea_orm::{ActiveValue::Set, EntityTrait, TryInsertResult};

    let rows: Vec<ActiveModel> = stored
        .iter()
        .filter_map(|record| Some((record, record.failed_attempt.as_ref()?)))
        .map(|(record, failed)| ActiveModel {
            event_id: Set(record.event.id),
            generation: Set(record.event.generation.cast_signed()),
            attempt: Set(record.outcome.attempts.cast_signed()),
            started_at: Set(Some(record.started_at)),
            ended_at: Set(record.finished_at),
            node: Set(header.node.clone()),
            stage: Set(failed.stage.to_owned()),
            error_code: Set(failed.error_code.to_owned()),
            error: Set(crate::domain::outcome::cut(&failed.error)),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    match Entity::insert_many(rows).on_conflict_do_nothing().exec_without_returning(tx).await? {
        TryInsertResult::Empty | TryInsertResult::Conflicted | TryInsertResult::Inserted(_) => Ok(()),
    }
}
