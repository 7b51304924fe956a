//! The clock by which dedupe keys age, and the removal of those that are old. It begins at the database's time and from
//! then on goes only while a server runs, whatever that time is set to. So a key is never forgotten before it was
//! remembered for as long as it should be.
//!
//! Every node advances it once in a while, by no more than has passed for that node. In between a new key gets a time
//! that may lie a little ahead, and the age of one is measured by a time that lies a little behind.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::dialect::{micros_ago, now_sql, placeholder};
use super::{Store, StoreError};

/// Keys that one statement removes.
const KEYS_MAX: usize = 5_000;

/// Most that it is advanced at once, in seconds: twice what passes between two advances by a node.
const STEP_MAX: u32 = 10;

impl Store {
    /// Advances the clock by what has passed since any node last did, at most by `passed`.
    pub async fn advance_key_clock(&self, passed: Duration, wait: Duration) -> Result<(), StoreError> {
        self.run("advance the clock of keys", wait, move |conn| async move {
            let backend = conn.backend();
            let passed_sql = format!("CAST({} AS DOUBLE PRECISION)", placeholder(backend, 1));
            let sql = format!(
                "UPDATE key_clock SET at = {}, read_at = {}",
                plus(backend, "at", &least(backend, &since_read(backend), &passed_sql)),
                now_sql(backend)
            );
            let values: [Value; 1] = [passed.as_secs_f64().into()];
            conn.write().execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            Ok(())
        })
        .await
    }

    /// Removes some of the dedupe keys that are older than `age` by their own clock; 0 when none is left.
    pub async fn remove_keys(&self, age: Duration, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("removal of old keys", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let sql = format!(
                    "DELETE FROM dedupe_keys WHERE (user_id, namespace, key) IN (SELECT user_id, namespace, key \
                 FROM dedupe_keys WHERE created_at < {} LIMIT {KEYS_MAX})",
                    expiry_sql(backend, &placeholder(backend, 1))
                );
                let statement = Statement::from_sql_and_values(backend, sql, [micros_ago(age)]);
                Ok(tx.execute_raw(statement).await?.rows_affected())
            })
        })
        .await
    }
}

/// The time that a new key gets.
pub(super) fn birth_sql(backend: DbBackend) -> String {
    format!("(SELECT {} FROM key_clock)", plus(backend, "at", &since_read(backend)))
}

/// The time before which a key was born that has lived for the bound number of microseconds, which is negative.
pub(super) fn expiry_sql(backend: DbBackend, placeholder: &str) -> String {
    let seconds = format!("(CAST({placeholder} AS BIGINT) / 1000000.0)");
    format!("(SELECT {} FROM key_clock)", plus(backend, "at", &seconds))
}

/// Seconds since the clock was advanced, by the database's time; never less than nothing, or more than a step.
fn since_read(backend: DbBackend) -> String {
    match backend {
        DbBackend::Postgres => {
            format!(
                "LEAST(GREATEST(EXTRACT(EPOCH FROM statement_timestamp() - read_at), 0), {STEP_MAX})::double precision"
            )
        }
        _ => format!("MIN(MAX((julianday('now') - julianday(read_at)) * 86400.0, 0), {STEP_MAX})"),
    }
}

fn least(backend: DbBackend, a: &str, b: &str) -> String {
    let function = if backend == DbBackend::Postgres { "LEAST" } else { "MIN" };
    format!("{function}({a}, {b})")
}

/// A time plus a number of seconds, to the millisecond on SQLite.
fn plus(backend: DbBackend, time: &str, seconds: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("{time} + {seconds} * interval '1 second'"),
        _ => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', {time}, printf('%+.6f seconds', {seconds}))"),
    }
}
