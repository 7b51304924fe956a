//! What the line looks like now, for operators.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::timestamp;
use crate::store::{Node, Stamp};

/// A snapshot published longer ago is old, even of a line of 192 actors on a busy database.
pub(super) const OLD: Duration = Duration::from_secs(15);

/// The whole line of one node.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Pipeline")]
pub struct PipelineView {
    /// The node of this line.
    pub node: NodeView,
    /// How often the line was built since the node started.
    pub generation: u64,
    /// The generation of the controls that the node has applied.
    pub control_generation: i64,
    /// `running` or `paused`, as a whole.
    pub state: SettingView<&'static str>,
    /// The pools, in the order of the flow.
    pub pools: Vec<PoolView>,
    /// Admitted and not answered yet.
    pub in_flight: InFlightView,
    /// Events of this node that wait for a backoff timer.
    pub retries_waiting: usize,
    /// Events of the database that this node has claimed.
    pub claims_held: usize,
    /// Outcomes that came after their lease was lost.
    pub stale_writes_rejected: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "NodeName")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its boot.
    pub boot_id: String,
}

/// One boot of a node of the cluster, as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "Node")]
pub struct BootView {
    /// Its name.
    pub name: String,
    /// Its boot.
    #[schemars(with = "String", extend("format" = "uuid"))]
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
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
    /// The generation of the controls that it says it has applied.
    pub control_generation: i64,
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
            control_generation: node.control_generation,
        }
    }
}

/// How old the snapshot of another node's line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "Snapshot")]
pub struct SnapshotView {
    /// How long ago the node published it, in milliseconds.
    pub age_ms: u64,
    /// Whether a healthy node would have published another one since.
    pub is_old: bool,
}

impl SnapshotView {
    pub(super) fn of(age: Duration) -> Self {
        Self { age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX), is_old: age >= OLD }
    }
}

/// The wanted value, and who set it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "{T}Setting")]
pub struct SettingView<T> {
    /// What is wanted.
    pub value: T,
    /// `config`, `stored`, or `pipeline` where it is wanted of the whole line.
    pub source: &'static str,
    /// The user who stored it, or removed what was stored.
    pub by: Option<i64>,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub at: Option<String>,
}

impl<T> SettingView<T> {
    pub(super) fn of(value: T, source: &'static str, stamp: Option<Stamp>) -> Self {
        let at = stamp.map(|stamp| timestamp::render(stamp.at));
        Self { value, source, by: stamp.map(|stamp| stamp.by), at }
    }
}

/// The actors of one kind.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Pool")]
pub struct PoolView {
    /// Its name, as paths have it.
    pub name: &'static str,
    /// How many actors it is to have, if that can be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SettingView<usize>>,
    /// `running` or `paused`, if that can be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SettingView<&'static str>>,
    /// Events that wait for the pool to go on.
    pub held: usize,
    /// Its actors.
    pub actors: Vec<ActorView>,
}

/// One actor.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Actor")]
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

/// Load that is admitted and not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "InFlight")]
pub struct InFlightView {
    /// Events.
    pub events: usize,
    /// Bytes, with what an event takes beside its payload.
    pub bytes: usize,
}
