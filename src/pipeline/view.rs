//! What the line looks like now, for operators.

use serde::Serialize;

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

/// The actors of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolView {
    /// `validators`, `normalizers`, `persisters`, `retry` or `claimer`.
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
