//! Claiming stored events: a claim writes only the lease; the outcome charges the attempt.
//!
//! One transaction finds the events and takes them: what it found is locked, or nothing else writes. What is taken is
//! read under its lease, so that an event which cannot be read is found by its holder. The leases of a dead boot are
//! ended first: each of its events is charged the attempt and becomes a suspect, free to be claimed by any node.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use super::dialect::{list, now_plus_micros_sql, now_sql, one_more, placeholder, stored_bytes_sql};
use super::events::EventHead;
use super::filters::Filters;
use super::plans::hidden;
use super::reading::{self, Cells, ReadEvent, Readable};
use super::{Store, StoreError, notifications};
use crate::clock;
use crate::domain::dedupe::DedupeKey;
use crate::domain::event::Event;
use crate::domain::json::JsonText;
use crate::domain::outcome::TransientCode;
use crate::domain::submission::Submission;
use crate::domain::trace::TraceContext;

/// Rows of `attempts` in one INSERT: what a statement may bind is limited.
const ATTEMPTS_MAX: usize = 1_000;

/// Which events to claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimTarget {
    /// Pending events that are due and not leased, the most overdue first.
    Waiting,
    /// Those of these ids that are due and not leased.
    These(Vec<i64>),
    /// Suspects that are due and not leased.
    Suspects,
}

/// The claiming boot, how many events, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct ClaimOrder {
    /// The claiming process.
    pub boot_id: Uuid,
    /// Most events to claim.
    pub limit: usize,
    /// Most bytes of their payloads; the event that passes it is still claimed.
    pub bytes: usize,
    /// How long the lease is meant to last.
    pub lease: Duration,
}

/// A claimed event.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The event, with the attempts charged so far.
    pub event: Event,
    /// Proof of the claim: outcomes are written only under it.
    pub lease_token: Uuid,
    /// Whether a death of its node was charged to it: suspects run one at a time.
    pub suspect: bool,
    /// When its last attempt ended; known only of an event that is part of a trace.
    pub waits_since: Option<DateTime<Utc>>,
    /// What is wrong with the stored event, if it cannot be read; then it has only what could be.
    pub flaw: Option<String>,
}

/// A node that was judged dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its boot.
    pub boot_id: Uuid,
    /// Its name.
    pub name: String,
    /// The heartbeat by which it was judged: a node with another one by now is alive.
    pub heartbeat: i64,
}

