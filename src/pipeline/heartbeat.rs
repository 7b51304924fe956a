//! Heartbeats, by which the other nodes see that this one lives, and the watch on its database file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deps::Deps;
use super::node_health::Trouble;
use crate::store::{Spool, Store, StoreError, Vitals};
use crate::telemetry::condition::Condition;

/// Heartbeats in a lease time.
const HEARTBEATS_PER_LEASE: u32 = 5;

/// How often the database file is compared with the open one, and the longest wait for a heartbeat.
const SECOND: Duration = Duration::from_secs(1);

/// Starts the heartbeat; with other nodes, on a thread and a connection that nothing else uses: neither a busy
/// store nor a full pool may look like a dead node.
pub(super) fn start(deps: Arc<Deps>) -> Result<(), StoreError> {
    let store = deps.store.apart("heartbeat")?;
    store.clone().spawn(send_heartbeats(store, deps));
    Ok(())
}

/// Sends heartbeats, and watches the database file.
async fn send_heartbeats(store: Store, deps: Arc<Deps>) {
    let period = (deps.config.lease.duration / HEARTBEATS_PER_LEASE).min(SECOND);
    let file = Condition::grave("the database file");
    let heartbeat = Condition::new("heartbeat");
    loop {
        let found = store.check_file();
        file.note(&found);
        let trouble = match found {
            Err(error) => Some(Trouble::Barred(error.to_string())),
            Ok(()) => beat(&store, &deps, &heartbeat).await,
        };
        deps.health.set_trouble(trouble);
        tokio::time::sleep(period).await;
    }
}

async fn beat(store: &Store, deps: &Deps, condition: &Condition) -> Option<Trouble> {
    let sent_at = Instant::now();
    let beat = store.heartbeat(deps.identity.boot_id, vitals(deps), SECOND).await;
    condition.note(&beat);
    match beat {
        Ok(true) => {
            deps.health.record_heartbeat(sent_at);
            None
        }
        Ok(false) => {
            Some(Trouble::Barred("another start with the same data folder has taken this node's place".to_owned()))
        }
        Err(_) => Some(Trouble::Away),
    }
}

/// What this node reports to the others.
pub(super) fn vitals(deps: &Deps) -> Vitals {
    let spool = deps.spool.as_ref().map(Spool::level).unwrap_or_default();
    Vitals { claims: deps.claims.len() as u64, spool_events: spool.events + spool.parked, spool_bytes: spool.bytes }
}
