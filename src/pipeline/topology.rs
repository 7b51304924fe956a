//! The line as a whole: the only file that knows which stage follows which. Built downstream first, so that each
//! stage is born with the address of the next.
//!
//! ```text
//! Submitted ─▶ Validator ─▶ Normalizer ─▶ Persister ─▶ the store
//!     ▲  ▲                                   │ Scheduled, or Spooled
//!     │  └────── Claimer ◀── Due ── Retry ◀──┤
//!     └───────── Drainer ◀── the spool ◀─────┘
//!                Replayer ◀── JobMade, the table of jobs
//! ```

use std::sync::Arc;

use actix::prelude::*;

use super::claimer::Claimer;
use super::deps::Deps;
use super::drainer::Drainer;
use super::gauges::Gauges;
use super::kind::ActorKind;
use super::normalizer::Normalizer;
use super::persister::Persister;
use super::pools::Pools;
use super::replayer::Replayer;
use super::retry::Retry;
use super::stage::Stage;
use super::tracker::{ActorId, UnitTracker};
use super::validator::Validator;
use crate::telemetry::facts::StageCount;

/// A running actor, as the Supervisor sees it.
pub(super) struct Running {
    pub holder: ActorId,
    arbiter: Arbiter,
    is_alive: Box<dyn Fn() -> bool + Send>,
}

impl Running {
    fn new<A: Actor<Context = Context<A>>>(holder: ActorId, arbiter: Arbiter, address: Addr<A>) -> Self {
        Self { holder, arbiter, is_alive: Box::new(move || address.connected()) }
    }

    pub fn is_alive(&self) -> bool {
        (self.is_alive)()
    }

    /// Ends the actor's thread; a thread that is stuck ends when its work does.
    pub fn stop(&self) {
        self.arbiter.stop();
    }
}

/// The line, as its builder sees it.
pub(super) struct Line {
    pub deps: Deps,
    pub pools: Pools,
    pub tracker: Arc<UnitTracker>,
}

impl Line {
    /// Starts an actor of `kind` on a thread of its own: a stuck actor delays no other. `None` if no thread is
    /// available.
    pub fn start(&self, kind: ActorKind, gauges: &Arc<Gauges>) -> Option<Running> {
        // Actix panics where the system refuses a thread.
        let arbiter = std::panic::catch_unwind(Arbiter::new).ok()?;
        Some(self.start_on(arbiter, kind, gauges))
    }

    fn start_on(&self, arbiter: Arbiter, kind: ActorKind, gauges: &Arc<Gauges>) -> Running {
        let (deps, pools, holder) = (&self.deps, &self.pools, ActorId::new(kind));
        let (name, count) = (kind.name(), StageCount::of(kind.name()));
        let stage = Stage { name, gauges: gauges.clone(), count, faults: deps.faults.clone() };
        let thread = arbiter.handle();
        match kind {
            ActorKind::Validator => {
                let (users, limits, next) = (deps.users.clone(), deps.limits, pools.validated.clone());
                let actor = Validator::start_in_arbiter(&thread, move |_| Validator { stage, users, limits, next });
                pools.submitted.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Normalizer => {
                let next = pools.normalized.clone();
                let actor = Normalizer::start_in_arbiter(&thread, move |_| Normalizer { stage, next });
                pools.validated.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Persister => {
                let (rules, writer) = (deps.persister_rules.clone(), deps.writer.clone());
                let (consequences, spool_writer) = (deps.consequences.clone(), deps.spool_writer.clone());
                let actor = Persister::start_in_arbiter(&thread, move |_| {
                    Persister::new(stage, rules, writer, consequences, spool_writer)
                });
                pools.normalized.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Retry => {
                let (due, depth) = (pools.due.clone(), deps.retries_waiting.clone());
                let actor = Retry::start_in_arbiter(&thread, move |_| Retry::new(stage, due, depth));
                pools.scheduled.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Claimer => {
                let (store, rules, claims) = (deps.store.clone(), deps.claimer_rules.clone(), deps.claims.clone());
                let (validators, tracker) = (pools.submitted.clone(), self.tracker.clone());
                let actor = Claimer::start_in_arbiter(&thread, move |_| {
                    Claimer::new(stage, store, rules, claims, validators, tracker)
                });
                pools.due.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Drainer => {
                let spool = deps.spool.clone().expect("only a line with a spool has a drainer");
                let (rules, writing) = (deps.drainer_rules.clone(), deps.writing.clone());
                let (validators, tracker) = (pools.submitted.clone(), self.tracker.clone());
                let actor = Drainer::start_in_arbiter(&thread, move |_| {
                    Drainer::new(stage, spool, rules, writing, validators, tracker)
                });
                pools.spooled.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            ActorKind::Replayer => {
                let (store, rules) = (deps.store.clone(), deps.replayer_rules.clone());
                let actor = Replayer::start_in_arbiter(&thread, move |_| Replayer::new(stage, store, rules));
                pools.jobs.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
        }
    }
}
