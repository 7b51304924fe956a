//! Changes of stored rows for an operator: seen under a lock, noted with their author, and counted back.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::super::claim::ClaimOrder;
use super::super::dialect::{list, micros_ago, now_plus_micros_sql, now_sql, one_more, payload_sql, placeholder};
use super::super::error::UnreadableEvent;
use super::super::filters::Filters;
use super::super::flush::counts::{self, Counts};
use super::super::plans::hidden;
use super::super::reading::{self, Cells, ReadBudget, ReadEvent, Readable};
use super::super::{Cause, StoreError, key_clock};
use super::{Refusal, ReplayRules};
use crate::domain::dedupe::Namespace;
use crate::domain::json::JsonText;
use crate::domain::normalize::original_of;
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;
use crate::domain::payload::validate_payload_shape;

/// An event with its user, as it stood before it was reopened.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSnapshot {
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
    pub(in crate::store) is_held: bool,
    /// Another event that holds its key.
    pub(in crate::store) key_holder: Option<i64>,
}

/// The author and context of a change.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct ChangeContext<'a> {
    pub by: i64,
    pub job: Option<i64>,
    pub patch: Option<&'a Patch>,
}

/// The events of these ids that exist and are visible. They are not locked.
pub(super) async fn seen(
    tx: &DatabaseTransaction,
    ids: &[i64],
    visible_to: Option<i64>,
) -> Result<HashMap<i64, EventSnapshot>, DbErr> {
    let sql = seen_sql(ids, visible_to, "NULL", "", "");
    read_seen(tx, Statement::from_string(tx.get_database_backend(), sql)).await
}

/// The same, with the holders of their keys, locked until the end of the transaction.
pub(in crate::store) async fn lock(
    tx: &DatabaseTransaction,
    ids: &[i64],
    visible_to: Option<i64>,
    keys_live_for: Duration,
) -> Result<HashMap<i64, EventSnapshot>, DbErr> {
    let backend = tx.get_database_backend();
    let keys = format!(
        "LEFT JOIN dedupe_keys k ON k.user_id = e.user_id AND k.namespace = {} AND k.key = e.event_uid \
         AND k.event_id <> e.id AND k.created_at >= {}",
        Namespace::EventUid.code(),
        key_clock::expiry_sql(backend, &placeholder(backend, 1)),
    );
    // In one order for all transactions that lock many.
    let lock = if backend == DbBackend::Postgres { "ORDER BY e.id FOR UPDATE OF e" } else { "" };
    let sql = seen_sql(ids, visible_to, "k.event_id", &keys, lock);
    read_seen(tx, Statement::from_sql_and_values(backend, sql, [micros_ago(keys_live_for)])).await
}

fn seen_sql(ids: &[i64], visible_to: Option<i64>, holder: &str, join: &str, end: &str) -> String {
    let visible =
        visible_to.map_or(String::new(), |user_id| format!("AND {}", hidden(&format!("e.user_id = {user_id}"))));
    format!(
        "SELECT e.id, e.status, e.event_name, e.event_type, e.user_id, u.email, e.processed_at, e.processing_error, \
         e.error_code, e.duplicate_of, e.lease_boot IS NOT NULL, CAST({holder} AS BIGINT) \
         FROM events e LEFT JOIN users u ON u.id = e.user_id {join} WHERE e.id IN ({}) {visible} {end}",
        list(ids)
    )
}

/// What cannot be read of an event is empty: it may be what its replay mends.
async fn read_seen(tx: &DatabaseTransaction, statement: Statement) -> Result<HashMap<i64, EventSnapshot>, DbErr> {
    let read = |row: &QueryResult| {
        let mut cells = Cells::plain(row);
        let seen = EventSnapshot {
            id: cells.get(),
            status: cells.status(),
            event_name: cells.get(),
            event_type: cells.get(),
            user_id: cells.get(),
            email: cells.get(),
            processed_at: cells.time_or_none(),
            error: cells.get(),
            error_code: cells.get(),
            duplicate_of: cells.get(),
            is_held: cells.get(),
            key_holder: cells.get(),
        };
        (seen.id, seen)
    };
    Ok(tx.query_all_raw(statement).await?.iter().map(read).collect())
}

/// The payload of an event.
pub(in crate::store) struct Payload(Option<JsonText>);

impl Readable for Payload {
    const COLUMNS: &'static [&'static [&'static str]] = &[&["id"]];
    const JSON: &'static [&'static str] = &["payload", "properties"];

