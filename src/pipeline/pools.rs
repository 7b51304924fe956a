//! The pools between the stages.

use super::custody::{Holder, Work};
use super::kind::Kind;
use super::messages::{Due, JobMade, Normalized, Scheduled, Spooled, Submitted, Validated};
use super::pool::Pool;

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

    /// Has a pool of a stage paused or not; a Claimer looks by itself whether it may claim.
    pub fn set_paused(&self, kind: Kind, is_paused: bool) {
        match kind {
            Kind::Validator => self.submitted.set_paused(kind, is_paused),
            Kind::Normalizer => self.validated.set_paused(kind, is_paused),
            Kind::Persister => self.normalized.set_paused(kind, is_paused),
            Kind::Claimer | Kind::Drainer | Kind::Replayer | Kind::Retry => {}
        }
    }

    /// Events that wait for a pool to go on.
    pub fn held(&self, kind: Kind) -> usize {
        match kind {
            Kind::Validator => self.submitted.held(),
            Kind::Normalizer => self.validated.held(),
            Kind::Persister => self.normalized.held(),
            Kind::Claimer | Kind::Drainer | Kind::Replayer | Kind::Retry => 0,
        }
    }

    /// Takes the units out that wait for a pool to go on and are meant.
    pub fn take_held(&self, is_meant: &impl Fn(&Work) -> bool) -> Vec<Work> {
        let mut taken = self.submitted.take_held(is_meant);
        taken.extend(self.validated.take_held(is_meant));
        taken.extend(self.normalized.take_held(is_meant));
        taken
    }

    /// Hands nothing more to the actor.
    pub fn remove(&self, holder: Holder) {
        self.submitted.remove(holder);
        self.validated.remove(holder);
        self.normalized.remove(holder);
        self.scheduled.remove(holder);
        self.due.remove(holder);
        self.spooled.remove(holder);
        self.jobs.remove(holder);
    }
}
