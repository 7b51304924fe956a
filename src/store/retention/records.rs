//! Old rows beside events: attempts, the audit log, jobs.

use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

use super::run::{PruneStep, Removed, hold, note};
use super::walk::{Walk, ids_of};
use crate::store::dialect::{micros_ago, placeholder};
use crate::store::open::Conn;
use crate::store::{Store, StoreError, key_clock};

/// Ids of events whose attempts are looked at for one piece.
const SPAN: i64 = 20_000;

/// What is removed, and at which age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRecords {
    /// Failed attempts of events that stay.
    Attempts(Duration),
    /// Rows of the audit log.
    Audit(Duration),
    /// Jobs that ended.
    Jobs(Duration),
}

impl OldRecords {
    fn table(self) -> &'static str {
        match self {
            Self::Attempts(_) => "attempts",
            Self::Audit(_) => "audit",
            Self::Jobs(_) => "jobs",
        }
    }
}

impl Store {
    /// Removes the next records that are old, at most about `rows`; `None` if another node is at it by now.
    pub async fn prune_records(
        &self,
        boot_id: Uuid,
        records: OldRecords,
        rows: usize,
        wait: Duration,
    ) -> Result<Option<PruneStep>, StoreError> {
        let walk = match records {
            OldRecords::Attempts(age) => {
                let look = move |conn: Conn| async move { look_for_attempts(&conn, age, rows).await };
                Some(self.run("look for old attempts", wait, look).await?)
            }
            _ => None,
        };
        self.transaction("removal of old records", wait, move |tx| {
            Box::pin(async move {
                let Some(run) = hold(tx, boot_id).await? else { return Ok(None) };
                let (count, goes_on) = match (records, walk) {
                    (OldRecords::Attempts(age), Some((mut walk, span))) => {
                        let count = match span {
                            Some((first, last)) => {
                                walk.cursor = last;
                                remove_attempts(tx, first, last, age).await?
                            }
                            None => 0,
                        };
                        walk.write(tx, span.is_some()).await?;
                        (count, span.is_some())
                    }
                    (OldRecords::Audit(age), _) => remove_oldest(tx, "audit", "at", "TRUE", age, rows).await?,
                    (OldRecords::Jobs(age), _) => {
                        remove_oldest(tx, "jobs", "finished_at", "status <> 'running'", age, rows).await?
                    }
                    (OldRecords::Attempts(_), None) => (0, false),
                };
                let removed: Removed = (count > 0).then(|| (records.table().to_owned(), count)).into_iter().collect();
                note(tx, &run, &removed).await?;
                Ok(Some(PruneStep { removed, goes_on }))
            })
        })
        .await
    }
}

/// The first and the last event whose attempts are next.
async fn look_for_attempts(conn: &Conn, age: Duration, rows: usize) -> Result<(Walk, Option<(i64, i64)>), StoreError> {
    let walk = Walk::read(conn, "attempts", &format!("{}s", age.as_secs()), age).await?;
    let Some(first) = walk.next_id(conn, "attempts", "event_id").await? else { return Ok((walk, None)) };
    let end = first.saturating_add(SPAN).min(walk.bound);
    let backend = conn.backend();
    let sql = format!(
        "SELECT event_id FROM attempts WHERE event_id >= {} AND event_id < {} ORDER BY event_id LIMIT {rows}",
        placeholder(backend, 1),
        placeholder(backend, 2)
    );
    let ids = ids_of(conn, Statement::from_sql_and_values(backend, sql, [first.into(), end.into()])).await?;
    let last = ids.last().copied().filter(|_| ids.len() == rows).unwrap_or(end - 1);
    Ok((walk, Some((first, last))))
}

async fn remove_attempts(tx: &DatabaseTransaction, first: i64, last: i64, age: Duration) -> Result<u64, DbErr> {
    let backend = tx.get_database_backend();
    let [from, to, since] = [1, 2, 3].map(|n| placeholder(backend, n));
    let sql = format!(
        "DELETE FROM attempts WHERE event_id >= {from} AND event_id <= {to} AND ended_at <= {}",
        key_clock::expiry_sql(backend, &since)
    );
    let values = [first.into(), last.into(), micros_ago(age)];
    Ok(tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected())
}

/// Removes those of the oldest rows that are older than `age` and match; returns how many, and whether there may be more.
async fn remove_oldest(
    tx: &DatabaseTransaction,
    table: &str,
    time: &str,
    condition: &str,
    age: Duration,
    rows: usize,
) -> Result<(u64, bool), DbErr> {
    let backend = tx.get_database_backend();
    let sql = format!(
        "DELETE FROM {table} WHERE id IN (SELECT id FROM (SELECT * FROM {table} ORDER BY id LIMIT {most}) AS oldest \
         WHERE {condition} AND {time} <= {since} LIMIT {rows})",
        most = rows.saturating_mul(2),
        since = key_clock::expiry_sql(backend, &placeholder(backend, 1)),
    );
    let statement = Statement::from_sql_and_values(backend, sql, [micros_ago(age)]);
    let removed = tx.execute_raw(statement).await?.rows_affected();
    Ok((removed, removed >= rows as u64))
}
