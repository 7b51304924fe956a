//! The write of outcomes: one transaction for many units, the only way an event's row comes to be or changes.
//!
//! Guarantees: a unit is written whole or not at all; a flush whose answer was lost may be repeated (identity is
//! `(id, task_id)`, a claimed row is changed only under its lease); keys are taken in the transaction of their event;
//! the `flushes` row counts exactly what this transaction changed.

mod claimed;
pub(super) mod counts;
mod differences;
mod first;
mod inserts;
mod keys;
mod locks;
mod postgres;
mod repeats;
mod sqlite;
mod turnstile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement, TransactionTrait};
use uuid::Uuid;

use self::counts::Counted;
use self::turnstile::Turnstile;
use super::dialect::list;
use super::link::commit;
use super::open::{Conn, begin_write};
use super::{Store, StoreError, hints};
use crate::domain::event::Event;
use crate::domain::outcome::{Outcome, Status};

/// One event and the outcome that its row is to take.
#[derive(Clone, Debug)]
pub struct Record {
    /// The event.
    pub event: Event,
    /// What became of it.
    pub outcome: Outcome,
    /// The failed attempt that goes into `attempts`, if the attempt failed in a way that may pass.
    pub failed_attempt: Option<FailedAttempt>,
    /// The token of the lease under which a stored row was claimed; `None` for an event without a row.
    pub lease: Option<Uuid>,
    /// Whether the event's id was promised to a client before its first write.
    pub is_acknowledged: bool,
    /// When work on this attempt began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

impl Record {
    /// When the event came to rest, if this outcome is final.
    fn final_at(&self) -> Option<DateTime<Utc>> {
        self.outcome.status.is_final().then_some(self.finished_at)
    }

    /// Whether the event is part of a trace.
    fn is_traced(&self) -> bool {
        self.event.submission.trace.is_some()
    }

    /// The trace that the event is part of, as it is stored.
    fn trace(&self) -> Option<String> {
        self.event.submission.trace.as_ref().map(|trace| trace.text())
    }
}

/// What `attempts` keeps of an attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The stage that failed.
    pub stage: &'static str,
    /// The stable code of the cause.
    pub error_code: &'static str,
    /// What happened, for people.
    pub error: String,
}

/// Who writes, and what it has to say about the flush.
#[derive(Clone, Debug)]
pub struct FlushHeader {
    /// The writing process.
    pub boot_id: Uuid,
    /// The writing node's name.
    pub node: String,
    /// Number of the flush within the boot.
    pub seq: i64,
    /// How long the oldest unit waited for the flush.
    pub gathered: Duration,
    /// Whether no earlier write of these records can have been committed.
    pub is_first_write: bool,
    /// How long a key is held; older ones are free again, by the clock of keys.
    pub keys_live_for: Duration,
}

/// What a flush did with one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The row has the outcome now.
    Stored,
    /// The row had the outcome already: the answer to an earlier write was lost.
    Repeated,
    /// The row has this outcome instead: another event holds the key of this one, whose id was promised already.
    StoredAs(Box<Outcome>),
    /// Another event holds the key with the same content; nothing was written.
    Duplicate(First),
    /// Another event holds the key with other content; nothing was written.
    Conflict {
        /// The event that holds the key.
        of: i64,
    },
    /// The lease is no longer held; nothing was written.
    Fenced,
}

impl Written {
    /// Whether this flush wrote a row.
    fn is_stored(&self) -> bool {
        matches!(self, Self::Stored | Self::StoredAs(_))
    }
}

/// The event that holds a key.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    /// Its number.
    pub id: i64,
    /// Its task.
    pub task_id: Uuid,
    /// Its state when the duplicate came.
    pub status: Status,
    /// When it was processed, if it was.
    pub processed_at: Option<DateTime<Utc>>,
    /// Attributes in which the duplicate differs from it.
    pub differs: Vec<&'static str>,
    /// How often it was repeated by now, if it is a refused one.
    pub repeats: i64,
}

/// What tells an event from every other: its number and its task.
type EventKey = (i64, Uuid);

/// Why a flush wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The database said no, or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ids of these events, each with its task, belong to other events already: they need new ones.
    #[error("{} event ids are taken by other events", .0.len())]
    Collision(Vec<(i64, Uuid)>),
}