    fn read(cells: &mut Cells<'_>) -> Self {
        let _: i64 = cells.get();
        let payload = cells.json(JsonText::parse);
        Self(payload.or_else(|| cells.json(|text| original_of(&text)).flatten().map(JsonText::from)))
    }
}

/// The payloads of locked events.
pub(super) async fn payloads(
    tx: &DatabaseTransaction,
    ids: &[i64],
    room: ReadBudget,
) -> Result<HashMap<i64, ReadEvent<Payload>>, StoreError> {
    let mut payloads = HashMap::new();
    let mut rest = ids;
    while !rest.is_empty() {
        let read = reading::read(tx, rest, &Filters::default(), room).await?;
        payloads.extend(read.events.into_iter().map(|event| (event.id, event)));
        rest = &rest[read.looked_at..];
    }
    Ok(payloads)
}

/// Why these locked events cannot be reopened, and the new payloads of the others if `patch` changes them.
pub(in crate::store) fn judge(
    events: &[&EventSnapshot],
    mut payloads: HashMap<i64, ReadEvent<Payload>>,
    patch: Option<&Patch>,
    rules: &ReplayRules,
) -> (HashMap<i64, Refusal>, HashMap<i64, JsonText>) {
    let mut refused = HashMap::new();
    let mut patched = HashMap::new();
    for event in events {
        let payload = payloads.remove(&event.id).map(|payload| patched_payload(payload, patch, rules)).transpose();
        match (event.key_holder, payload) {
            (Some(of), _) => drop(refused.insert(event.id, Refusal::KeyHeld { of })),
            (None, Err(refusal)) => drop(refused.insert(event.id, refusal)),
            (None, Ok(payload)) => patched.extend(payload.flatten().map(|payload| (event.id, payload))),
        }
    }
    (refused, patched)
}

fn patched_payload(
    payload: ReadEvent<Payload>,
    patch: Option<&Patch>,
    rules: &ReplayRules,
) -> Result<Option<JsonText>, Refusal> {
    let id = payload.id;
    let Payload(payload) = payload.readable().map_err(Refusal::Unreadable)?;
    let Some(patch) = patch else { return Ok(None) };
    let payload = patch.apply(payload.as_ref()).map_err(|error| {
        Refusal::Unreadable(UnreadableEvent { id, reason: format!("its payload cannot be patched: {error}") })
    })?;
    validate_payload_shape(Some(&payload), &rules.limits).map_err(Refusal::Invalid)?;
    Ok(Some(payload))
}

/// Makes locked events pending and due, claimed under `lease` if there is one, with their new payloads; notes the
/// author, and takes back what the balance counted. Returns their ids.
pub(in crate::store) async fn reopen(
    tx: &DatabaseTransaction,
    events: &[&EventSnapshot],
    payloads: &HashMap<i64, JsonText>,
    lease: Option<(&ClaimOrder, Uuid)>,
    change: ChangeContext<'_>,
) -> Result<Vec<i64>, DbErr> {
    let final_ones: Vec<&EventSnapshot> = events.iter().copied().filter(|event| event.status.is_final()).collect();
    let is_noted = |event: &&&EventSnapshot| change.patch.is_some() || event.status.is_final();
    let noted: Vec<i64> = events.iter().filter(is_noted).map(|event| event.id).collect();
    note(tx, &noted, "replayed", change).await?;
    for event in events {
        if let Some(payload) = payloads.get(&event.id) {
            set_payload(tx, event.id, payload).await?;
        }
    }
    let mut ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    if !ids.is_empty() {
        let rows = tx.query_all_raw(reopen_statement(tx, &ids, lease)).await?;
        all_written("events", rows.len() as u64, ids.len())?;
        ids = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        ids.sort_unstable();
    }
    if !final_ones.is_empty() {
        let undone = |status| final_ones.iter().filter(|event| event.status == status).count();
        let change = |status| -i64::try_from(undone(status)).unwrap_or(i64::MAX);
        counts::correct(tx, &[], change, &undone_by_type(&final_ones)).await?;
    }
    Ok(ids)
}

fn undone_by_type<'a>(events: &[&'a EventSnapshot]) -> Counts<&'a str> {
    let mut counts: Counts<&str> = Counts::new();
    for event in events {
        let event_type = event.event_type.as_deref().unwrap_or_default();
        *counts.entry(event.status.as_str()).or_default().entry(event_type).or_default() -= 1;
    }
    counts
}

