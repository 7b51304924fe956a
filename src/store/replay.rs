//! Reopening stored events for an operator: processing them anew, or calling them off.
//!
//! Both change only rows that nobody holds, under the database's own comparison, and leave a row of `replays` that
//! says who it was. A reopened event is claimed in the same transaction: whatever becomes of the caller, it is work
//! like any other that was claimed.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::claim::{ClaimOrder, Claimed, claimed, claimed_columns};
use super::dialect::{now_plus_micros_sql, now_sql, placeholder};
use super::flush::counts;
use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// What an operator wants done with stored events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The events.
    pub ids: Vec<i64>,
    /// Only this user's events; `None` = everyone's.
    pub visible_to: Option<i64>,
    /// Whether processed events are processed anew as well.
    pub is_forced: bool,
    /// The user who wants it.
    pub by: i64,
}

/// An event with its user, as it stood before it was reopened.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its number.
    pub id: i64,
    /// Its state.
    pub status: Status,
    /// Its name.
    pub event_name: Option<String>,
    /// Its type.
    pub event_type: Option<String>,
    /// Its user.
    pub user_id: i64,
    /// The user's email; `None` if there is no such user.
    pub email: Option<String>,
    /// When it was processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// Why it was not.
    pub error: Option<String>,
    /// The stable code of that reason.
    pub error_code: Option<String>,
    /// The event that it repeats.
    pub duplicate_of: Option<i64>,
    is_held: bool,
}

/// What became of a [`Replay`].
#[derive(Debug, Default)]
pub struct Reopened {
    /// Every event that exists and is visible.
    pub seen: HashMap<i64, Seen>,
    /// Those that are claimed now.
    pub claimed: Vec<Claimed>,
}

impl Seen {
    /// Whether it is to be processed: it waits, it failed, or it is to be forced.
    fn is_wanted(&self, is_forced: bool) -> bool {
        match self.status {
            Status::Pending => !self.is_held,
            Status::Failed | Status::ValidationError | Status::Cancelled => true,
            Status::Processed => is_forced,
            Status::Duplicate => false,
        }
    }
}

impl Store {
    /// The reference's `fetch_event_with_user`, for many events at once: in one statement; what does not exist or is not
    /// visible is not in the answer.
    pub async fn fetch_event_with_user(
        &self,
        ids: Vec<i64>,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<HashMap<i64, Seen>, StoreError> {
        self.transaction("fetch events with their users", wait, move |tx| {
            Box::pin(async move { Ok(seen(tx, &ids, visible_to).await?) })
        })
        .await
    }

    /// Reopens and claims the events that `replay` means, in one transaction of as many statements however many they are.
    pub async fn reopen(&self, replay: Replay, order: ClaimOrder, wait: Duration) -> Result<Reopened, StoreError> {
        self.transaction("reopen events", wait, move |tx| {
            Box::pin(async move {
                let seen = seen(tx, &replay.ids, replay.visible_to).await?;
                let mut ids: Vec<i64> =
                    seen.values().filter(|event| event.is_wanted(replay.is_forced)).map(|event| event.id).collect();
                ids.sort_unstable();
                if ids.is_empty() {
                    return Ok(Reopened { seen, claimed: Vec::new() });
                }
                let token = Uuid::new_v4();
                let rows = tx.query_all_raw(reopen_statement(tx, &ids, &order, token)).await?;
                let claimed = rows.iter().map(|row| claimed(row, token)).collect::<Result<Vec<Claimed>, DbErr>>()?;
                let reopened: Vec<i64> = claimed
                    .iter()
                    .map(|claimed| claimed.event.id)
                    .filter(|id| seen.get(id).is_some_and(|event| event.status.is_final()))
                    .collect();
                note(tx, &reopened, "replayed", replay.by).await?;
                if !reopened.is_empty() {
                    let undone = |status| reopened.iter().filter(|id| seen[*id].status == status).count();
                    counts::correct(tx, &[], |status| -i64::try_from(undone(status)).unwrap_or(i64::MAX)).await?;
                }
                Ok(Reopened { seen, claimed })
            })
        })
        .await
    }

    /// Calls a pending event off, also from the node that holds it; `false` if it is not pending, or not visible.
    pub async fn cancel(&self, id: i64, visible_to: Option<i64>, by: i64, wait: Duration) -> Result<bool, StoreError> {
        self.transaction("cancel an event", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let now = now_sql(backend);
                let visible = visible_to.map_or(String::new(), |user_id| format!("AND user_id = {user_id}"));
                let sql = format!(
                    "UPDATE events SET status = 'cancelled', finished_at = {now}, next_attempt_at = NULL, \
                     lease_boot = NULL, lease_token = NULL, lease_until = NULL \
                     WHERE id = {} AND status = 'pending' {visible}",
                    placeholder(backend, 1)
                );
                let statement = Statement::from_sql_and_values(backend, sql, [Value::from(id)]);
                let is_cancelled = tx.execute_raw(statement).await?.rows_affected() == 1;
                if is_cancelled {
                    note(tx, &[id], "cancelled", by).await?;
                    counts::correct(tx, &[id], |status| i64::from(status == Status::Cancelled)).await?;
                }
                Ok(is_cancelled)
            })
        })
        .await
    }
}