/// What can end the transaction from inside.
enum Stop {
    Store(StoreError),
    Collision(Vec<EventKey>),
}

impl Stop {
    fn into_result<T>(self) -> Result<Result<T, Vec<EventKey>>, StoreError> {
        match self {
            Self::Store(error) => Err(error.of_foreign_constraint().before_commit()),
            Self::Collision(events) => Ok(Err(events)),
        }
    }
}

impl From<DbErr> for Stop {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// The reference's `persist_event_to_db`, for many events at once.
    ///
    /// Writes `records` in one transaction and says, in their order, what became of each.
    ///
    /// The caller waits at most `wait`, and on SQLite for a lock besides. A flush that has not come to its COMMIT by then
    /// never will, and is certainly not stored; one whose COMMIT was sent may be, and may be repeated.
    pub async fn persist_event_to_db(
        &self,
        records: Arc<Vec<Record>>,
        header: FlushHeader,
        wait: Duration,
    ) -> Result<Vec<Written>, FlushError> {
        let turnstile = Turnstile::default();
        let inside = turnstile.clone();
        // SQLite measures its wait by the naps that it takes, which a busy machine makes longer; what is only refused its
        // lock must not look like a lost answer.
        let wait = if self.backend() == DatabaseBackend::Sqlite { wait + self.options().lock_timeout } else { wait };
        let flushed = self.run("flush", wait, move |conn| async move {
            if first::is_first_write(&records, &header)
                && let Some(written) = first::write(&conn, &records, &header, &inside).await?
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
        let flushed = flushed.await.map_err(|error| turnstile.close(error));
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
}

impl Store {
    /// Whether the database would take `record`, its COMMIT included: it is written, taken back to a savepoint, and what is
    /// left, which is nothing, is committed. SQLite writes and syncs as many pages for that as for an event that stays.
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
}

/// As [`write_all`], with what would be checked at the COMMIT only.
async fn write_and_check(tx: &DatabaseTransaction, records: &[Record], header: &FlushHeader) -> Result<(), Stop> {
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
async fn commit_through(turnstile: &Turnstile, conn: &Conn, tx: DatabaseTransaction) -> Result<(), StoreError> {
    if let Err(error) = turnstile.pass(conn) {
        roll_back(tx).await;
        return Err(error);
    }
    commit(tx).await.map_err(StoreError::of_foreign_constraint)
}

/// Keys, then new rows, then claimed rows, then the attempts that failed, then the flush's own row.
async fn write_all(tx: &DatabaseTransaction, records: &[Record], header: &FlushHeader) -> Result<Vec<Written>, Stop> {
    let began = Instant::now();
    let mut written = vec![Written::Stored; records.len()];
    let keys = keys::take(tx, records, header, &mut written).await?;
    differences::note(tx, records, &mut written).await?;
    let records = &*keys::bow_to_holders(records, &mut written);
    inserts::insert(tx, records, header, &mut written).await?;
    repeats::count(tx, records, &mut written).await?;
    claimed::update(tx, records, header, &mut written).await?;
    keys::give_back(tx, records, &written, &keys).await?;
    let stored: Vec<&Record> = of_kind(records, &written, Written::is_stored);
    insert_attempts(tx, &stored, header).await?;
    counts::insert(tx, &Counted::of(records, &written), header, began).await?;
    if stored.iter().any(|record| record.outcome.retry_in == Some(Duration::ZERO)) {
        hints::work_is_due(tx).await?;
    }
    Ok(written)
}

fn of_kind<'a>(records: &'a [Record], written: &[Written], wanted: impl Fn(&Written) -> bool) -> Vec<&'a Record> {
    records.iter().zip(written).filter(|(_, written)| wanted(written)).map(|(record, _)| record).collect()
}

/// `id, task_id, status, lease_token, lease_boot is null, attempts` of the rows with these ids.
fn existing(backend: DatabaseBackend, ids: impl Iterator<Item = i64>) -> Statement {
    let ids: Vec<i64> = ids.collect();
    let sql = format!(
        "SELECT id, task_id, status, lease_token, lease_boot, attempts FROM events WHERE id IN ({})",
        list(&ids)
    );
    Statement::from_string(backend, sql)
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
