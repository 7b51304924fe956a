//! What the line looks like now, for operators.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::domain::timestamp;
use crate::store::Node;

/// The whole line of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PipelineView {
    /// The node that answers.
    pub node: NodeView,
    /// How often the line was built since the node started.
    pub generation: u64,
    /// The pools, in the order of the flow.
    pub pools: Vec<PoolView>,
    /// What is between the door and the answer.
    pub in_flight: InFlightView,
    /// Events of this node that wait for a backoff timer.
    pub retries_waiting: usize,
    /// Events of the database that this node has claimed.
    pub claims_held: usize,
    /// Outcomes that came after their lease was lost.
    pub stale_writes_rejected: u64,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its boot.
    pub boot_id: String,
}

/// One boot of a node of the cluster, as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootView {
    /// Its name.
    pub name: String,
    /// Its boot.
    pub boot_id: Uuid,
    /// Whether it is the node that answers.
    pub this: bool,
    /// `alive`, `silent` (no heartbeat for a lease time) or `stopped`.
    pub state: &'static str,
    /// Age of its last heartbeat, in milliseconds.
    pub heartbeat_age_ms: u64,
    /// Events that it had claimed then.
    pub claims: u64,
    /// Events in its spool then.
    pub spool_events: u64,
    /// Their bytes.
    pub spool_bytes: u64,
    /// When it started, by the database's clock.
    pub started_at: String,
}

impl BootView {
    pub(super) fn of(node: Node, this: Uuid, lease: Duration) -> Self {
        let state = match node.stopped_at {
            Some(_) => "stopped",
            None if node.silent_for >= lease => "silent",
            None => "alive",
        };
        Self {
            this: node.boot_id == this,
            name: node.name,
            boot_id: node.boot_id,
            state,
            heartbeat_age_ms: u64::try_from(node.silent_for.as_millis()).unwrap_or(u64::MAX),
            claims: node.vitals.claims,
            spool_events: node.vitals.spool_events,
            spool_bytes: node.vitals.spool_bytes,
            started_at: timestamp::render(node.started_at),
        }
    }
}

/// The actors of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolView {
    /// `validators`, `normalizers`, `persisters`, `retry`, `claimer`, `drainer` or `replayer`.
    pub name: &'static str,
    /// Its actors.
    pub actors: Vec<ActorView>,
}

/// One actor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActorView {
    /// Its name; a restarted actor keeps it.
    pub name: String,
    /// `running`, `restarting`, or `leaving` once the pool was made smaller.
    pub state: &'static str,
    /// How often it was replaced.
    pub restarts: u64,
    /// Panics on single events, caught.
    pub panics: u64,
    /// Messages that wait.
    pub mailbox: usize,
    /// Events worked on.
    pub events: u64,
    /// Time spent at work, in milliseconds.
    pub busy_ms: u64,
    /// Why it was last replaced.
    pub last_error: Option<&'static str>,
}

/// Load between the door and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InFlightView {
    /// Events.
    pub events: usize,
    /// Bytes, with what an event takes beside its payload.
    pub bytes: usize,
}
