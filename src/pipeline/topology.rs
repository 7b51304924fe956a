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
use super::custody::{Custody, Holder};
use super::drainer::Drainer;
use super::gauges::Gauges;
use super::kind::Kind;
use super::normalizer::Normalizer;
use super::parts::Parts;
use super::persister::Persister;
use super::pools::Pools;
use super::replayer::Replayer;
use super::retry::Retry;
use super::stage::Stage;
use super::validator::Validator;
use crate::telemetry::facts::StageCount;

/// A running actor, seen from the Supervisor.
pub(super) struct Running {
    pub holder: Holder,
    arbiter: Arbiter,
    is_alive: Box<dyn Fn() -> bool + Send>,
}

impl Running {
    fn new<A: Actor<Context = Context<A>>>(holder: Holder, arbiter: Arbiter, address: Addr<A>) -> Self {
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

/// The line, seen from who builds it.
pub(super) struct Line {
    pub parts: Parts,
    pub pools: Pools,
    pub custody: Arc<Custody>,
}

impl Line {
    /// Starts an actor of `kind` on a thread of its own: a stuck actor holds up no other. `None` if there is no thread to
    /// be had.
    pub fn start(&self, kind: Kind, gauges: &Arc<Gauges>) -> Option<Running> {
        // Actix panics where the system refuses a thread.
        let arbiter = std::panic::catch_unwind(Arbiter::new).ok()?;
        Some(self.start_on(arbiter, kind, gauges))
    }

    fn start_on(&self, arbiter: Arbiter, kind: Kind, gauges: &Arc<Gauges>) -> Running {
        let (parts, pools, holder) = (&self.parts, &self.pools, Holder::new(kind));
        let (name, count) = (kind.name(), StageCount::of(kind.name()));
        let stage = Stage { name, gauges: gauges.clone(), count, faults: parts.faults.clone() };
        let thread = arbiter.handle();
        match kind {
            Kind::Validator => {
                let (users, limits, next) = (parts.users.clone(), parts.limits, pools.validated.clone());
                let actor = Validator::start_in_arbiter(&thread, move |_| Validator { stage, users, limits, next });
                pools.submitted.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Normalizer => {
                let next = pools.normalized.clone();
                let actor = Normalizer::start_in_arbiter(&thread, move |_| Normalizer { stage, next });
                pools.validated.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Persister => {
                let (rules, writer) = (parts.persister_rules.clone(), parts.writer.clone());
                let (consequences, refuge) = (parts.consequences.clone(), parts.refuge.clone());
                let actor = Persister::start_in_arbiter(&thread, move |_| {
                    Persister::new(stage, rules, writer, consequences, refuge)
                });
                pools.normalized.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Retry => {
                let (due, depth) = (pools.due.clone(), parts.retries_waiting.clone());
                let actor = Retry::start_in_arbiter(&thread, move |_| Retry::new(stage, due, depth));
                pools.scheduled.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Claimer => {
                let (store, rules, claims) = (parts.store.clone(), parts.claimer_rules.clone(), parts.claims.clone());
                let (validators, custody) = (pools.submitted.clone(), self.custody.clone());
                let actor = Claimer::start_in_arbiter(&thread, move |_| {
                    Claimer::new(stage, store, rules, claims, validators, custody)
                });
                pools.due.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Drainer => {
                let spool = parts.spool.clone().expect("only a line with a spool has a drainer");
                let (rules, writing) = (parts.drainer_rules.clone(), parts.writing.clone());
                let (validators, custody) = (pools.submitted.clone(), self.custody.clone());
                let actor = Drainer::start_in_arbiter(&thread, move |_| {
                    Drainer::new(stage, spool, rules, writing, validators, custody)
                });
                pools.spooled.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
            Kind::Replayer => {
                let (store, rules) = (parts.store.clone(), parts.replayer_rules.clone());
                let actor = Replayer::start_in_arbiter(&thread, move |_| Replayer::new(stage, store, rules));
                pools.jobs.add(holder, &actor, gauges.clone());
                Running::new(holder, arbiter, actor)
            }
        }
    }
}
