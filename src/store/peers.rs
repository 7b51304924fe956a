//! What a node has to know of the others: which may hold leases, and which boots are long gone.

use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

use super::dialect::{micros_ago, now_plus_micros_sql, placeholder};
use super::error::StoreError;
use super::open::Store;

/// A boot that is not known to have stopped, or holds leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The boot.
    pub boot_id: Uuid,
    /// Its node's name.
    pub name: String,
    /// Grows while it lives.
    pub heartbeat: i64,
    /// Whether the boot, or a later one of its folder, reported that it has stopped.
    pub is_stopped: bool,
    /// Whether a pending event is leased to it.
    pub holds_leases: bool,
}

impl Store {
    /// Every boot that has not stopped, and every one that holds leases: a claim may be committed after its node ended,
    /// so the leases are queried, not the memory.
    pub async fn peers(&self, wait: Duration) -> Result<Vec<Peer>, StoreError> {
        self.run("look at the other nodes", wait, |conn| async move {
            let sql = "WITH holders AS (SELECT DISTINCT lease_boot FROM events \
                       WHERE status = 'pending' AND lease_boot IS NOT NULL) \
                       SELECT boot_id, name, heartbeat, stopped_at IS NOT NULL, lease_boot IS NOT NULL \
                       FROM nodes LEFT JOIN holders ON lease_boot = boot_id \
                       WHERE stopped_at IS NULL OR lease_boot IS NOT NULL";
            let rows = conn.search(Statement::from_string(conn.backend(), sql)).await?;
            Ok(rows.iter().map(peer).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes boots that ended longer than `age` ago by the database's clock, or are `silent` and were last heard of
    /// then; never one that holds a lease, nor one whose folder has a spool: its events are found through it.
    pub async fn prune_nodes(&self, silent: Vec<Uuid>, age: Duration, wait: Duration) -> Result<u64, StoreError> {
        self.transaction("removal of old nodes", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let mut values: Vec<Value> = vec![micros_ago(age)];
                values.extend(silent.iter().map(|boot_id| Value::from(*boot_id)));
                let silent: String =
                    (2..=values.len()).map(|n| format!("OR boot_id = {} ", placeholder(backend, n))).collect();
                let sql = format!(
                    "DELETE FROM nodes WHERE COALESCE(stopped_at, heartbeat_at) < {} \
                 AND (stopped_at IS NOT NULL {silent}) \
                 AND folder NOT IN (SELECT folder FROM nodes WHERE spool_events > 0) \
                 AND NOT EXISTS (SELECT 1 FROM events WHERE status = 'pending' AND lease_boot = nodes.boot_id)",
                    now_plus_micros_sql(backend, &placeholder(backend, 1)),
                );
                let statement = Statement::from_sql_and_values(backend, sql, values);
                Ok(tx.execute_raw(statement).await?.rows_affected())
            })
        })
        .await
    }
}

fn peer(row: &QueryResult) -> Result<Peer, DbErr> {
    Ok(Peer {
        boot_id: row.try_get_by_index(0)?,
        name: row.try_get_by_index(1)?,
        heartbeat: row.try_get_by_index(2)?,
        is_stopped: row.try_get_by_index(3)?,
        holds_leases: row.try_get_by_index(4)?,
    })
}
