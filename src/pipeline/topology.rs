//! The line as a whole: the only file that knows which stage follows which. Built downstream first, so that each
//! stage is born with the address of the next.
//!
//! ```text
//! Submitted ─▶ Validator ─▶ Normalizer ─▶ Persister ─▶ the store
//!     ▲  ▲                                   │ Scheduled, or Spooled
//!     │  └────── Claimer ◀── Due ── Retry ◀──┤
//!     └───────── Drainer ◀── the spool ◀─────┘
//!                Replayer ◀── JobMade, the table of jobs
//!                Pruner   ◀── RetentionDue
//! ```

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::prelude::*;

use super::claimer::Claimer;
use super::deps::Deps;
use super::drainer::Drainer;
use super::gauges::Gauges;
use super::messages::{Due, JobMade, Normalized, PoolMessage, RetentionDue, Scheduled, Spooled, Submitted, Validated};
use super::normalizer::Normalizer;
use super::persister::{Persister, Settlement, SpoolWriter, Writer};
use super::pool::{Inbox, Pool};
use super::pruner::Pruner;
use super::replayer::Replayer;
use super::retry::Retry;
use super::stage::Stage;
use super::tracker::{ActorId, UnitTracker};
use super::validator::Validator;
use crate::domain::actor_kind::ActorKind;
use crate::telemetry::threads::name_thread;

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
    pub retention: Pool<RetentionDue>,
}

impl Pools {
    /// Empty ones, whose actors are preferred as long as fewer than `mailbox_max` messages wait at them.
    pub fn new(mailbox_max: usize) -> Self {
        Self {
            submitted: Pool::new(mailbox_max),
            validated: Pool::new(mailbox_max),
            normalized: Pool::new(mailbox_max),
            scheduled: Pool::new(mailbox_max),
            due: Pool::new(mailbox_max),
            spooled: Pool::new(mailbox_max),
            jobs: Pool::new(mailbox_max),
            retention: Pool::new(mailbox_max),
        }
    }

    /// Where actors of this kind get their messages from.
    pub fn of(&self, kind: ActorKind) -> &dyn Inbox {
        match kind {
            ActorKind::Validator => &self.submitted,
            ActorKind::Normalizer => &self.validated,
            ActorKind::Persister => &self.normalized,
            ActorKind::Retry => &self.scheduled,
            ActorKind::Claimer => &self.due,
            ActorKind::Drainer => &self.spooled,
            ActorKind::Replayer => &self.jobs,
            ActorKind::Pruner => &self.retention,
        }
    }
}

/// The line, as its builder sees it; clones share it.
#[derive(Clone)]
pub(super) struct Line {
    pub deps: Arc<Deps>,
    pub writer: Arc<Writer>,
    pub pools: Pools,
    pub tracker: Arc<UnitTracker>,
}

impl Line {
    /// How many actors of a kind the configuration wants.
    pub fn configured_size(&self, kind: ActorKind) -> usize {
        let actors = &self.deps.config.actors;
        match kind {
            ActorKind::Validator => actors.validators,
            ActorKind::Normalizer => actors.normalizers,
            ActorKind::Persister => actors.persisters,
            ActorKind::Drainer => usize::from(self.deps.spool.is_some()),
            ActorKind::Retry | ActorKind::Claimer | ActorKind::Replayer | ActorKind::Pruner => 1,
        }
    }

    /// Starts an actor of `kind` on a thread of its own, which gets its name: a stuck actor delays no other. `None` if no
    /// thread is available.
    pub fn start(&self, kind: ActorKind, name: &str, gauges: &Arc<Gauges>) -> Option<Running> {
        // Actix panics where the system refuses a thread.
        let arbiter = std::panic::catch_unwind(Arbiter::new).ok()?;
        let place = Place { kind, name: name.to_owned(), gauges: gauges.clone(), arbiter, line: self.clone() };
        Some(match kind {
            ActorKind::Validator => place.fill(&self.pools.submitted, |stage, Line { deps, pools, .. }| Validator {
                stage,
                deps,
                next: pools.validated,
            }),
            ActorKind::Normalizer => place
                .fill(&self.pools.validated, |stage, Line { pools, .. }| Normalizer { stage, next: pools.normalized }),
            ActorKind::Persister => place.fill(&self.pools.normalized, persister),
            ActorKind::Retry => {
                place.fill(&self.pools.scheduled, |stage, Line { deps, pools, .. }| Retry::new(stage, deps, pools.due))
            }
            ActorKind::Claimer => place.fill(&self.pools.due, |stage, Line { deps, pools, tracker, .. }| {
                Claimer::new(stage, deps, pools.submitted, tracker)
            }),
            ActorKind::Drainer => place.fill(&self.pools.spooled, |stage, Line { deps, pools, tracker, .. }| {
                let spool = deps.spool.clone().expect("only a line with a spool has a drainer");
                Drainer::new(stage, deps, spool, pools.submitted, tracker)
            }),
            ActorKind::Replayer => place.fill(&self.pools.jobs, |stage, Line { deps, .. }| Replayer::new(stage, deps)),
            ActorKind::Pruner => place.fill(&self.pools.retention, |stage, Line { deps, .. }| Pruner::new(stage, deps)),
        })
    }
}

fn persister(stage: Stage, Line { deps, writer, pools, .. }: Line) -> Persister {
    let spool = deps.spool_for_new().cloned();
    let spool_writer = spool.map(|spool| SpoolWriter::new(spool, pools.spooled));
    let consequences = Settlement { retry: pools.scheduled, claimer: pools.due, deps: deps.clone() };
    Persister::new(stage, deps, writer, consequences, spool_writer)
}

/// A thread for an actor of the line.
struct Place {
    kind: ActorKind,
    name: String,
    gauges: Arc<Gauges>,
    arbiter: Arbiter,
    line: Line,
}

impl Place {
    /// Starts an actor there that takes its messages from `inbox`.
    fn fill<A, M>(self, inbox: &Pool<M>, make: impl FnOnce(Stage, Line) -> A + Send + 'static) -> Running
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message<Result = ()> + PoolMessage + Send + 'static,
    {
        let Self { kind, name, gauges, arbiter, line } = self;
        let holder = ActorId::new(kind);
        let stage = Stage::new(kind, gauges.clone(), line.deps.clone());
        let address = A::start_in_arbiter(&arbiter.handle(), move |_| {
            name_thread(&name);
            make(stage, line)
        });
        inbox.add(holder, &address, gauges);
        Running { holder, arbiter, is_alive: Box::new(move || address.connected()) }
    }
}

/// A running actor, as the Supervisor sees it.
pub(super) struct Running {
    pub holder: ActorId,
    arbiter: Arbiter,
    is_alive: Box<dyn Fn() -> bool + Send>,
}

impl Running {
    pub fn is_alive(&self) -> bool {
        (self.is_alive)()
    }

    /// Ends the actor's thread; a thread that is stuck ends when its work does.
    pub fn stop(&self) {
        self.arbiter.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Two kinds on one pool would compile, and share its messages.
    #[test]
    fn each_kind_has_a_pool_of_its_own() {
        let pools = Pools::new(1);
        let places = ActorKind::all().map(|kind| std::ptr::from_ref(pools.of(kind)).addr());
        let places: std::collections::BTreeSet<usize> = places.collect();
        assert_eq!(places.len(), ActorKind::COUNT);
    }
}
