//! The pools between the stages.

use super::kind::ActorKind;
use super::messages::{Due, JobMade, Normalized, Scheduled, Spooled, Submitted, Validated};
use super::pool::Pool;
use super::tracker::{ActorId, TrackedUnit};

/// The pools between the stages.
#[derive(Clone)]
pub(super) struct Pools {
    pub submitted: Pool<Submitted>,
    pub validated: Pool<Validated>,
    pub normalized: Pool<Normalized>,
    pub scheduled: Pool<Scheduled>,
    pub due: Pool<Due>,
    pub spooled: Pool<Spooled>,
    pub jobs: Pool<JobMade>,
}

impl Pools {
    pub fn new(mailbox_max: usize) -> Self {
        Self {
            submitted: Pool::new(mailbox_max),
            validated: Pool::new(mailbox_max),
            normalized: Pool::new(mailbox_max),
            scheduled: Pool::new(mailbox_max),
            due: Pool::new(mailbox_max),
            spooled: Pool::new(mailbox_max),
            jobs: Pool::new(mailbox_max),
        }
    }

    /// Pauses or resumes a stage's pool; a Claimer checks by itself whether it may claim.
    pub fn set_paused(&self, kind: ActorKind, is_paused: bool) {
        match kind {
            ActorKind::Validator => self.submitted.set_paused(kind, is_paused),
            ActorKind::Normalizer => self.validated.set_paused(kind, is_paused),
            ActorKind::Persister => self.normalized.set_paused(kind, is_paused),
            ActorKind::Claimer | ActorKind::Drainer | ActorKind::Replayer | ActorKind::Retry => {}
        }
    }

    /// Events that wait for a pool to go on.
    pub fn held(&self, kind: ActorKind) -> usize {
        match kind {
            ActorKind::Validator => self.submitted.held(),
            ActorKind::Normalizer => self.validated.held(),
            ActorKind::Persister => self.normalized.held(),
            ActorKind::Claimer | ActorKind::Drainer | ActorKind::Replayer | ActorKind::Retry => 0,
        }
    }

    /// Takes the matching units that wait for a pool to go on.
    pub fn take_held(&self, matches: &impl Fn(&TrackedUnit) -> bool) -> Vec<TrackedUnit> {
        let mut taken = self.submitted.take_held(matches);
        taken.extend(self.validated.take_held(matches));
        taken.extend(self.normalized.take_held(matches));
        taken
    }

    /// Hands nothing more to the actor.
    pub fn remove(&self, holder: ActorId) {
        self.submitted.remove(holder);
        self.validated.remove(holder);
        self.normalized.remove(holder);
        self.scheduled.remove(holder);
        self.due.remove(holder);
        self.spooled.remove(holder);
        self.jobs.remove(holder);
    }
}