impl Store {
    /// Claims events for `order.boot_id`, and returns whether more were found than it took. On a lost answer the leases
    /// stand; [`Store::release_orphans`] frees them.
    pub async fn claim(
        &self,
        due: ClaimTarget,
        order: ClaimOrder,
        wait: Duration,
    ) -> Result<(Vec<Claimed>, bool), StoreError> {
        let token = Uuid::new_v4();
        let taken = self.transaction("claim", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let found = tx.query_all_raw(find_statement(backend, &due, order.limit)).await?;
                let ids = within_bytes(&found, order.bytes)?;
                if !ids.is_empty() {
                    tx.execute_raw(take_statement(backend, &ids, &order, token)).await?;
                }
                Ok(ids)
            })
        });
        self.read_claimed(taken.await?, token, order.bytes, wait).await
    }

    /// The events `ids`, which are claimed under `token`, with at most `bytes` of payloads; gives the claims of the others
    /// back and returns whether there were any.
    pub(super) async fn read_claimed(
        &self,
        mut ids: Vec<i64>,
        token: Uuid,
        bytes: usize,
        wait: Duration,
    ) -> Result<(Vec<Claimed>, bool), StoreError> {
        ids.sort_unstable();
        let room = self.room_for(bytes);
        self.run("read claimed events", wait * reading::PATIENCE, move |conn| async move {
            let read = reading::read::<ClaimedRow>(&conn, &ids, &Filters::default(), room).await?;
            let others = &ids[read.looked_at..];
            if !others.is_empty() {
                conn.write().execute_raw(release_statement(conn.backend(), others, token)).await?;
            }
            Ok((read.events.into_iter().map(|event| ClaimedRow::claimed(event, token)).collect(), !others.is_empty()))
        })
        .await
    }

    /// Ends the leases of a dead node: each event is charged the attempt and becomes a suspect. Returns how many.
    /// Nothing is taken from a node that has come back: it claims only after its heartbeat, and the heartbeat is
    /// compared in the statement that takes.
    pub async fn take_over(&self, death: Death, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("take-over from a dead node", wait, move |tx| {
            Box::pin(async move {
                let rows = tx.query_all_raw(take_over_statement(tx.get_database_backend(), &death)).await?;
                let lost: Vec<_> = rows.iter().map(|row| lost_attempt(row, &death.name)).collect();
                let count = lost.len() as u64;
                for piece in lost.chunks(ATTEMPTS_MAX) {
                    entity::attempt::Entity::insert_many(piece.to_vec()).exec_without_returning(tx).await?;
                }
                if count > 0 {
                    notifications::work_is_due(tx).await?;
                }
                Ok(count)
            })
        })
        .await
    }

    /// Gives back every lease of `boot_id` except those on the events in `held`; returns how many.
    pub async fn release_orphans(&self, boot_id: Uuid, held: Vec<i64>, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("release of orphaned leases", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let kept = if held.is_empty() { String::new() } else { format!("AND id NOT IN ({})", list(&held)) };
                let sql = format!(
                    "UPDATE events SET lease_boot = NULL, lease_until = NULL \
                     WHERE status = 'pending' AND lease_boot = {} {kept}",
                    placeholder(backend, 1)
                );
                let statement = Statement::from_sql_and_values(backend, sql, [boot_id.into()]);
                let released = tx.execute_raw(statement).await?.rows_affected();
                if released > 0 {
                    notifications::work_is_due(tx).await?;
                }
                Ok(released)
            })
        })
        .await
    }
}

/// `id, bytes` of the events that may be claimed, locked. How long a payload is once it is written out is seen when it is read.
fn find_statement(backend: DbBackend, due: &ClaimTarget, limit: usize) -> Statement {
    let lock = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "SELECT id, CAST(COALESCE({stored}, 0) AS BIGINT) FROM events WHERE {condition} LIMIT {limit} {lock}",
        stored = stored_bytes_sql(backend, "payload"),
        condition = condition(backend, due),
    );
    Statement::from_string(backend, sql)
}

/// What makes a row claimable. Waiting ones are walked in the order of the index of pending events, unleased ones
/// first; those that are named are looked up.
fn condition(backend: DbBackend, due: &ClaimTarget) -> String {
    let free = "status = 'pending' AND lease_boot IS NULL";
    let is_time = format!("next_attempt_at <= {}", now_sql(backend));
    let walk = |suspect: &str| {
        format!("{free} AND suspect = {suspect} AND {is_time} ORDER BY lease_boot, suspect, next_attempt_at")
    };
    match due {
        ClaimTarget::Waiting => walk("FALSE"),
        ClaimTarget::Suspects => walk("TRUE"),
        ClaimTarget::These(ids) => {
            // Timers follow no wall clock; with SQLite there are no others than this node's.
            let is_time = if backend == DbBackend::Sqlite { "TRUE" } else { &is_time };
            format!("id IN ({}) AND {}", list(ids), hidden(&format!("{free} AND NOT suspect AND {is_time}")))
        }
    }
}

/// The first of these events, the one that passes `bytes_max` included.
fn within_bytes(found: &[QueryResult], bytes_max: usize) -> Result<Vec<i64>, DbErr> {
    let mut ids = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for row in found {
        if bytes >= bytes_max {
            break;
        }
        ids.push(row.try_get_by_index(0)?);
        bytes = usize::try_from(row.try_get_by_index::<i64>(1)?).map_or(usize::MAX, |more| bytes.saturating_add(more));
    }
    Ok(ids)
}