async fn seen(tx: &DatabaseTransaction, ids: &[i64], visible_to: Option<i64>) -> Result<HashMap<i64, Seen>, DbErr> {
    let visible = visible_to.map_or(String::new(), |user_id| format!("AND e.user_id = {user_id}"));
    let sql = format!(
        "SELECT e.id, e.status, e.event_name, e.event_type, e.user_id, u.email, e.processed_at, e.processing_error, \
         e.error_code, e.duplicate_of, e.lease_boot FROM events e LEFT JOIN users u ON u.id = e.user_id \
         WHERE e.id IN ({}) {visible}",
        list(ids)
    );
    let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    let read = |row: &QueryResult| -> Result<(i64, Seen), DbErr> {
        let status: String = row.try_get_by_index(1)?;
        let seen = Seen {
            id: row.try_get_by_index(0)?,
            status: Status::parse(&status).ok_or_else(|| DbErr::Type(format!("unknown status {status:?}")))?,
            event_name: row.try_get_by_index(2)?,
            event_type: row.try_get_by_index(3)?,
            user_id: row.try_get_by_index(4)?,
            email: row.try_get_by_index(5)?,
            processed_at: row.try_get_by_index(6)?,
            error: row.try_get_by_index(7)?,
            error_code: row.try_get_by_index(8)?,
            duplicate_of: row.try_get_by_index(9)?,
            is_held: row.try_get_by_index::<Option<Uuid>>(10)?.is_some(),
        };
        Ok((seen.id, seen))
    };
    rows.iter().map(read).collect()
}

/// A row that waits keeps its attempts; one that had ended begins anew. The conditions hold against whoever was faster.
fn reopen_statement(tx: &DatabaseTransaction, ids: &[i64], order: &ClaimOrder, token: Uuid) -> Statement {
    let backend = tx.get_database_backend();
    let anew =
        |column: &str, value: &str| format!("{column} = CASE WHEN status = 'pending' THEN {column} ELSE {value} END");
    let sql = format!(
        "UPDATE events SET {}, {}, {}, status = 'pending', suspect = FALSE, properties = NULL, \
         processing_error = NULL, error_code = NULL, started_at = NULL, processed_at = NULL, finished_at = NULL, \
         node = NULL, next_attempt_at = {}, lease_boot = {}, lease_token = {}, lease_until = {} \
         WHERE id IN ({}) AND lease_boot IS NULL AND status <> 'duplicate' RETURNING {}",
        anew("generation", "generation + 1"),
        anew("attempts", "0"),
        anew("crashes", "0"),
        now_sql(backend),
        placeholder(backend, 1),
        placeholder(backend, 2),
        now_plus_micros_sql(backend, &placeholder(backend, 3)),
        list(ids),
        claimed_columns(backend),
    );
    let lease = i64::try_from(order.lease.as_micros()).unwrap_or(i64::MAX);
    Statement::from_sql_and_values(backend, sql, [Value::from(order.boot_id), token.into(), lease.into()])
}

/// Leaves a row per event that says who changed it.
async fn note(tx: &DatabaseTransaction, ids: &[i64], action: &str, by: i64) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let sql = format!(
        "INSERT INTO replays (event_id, generation, action, by_user, at) \
         SELECT id, generation, {}, {}, {} FROM events WHERE id IN ({})",
        placeholder(backend, 1),
        placeholder(backend, 2),
        now_sql(backend),
        list(ids)
    );
    let statement = Statement::from_sql_and_values(backend, sql, [Value::from(action.to_owned()), by.into()]);
    tx.execute_raw(statement).await.map(drop)
}

fn list(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
