//! A partition of `events` on PostgreSQL that holds nothing but what goes: it is emptied at once, instead of row by row.
//!
//! It is looked through in pieces first. Then it is emptied with TRUNCATE, under a lock of its own that nobody waits for
//! long. It stays, empty, because ids of it may still be in a spool: their events find their place.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::run::{Removed, added};
use super::terms::EventTerms;
use super::walk::Walk;
use crate::domain::outcome::Status;
use crate::store::dialect::{micros_ago, placeholder};
use crate::store::ids::{partition_bounds, partition_of};
use crate::store::open::Conn;
use crate::store::{StoreError, key_clock};

/// Ids that are looked through at once.
const SPAN: i64 = 50_000;

/// Part of an age that a partition's ids may take to be spent, so that its events wait for the youngest of them.
const WAITS_FOR: i32 = 10;

/// Who waits for the lock makes others wait behind it.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '100ms'";

/// What hangs on events, with its time.
const HANGING: [(&str, &str); 2] = [("attempts", "ended_at"), ("replays", "at")];

/// What is known of a partition.
#[derive(Debug)]
pub(super) enum PartitionLook {
    /// Its last events are too young, and will not be soon.
    Grows,
    /// Up to this id there is only what goes, and so much of it.
    Clean { number: i64, to: i64, found: Removed },
    /// Something in it stays.
    Mixed { number: i64 },
    /// There is only what goes. So many rows that hang on its events may be removed at once.
    Whole { number: i64, rows: usize },
}

/// Looks at the partition of `first`, the next id of the walk; `None` if its events go one by one.
pub(super) async fn look(
    conn: &Conn,
    walk: &Walk,
    terms: &EventTerms,
    first: i64,
    rows: usize,
) -> Result<Option<PartitionLook>, StoreError> {
    let number = partition_of(first);
    let (start, end) = partition_bounds(number);
    // Most events are processed: where these stay, there is always one.
    if !terms.rule.statuses.contains(&Status::Processed) || walk.cursor >= start || walk.checked >= end {
        return Ok(None);
    }
    if end > walk.bound {
        return Ok(is_quick(conn, start, end, terms.age()).await?.then_some(PartitionLook::Grows));
    }
    if walk.checked == end - 1 {
        return Ok(Some(PartitionLook::Whole { number, rows }));
    }
    let from = first.max(walk.checked + 1);
    let to = from.saturating_add(SPAN).min(end);
    let (found, staying) = count(conn, terms, from, to).await?;
    Ok(Some(if staying > 0 {
        PartitionLook::Mixed { number }
    } else {
        PartitionLook::Clean { number, to: to - 1, found }
    }))
}

/// Whether all its ids were spent in a small part of `age`.
async fn is_quick(conn: &Conn, start: i64, end: i64, age: Duration) -> Result<bool, StoreError> {
    let reserved_at = async |id: i64| {
        let sql = "SELECT reserved_at FROM id_blocks WHERE last_id >= $1 ORDER BY last_id LIMIT 1";
        let row = conn.search_one(Statement::from_sql_and_values(DbBackend::Postgres, sql, [id.into()])).await?;
        Ok::<_, StoreError>(row.map(|row| row.try_get_by_index::<DateTime<Utc>>(0)).transpose()?)
    };
    let Some((began, ended)) = reserved_at(start).await?.zip(reserved_at(end).await?) else { return Ok(false) };
    let age = chrono::TimeDelta::from_std(age).unwrap_or(chrono::TimeDelta::MAX);
    Ok(ended - began <= age / WAITS_FOR)
}

/// What is there, by status, and how much of it stays.
async fn count(conn: &Conn, terms: &EventTerms, from: i64, to: i64) -> Result<(Removed, i64), StoreError> {
    let backend = conn.backend();
    let (condition, mut values) = terms.condition(backend, 3);
    values.splice(0..0, [from.into(), to.into()]);
    let sql = format!(
        "SELECT status, COUNT(*), COUNT(*) FILTER (WHERE NOT ({condition})) FROM events \
         WHERE id >= {} AND id < {} GROUP BY status",
        placeholder(backend, 1),
        placeholder(backend, 2)
    );
    let mut found = Removed::new();
    let mut staying = 0;
    for row in conn.search(Statement::from_sql_and_values(backend, sql, values)).await? {
        let count: i64 = row.try_get_by_index(1)?;
        found.insert(row.try_get_by_index(0)?, count.unsigned_abs());
        staying += row.try_get_by_index::<i64>(2)?;
    }
    Ok((found, staying))
}

/// Does the next step, and moves the walk; returns what was removed.
pub(super) async fn apply(
    tx: &DatabaseTransaction,
    walk: &mut Walk,
    look: PartitionLook,
    age: Duration,
) -> Result<Removed, StoreError> {
    match look {
        PartitionLook::Grows => {}
        PartitionLook::Mixed { number } => leave(walk, number),
        PartitionLook::Clean { number, to, found } => {
            // What was found in another partition is no concern of this one.
            let before = if walk.checked < partition_bounds(number).0 { Removed::new() } else { walk.found.clone() };
            walk.found = added(before, &found);
            walk.checked = to;
        }
        PartitionLook::Whole { number, rows } => {
            if remove_hanging(tx, number, rows, age).await? > 0 {
                return Ok(Removed::new());
            }
            if !is_as_found(tx, number, &walk.found).await? {
                leave(walk, number);
                return Ok(Removed::new());
            }
            tx.execute_unprepared(&format!("TRUNCATE events_p{number}")).await?;
            walk.cursor = partition_bounds(number).1 - 1;
            return Ok(std::mem::take(&mut walk.found));
        }
    }
    Ok(Removed::new())
}

/// Its events go one by one.
fn leave(walk: &mut Walk, number: i64) {
    walk.checked = partition_bounds(number).1;
    walk.found = Removed::new();
}

/// Removes some of what hangs on its events and is as old as they are.
async fn remove_hanging(tx: &DatabaseTransaction, number: i64, rows: usize, age: Duration) -> Result<u64, DbErr> {
    let (start, end) = partition_bounds(number);
    let mut removed = 0;
    for (table, time) in HANGING {
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE event_id >= {start} \
             AND event_id < {end} AND {time} <= {} LIMIT {rows}))",
            key_clock::expiry_sql(DbBackend::Postgres, "$1")
        );
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [micros_ago(age)]);
        removed += tx.execute_raw(statement).await?.rows_affected();
    }
    Ok(removed)
}

/// Locks it against writers, and compares it with what was found: an event may have come out of a spool, or have been
/// reopened, which leaves a younger row of `replays`.
async fn is_as_found(tx: &DatabaseTransaction, number: i64, found: &Removed) -> Result<bool, StoreError> {
    let (start, end) = partition_bounds(number);
    tx.execute_unprepared(&format!("{LOCK_WAIT}; LOCK TABLE events_p{number} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let hanging = HANGING
        .map(|(table, _)| format!("EXISTS (SELECT 1 FROM {table} WHERE event_id >= {start} AND event_id < {end})"));
    let sql = format!("SELECT (SELECT COUNT(*) FROM events_p{number}), {}", hanging.join(" OR "));
    let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let row = row.ok_or_else(|| StoreError::setup("the database returned no count"))?;
    let (count, hangs): (i64, bool) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    Ok(count.unsigned_abs() == found.values().sum::<u64>() && !hangs)
}