fn take_statement(backend: DbBackend, ids: &[i64], order: &ClaimOrder, token: Uuid) -> Statement {
    let values: Vec<Value> = vec![order.boot_id.into(), token.into(), micros(order.lease).into()];
    let sql = format!(
        "UPDATE events SET lease_boot = {}, lease_token = {}, lease_until = {} WHERE id IN ({})",
        placeholder(backend, 1),
        placeholder(backend, 2),
        now_plus_micros_sql(backend, &placeholder(backend, 3)),
        list(ids),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

fn take_over_statement(backend: DbBackend, death: &Death) -> Statement {
    let boot = placeholder(backend, 1);
    let heartbeat = placeholder(backend, 2);
    let sql = format!(
        "UPDATE events SET attempts = {attempts}, crashes = {crashes}, suspect = TRUE, lease_boot = NULL, \
         lease_until = NULL WHERE status = 'pending' AND lease_boot = {boot} \
         AND EXISTS (SELECT 1 FROM nodes WHERE boot_id = {boot} AND heartbeat = {heartbeat}) \
         RETURNING id, generation, attempts",
        attempts = one_more("attempts"),
        crashes = one_more("crashes"),
    );
    Statement::from_sql_and_values(backend, sql, [Value::from(death.boot_id), death.heartbeat.into()])
}

fn lost_attempt(row: &QueryResult, node: &str) -> entity::attempt::ActiveModel {
    let lost = TransientCode::WorkerLost;
    let mut cells = Cells::plain(row);
    entity::attempt::ActiveModel {
        event_id: Set(cells.get()),
        generation: Set(cells.get()),
        attempt: Set(cells.get()),
        started_at: Set(None),
        ended_at: Set(clock::now()),
        node: Set(node.to_owned()),
        stage: Set("claimer".to_owned()),
        error_code: Set(lost.as_str().to_owned()),
        error: Set("Processing error: the node died while it held the event".to_owned()),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Looked up for the few events whose spans are exported.
const WAITS_SINCE: &str = "CASE WHEN trace_context IS NOT NULL THEN (SELECT MAX(ended_at) FROM attempts \
     WHERE event_id = events.id AND attempts.generation = events.generation) END";

/// A claimed event, as it is read.
struct ClaimedRow {
    event: Event,
    suspect: bool,
    waits_since: Option<DateTime<Utc>>,
}

impl ClaimedRow {
    fn claimed(read: ReadEvent<Self>, lease_token: Uuid) -> Claimed {
        let Self { event, suspect, waits_since } = read.value;
        Claimed { event, lease_token, suspect, waits_since, flaw: read.flaw }
    }
}

impl Readable for ClaimedRow {
    const COLUMNS: &'static [&'static [&'static str]] = &[
        &EventHead::COLUMNS,
        &["timestamp", "received_at", "attempts", "crashes", "generation", "suspect", "trace_context", WAITS_SINCE],
    ];
    const JSON: &'static [&'static str] = &["payload"];

    fn read(cells: &mut Cells<'_>) -> Self {
        let EventHead { id, task_id, user_id, event_name, event_type, event_uid } = EventHead::read(cells);
        let mut event = Event {
            id,
            task_id,
            user_id,
            submission: Submission {
                event_name,
                event_type,
                event_uid,
                timestamp: cells.time_or_none(),
                ..Submission::default()
            },
            key: None,
            received_at: cells.time(),
            attempts: cells.count(),
            crashes: cells.count(),
            generation: cells.count(),
        };
        let (suspect, trace): (bool, Option<String>) = (cells.get(), cells.get());
        event.submission.trace = trace.and_then(|text| TraceContext::of_text(&text)).map(Arc::new);
        let waits_since = cells.time_if_readable();
        event.submission.payload = cells.json(JsonText::parse);
        // At its first write it took its key, unless it was refused; then a replay takes it.
        if event.generation > 0 && cells.are_well() {
            event.key = DedupeKey::of(&event.submission, event.user_id, None);
        }
        Self { event, suspect, waits_since }
    }
}

fn release_statement(backend: DbBackend, ids: &[i64], token: Uuid) -> Statement {
    let sql = format!(
        "UPDATE events SET lease_boot = NULL, lease_until = NULL WHERE id IN ({}) AND {}",
        list(ids),
        hidden(&format!("status = 'pending' AND lease_token = {}", placeholder(backend, 1)))
    );
    Statement::from_sql_and_values(backend, sql, [token.into()])
}