/// A row that waits keeps its attempts; one that had ended begins anew.
fn reopen_statement(tx: &DatabaseTransaction, ids: &[i64], lease: Option<(&ClaimOrder, Uuid)>) -> Statement {
    let backend = tx.get_database_backend();
    let anew =
        |column: &str, value: &str| format!("{column} = CASE WHEN status = 'pending' THEN {column} ELSE {value} END");
    let (taken, values) = match lease {
        Some((order, token)) => {
            let taken = format!(
                "lease_boot = {}, lease_token = {}, lease_until = {}",
                placeholder(backend, 1),
                placeholder(backend, 2),
                now_plus_micros_sql(backend, &placeholder(backend, 3)),
            );
            let span = i64::try_from(order.lease.as_micros()).unwrap_or(i64::MAX);
            let values: Vec<Value> = vec![order.boot_id.into(), token.into(), span.into()];
            (taken, values)
        }
        // A token left in place would show a late writer that its outcome is there already.
        None => ("lease_token = NULL, lease_until = NULL".to_owned(), Vec::new()),
    };
    let sql = format!(
        "UPDATE events SET {}, {}, {}, status = 'pending', suspect = FALSE, payload = {}, properties = NULL, \
         processing_error = NULL, error_code = NULL, started_at = NULL, processed_at = NULL, finished_at = NULL, \
         node = NULL, next_attempt_at = {}, {taken} \
         WHERE id IN ({}) AND {} RETURNING id",
        anew("generation", &one_more("generation")),
        anew("attempts", "0"),
        anew("crashes", "0"),
        payload_sql(backend),
        now_sql(backend),
        list(ids),
        hidden("lease_boot IS NULL AND status <> 'duplicate'"),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

async fn set_payload(tx: &DatabaseTransaction, id: i64, payload: &JsonText) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    let cast = if backend == DbBackend::Postgres { "::text::jsonb" } else { "" };
    let sql =
        format!("UPDATE events SET payload = {}{cast} WHERE id = {}", placeholder(backend, 1), placeholder(backend, 2));
    let statement = Statement::from_sql_and_values(backend, sql, [Value::from(payload.as_str()), id.into()]);
    all_written("events", tx.execute_raw(statement).await?.rows_affected(), 1)
}

/// Calls locked events that are pending off, also from the nodes that hold them.
pub(in crate::store) async fn cancel(
    tx: &DatabaseTransaction,
    ids: &[i64],
    change: ChangeContext<'_>,
) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    note(tx, ids, "cancelled", change).await?;
    let backend = tx.get_database_backend();
    let sql = format!(
        "UPDATE events SET status = 'cancelled', finished_at = {}, next_attempt_at = NULL, lease_boot = NULL, \
         lease_token = NULL, lease_until = NULL WHERE id IN ({}) AND {}",
        now_sql(backend),
        list(ids),
        hidden("status = 'pending'"),
    );
    let changed = tx.execute_raw(Statement::from_string(backend, sql)).await?.rows_affected();
    all_written("events", changed, ids.len())?;
    let cancelled = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let change = |status| if status == Status::Cancelled { cancelled } else { 0 };
    counts::correct(tx, ids, change, &Counts::new()).await
}

/// Leaves a row per event that names the author of the change, its generation, and the payload before it.
async fn note(tx: &DatabaseTransaction, ids: &[i64], action: &str, change: ChangeContext<'_>) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let payload = if change.patch.is_some() { payload_sql(backend) } else { "NULL" };
    let sql = format!(
        "INSERT INTO replays (event_id, generation, action, by_user, at, job_id, patched, payload_before) \
         SELECT id, CASE WHEN status = 'pending' THEN generation ELSE {one_more} END, {}, {}, {}, {}, {}, {payload} \
         FROM events WHERE id IN ({})",
        placeholder(backend, 1),
        placeholder(backend, 2),
        now_sql(backend),
        placeholder(backend, 3),
        placeholder(backend, 4),
        list(ids),
        one_more = one_more("generation"),
    );
    let values: [Value; 4] = [action.into(), change.by.into(), change.job.into(), change.patch.is_some().into()];
    let noted = tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected();
    all_written("replays", noted, ids.len())
}

/// The rows are locked: what a statement does not change of them was left out, and must not be counted.
fn all_written(table: &'static str, written: u64, of: usize) -> Result<(), DbErr> {
    match of.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX)) {
        0 => Ok(()),
        missing => Err(DbErr::Custom(Cause::Unwritten { table, missing, of }.to_string())),
    }
}
