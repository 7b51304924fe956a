//! How many actors the Supervisor keeps, and how it replaces them.

use std::time::Duration;

use crate::pipeline::kind::ActorKind;

/// How many actors of each stage there are, and how fast they are replaced.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct SupervisorRules {
    pub validators: usize,
    pub normalizers: usize,
    pub persisters: usize,
    pub restart_backoff: Duration,
    pub restart_window: Duration,
    pub max_restarts: usize,
    pub soft_timeout: Duration,
    pub hard_timeout: Duration,
    /// How long a new event waits for a paused pool.
    pub accept_timeout: Duration,
}

impl SupervisorRules {
    /// The configured number of actors of this kind.
    pub(super) fn configured(&self, kind: ActorKind) -> usize {
        match kind {
            ActorKind::Validator => self.validators,
            ActorKind::Normalizer => self.normalizers,
            ActorKind::Persister => self.persisters,
            ActorKind::Claimer | ActorKind::Drainer | ActorKind::Replayer | ActorKind::Retry => 1,
        }
    }
}
