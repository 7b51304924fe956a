//! Claiming stored events: a claim writes only the lease; the outcome charges the attempt.
//!
//! One statement claims, through a CTE, so that no more rows than asked for are taken. The leases of a dead boot are
//! ended first: each of its events is charged the attempt and becomes a suspect, free to be claimed by anybody.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use super::dialect::{now_plus_micros_sql, now_sql, placeholder};
use super::{Store, StoreError, hints};
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
pub enum Due {
    /// Pending events whose time has come and that nobody holds, the most overdue first.
    Waiting,
    /// Those of these ids whose time has come and that nobody holds.
    These(Vec<i64>),
    /// Suspects whose time has come and that nobody holds.
    Suspects,
}

/// Who claims, how many, and for how long.
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
}

/// A node that was judged dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its boot.
    pub boot_id: Uuid,
    /// Its name.
    pub name: String,
    /// The heartbeat by which it was judged: one that has another by now lives.
    pub heartbeat: i64,
}

impl Store {
    /// Claims events for `order.boot_id`. On a lost answer the leases stand; [`Store::release_orphans`] frees them.
    pub async fn claim(&self, due: Due, order: ClaimOrder, wait: Duration) -> Result<Vec<Claimed>, StoreError> {
        self.run("claim", wait, move |conn| async move {
            let token = Uuid::new_v4();
            let statement = claim_statement(conn.backend(), &due, &order, token);
            let rows = conn.write().query_all_raw(statement).await?;
            Ok(rows.iter().map(|row| claimed(row, token)).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Ends the leases of a dead node: each event is charged the attempt and becomes a suspect. Says how many. Nothing is
    /// taken from a node that has come back: it claims only after its heartbeat, and the heartbeat is compared in the
    /// statement that takes.
    pub async fn take_over(&self, death: Death, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("take-over from a dead node", wait, move |tx| {
            Box::pin(async move {
                let rows = tx.query_all_raw(take_over_statement(tx.get_database_backend(), &death)).await?;
                let lost = rows.iter().map(|row| lost_attempt(row, &death.name)).collect::<Result<Vec<_>, DbErr>>()?;
                let count = lost.len() as u64;
                for piece in lost.chunks(ATTEMPTS_MAX) {
                    entity::attempt::Entity::insert_many(piece.to_vec()).exec_without_returning(tx).await?;
                }
                if count > 0 {
                    hints::work_is_due(tx).await?;
                }
                Ok(count)
            })
        })
        .await
    }

    /// Gives back every lease of `boot_id` except those on the events in `held`; says how many.
    pub async fn release_orphans(&self, boot_id: Uuid, held: Vec<i64>, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("release of orphaned leases", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let held: Vec<String> = held.iter().map(ToString::to_string).collect();
                let kept = if held.is_empty() { String::new() } else { format!("AND id NOT IN ({})", held.join(",")) };
                let sql = format!(
                    "UPDATE events SET lease_boot = NULL, lease_until = NULL \
                     WHERE status = 'pending' AND lease_boot = {} {kept}",
                    placeholder(backend, 1)
                );
                let statement = Statement::from_sql_and_values(backend, sql, [boot_id.into()]);
                let released = tx.execute_raw(statement).await?.rows_affected();
                if released > 0 {
                    hints::work_is_due(tx).await?;
                }
                Ok(released)
            })
        })
        .await
    }
}

fn claim_statement(backend: DbBackend, due: &Due, order: &ClaimOrder, token: Uuid) -> Statement {
    let bytes = i64::try_from(order.bytes).unwrap_or(i64::MAX);
    let values: Vec<Value> = vec![order.boot_id.into(), token.into(), micros(order.lease).into(), bytes.into()];
    let condition = condition(backend, due);
    let lock = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let json = if backend == DbBackend::Postgres { "::text" } else { "" };
    let sql = format!(
        "WITH found AS MATERIALIZED (SELECT id, next_attempt_at, COALESCE(length(payload{json}), 0) AS bytes \
         FROM events WHERE status = 'pending' AND {condition} ORDER BY next_attempt_at, id LIMIT {limit} {lock}), \
         due AS MATERIALIZED (SELECT id FROM \
         (SELECT id, SUM(bytes) OVER (ORDER BY next_attempt_at, id) - bytes AS before FROM found) AS weighed \
         WHERE before < {bytes}) \
         UPDATE events SET lease_boot = {boot}, lease_token = {token}, lease_until = {until} \
         WHERE id IN (SELECT id FROM due) AND status = 'pending' \
         RETURNING {columns}",
        columns = claimed_columns(backend),
        limit = order.limit,
        boot = placeholder(backend, 1),
        token = placeholder(backend, 2),
        until = now_plus_micros_sql(backend, &placeholder(backend, 3)),
        bytes = placeholder(backend, 4),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

/// What makes a pending row claimable; `status = 'pending'` stands beside it as a literal for the partial index.
fn condition(backend: DbBackend, due: &Due) -> String {
    let free = format!("lease_boot IS NULL AND next_attempt_at <= {}", now_sql(backend));
    match due {
        Due::Waiting => format!("{free} AND NOT suspect"),
        Due::Suspects => format!("{free} AND suspect"),
        Due::These(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            // Timers run by no wall clock; with SQLite there are no others than this node's.
            let free = if backend == DbBackend::Sqlite { "lease_boot IS NULL" } else { &free };
            format!("{free} AND NOT suspect AND id IN ({})", ids.join(","))
        }
    }
}

fn take_over_statement(backend: DbBackend, death: &Death) -> Statement {
    let (boot, heartbeat) = (placeholder(backend, 1), placeholder(backend, 2));
    let sql = format!(
        "UPDATE events SET attempts = attempts + 1, crashes = crashes + 1, suspect = TRUE, lease_boot = NULL, \
         lease_until = NULL WHERE status = 'pending' AND lease_boot = {boot} \
         AND EXISTS (SELECT 1 FROM nodes WHERE boot_id = {boot} AND heartbeat = {heartbeat}) \
         RETURNING id, generation, attempts"
    );
    Statement::from_sql_and_values(backend, sql, [Value::from(death.boot_id), death.heartbeat.into()])
}

fn lost_attempt(row: &QueryResult, node: &str) -> Result<entity::attempt::ActiveModel, DbErr> {
    let lost = TransientCode::WorkerLost;
    Ok(entity::attempt::ActiveModel {
        event_id: Set(row.try_get_by_index(0)?),
        generation: Set(row.try_get_by_index(1)?),
        attempt: Set(row.try_get_by_index(2)?),
        started_at: Set(None),
        ended_at: Set(clock::now()),
        node: Set(node.to_owned()),
        stage: Set("claimer".to_owned()),
        error_code: Set(lost.as_str().to_owned()),
        error: Set("Processing error: the node died while it held the event".to_owned()),
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Looked up for the few events whose spans are told.
const WAITS_SINCE: &str = "CASE WHEN trace_context IS NOT NULL THEN (SELECT MAX(ended_at) FROM attempts \
     WHERE event_id = events.id AND attempts.generation = events.generation) END";

/// What [`claimed`] reads.
pub(super) fn claimed_columns(backend: DbBackend) -> String {
    let json = if backend == DbBackend::Postgres { "::text" } else { "" };
    format!(
        "id, task_id, user_id, event_name, event_type, event_uid, payload{json}, timestamp, received_at, attempts, \
         crashes, generation, suspect, trace_context, {WAITS_SINCE}"
    )
}

/// Reads a claimed row.
pub(super) fn claimed(row: &QueryResult, lease_token: Uuid) -> Result<Claimed, DbErr> {
    let payload: Option<String> = row.try_get_by_index(6)?;
    let payload = payload.map(JsonText::parse).transpose().map_err(|error| DbErr::Json(error.to_string()))?;
    let submission = Submission {
        event_name: row.try_get_by_index(3)?,
        event_type: row.try_get_by_index(4)?,
        event_uid: row.try_get_by_index(5)?,
        payload,
        user_id: None,
        timestamp: row.try_get_by_index(7)?,
        flaws: Vec::new(),
        trace: row.try_get_by_index::<Option<String>>(13)?.and_then(|text| TraceContext::of_text(&text)).map(Arc::new),
    };
    let (user_id, generation): (i64, u32) = (row.try_get_by_index(2)?, count(row, 11)?);
    // At its first write it took its key, unless it was refused; then a replay takes it.
    let key = if generation == 0 { None } else { DedupeKey::of(&submission, user_id, None) };
    let event = Event {
        id: row.try_get_by_index(0)?,
        task_id: row.try_get_by_index(1)?,
        user_id,
        submission,
        key,
        received_at: row.try_get_by_index(8)?,
        attempts: count(row, 9)?,
        crashes: count(row, 10)?,
        generation,
    };
    let (suspect, waits_since) = (row.try_get_by_index(12)?, row.try_get_by_index(14)?);
    Ok(Claimed { event, lease_token, suspect, waits_since })
}

fn count(row: &QueryResult, index: usize) -> Result<u32, DbErr> {
    let value: i32 = row.try_get_by_index(index)?;
    u32::try_from(value).map_err(|_| DbErr::Type(format!("negative count {value} in column {index}")))
}
