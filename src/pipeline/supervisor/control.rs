//! Applying what operators want: sizes, pauses, restarts.
//!
//! A paused pool is handed nothing more. Its actors finish what they hold, so that nothing can hang or be charged; what
//! comes later waits at the pool's gate, bounded like all that is in flight. There a new event waits for at most
//! `timeouts.accept`, then its client learns that nothing was stored; an event that was claimed waits under its lease,
//! which the node keeps by living, until the pool goes on. Time at the gate does not count towards an attempt.

use std::time::Duration;

use actix::prelude::*;

use super::super::kind::ActorKind;
use super::super::receipt::Unsettled;
use super::super::tracker::TrackedUnit;
use super::super::unit::Unit;
use super::super::view::SettingView;
use super::Supervisor;
use crate::store::{Control, Controls, Target};
use crate::telemetry::audit;
use crate::telemetry::spans::AttemptEnd;

/// Applies the controls, unless they are older than those in force.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::pipeline) struct Apply(pub Controls);

impl Handler<Apply> for Supervisor {
    type Result = ();

    fn handle(&mut self, Apply(wanted): Apply, context: &mut Context<Self>) {
        let before = self.line.deps.controls.applied();
        if wanted.generation <= before.generation {
            return;
        }
        let generation = wanted.generation;
        self.line.deps.controls.apply(wanted.clone());
        self.sync_gates();
        for (kind, _) in ActorKind::controlled().filter(|(kind, _)| kind.is_resizable()) {
            let (size, present) = (self.wanted_size(kind), self.places(kind).len());
            if size != present {
                self.resize(kind, size);
            }
        }
        let is_due = |target: Target| wanted.of(target).restarts > before.of(target).restarts;
        let units =
            ActorKind::controlled().filter(|(_, target)| is_due(*target)).flat_map(|(kind, _)| self.replace(kind));
        let units = units.collect();
        self.redeliver(units, context);
        audit::controls_applied(generation);
    }
}

impl Supervisor {
    /// Shuts the gates of paused pools and opens the others.
    pub(super) fn sync_gates(&self) {
        let applied = self.line.deps.controls.applied();
        for (kind, target) in ActorKind::controlled() {
            self.line.pools.set_paused(kind, applied.is_paused(target));
        }
    }

    /// How many actors of this kind there are to be.
    pub(super) fn wanted_size(&self, kind: ActorKind) -> usize {
        let stored = kind.target().and_then(|target| self.line.deps.controls.applied().of(target).size);
        stored.unwrap_or_else(|| self.rules.configured(kind))
    }

    /// Gives up what has waited for a paused pool for too long, and everything once the node is about to stop: then leases
    /// are given back.
    pub(super) fn expire_paused(&self) {
        let controls = &self.line.deps.controls;
        if controls.all_stages_run() {
            return;
        }
        let patience = if controls.is_shutting_down() { Duration::ZERO } else { self.rules.accept_timeout };
        let may_go =
            |work: &TrackedUnit| controls.is_shutting_down() || work.items.iter().all(|item| item.lease.is_none());
        let is_late = |work: &TrackedUnit| may_go(work) && work.taken_at.elapsed() >= patience;
        self.line.pools.take_held(&is_late).into_iter().for_each(give_up);
    }

    /// Puts a fresh actor into each place of the pool; gives what the others held.
    fn replace(&mut self, kind: ActorKind) -> Vec<Unit> {
        let staying = self.children.iter_mut().filter(|child| child.kind == kind && !child.is_retiring());
        staying.flat_map(|child| child.replace(&self.line)).collect()
    }

    /// The wanted size of a pool, and its source.
    pub(super) fn size_view(&self, kind: ActorKind) -> Option<SettingView<usize>> {
        let applied = self.line.deps.controls.applied();
        let control = applied.of(kind.target().filter(|_| kind.is_resizable())?);
        let source = if control.size.is_some() { "stored" } else { "config" };
        Some(SettingView::of(self.wanted_size(kind), source, control.sized))
    }

    /// Whether a pool is to be paused, and the source of that.
    pub(super) fn state_view(&self, target: Target) -> SettingView<&'static str> {
        let applied = self.line.deps.controls.applied();
        let (own, line) = (applied.of(target), applied.of(Target::Pipeline));
        let of = |control: &Control, source| {
            let state = if control.is_paused { "paused" } else { "running" };
            SettingView::of(state, source, control.paused)
        };
        match (own.is_paused, line.is_paused, own.paused) {
            (false, true, _) => of(line, "pipeline"),
            (_, _, None) => of(own, "config"),
            _ => of(own, "stored"),
        }
    }
}

/// Answers the request that waits for the unit, if there is one.
fn give_up(work: TrackedUnit) {
    let maybe_stored = work.maybe_stored;
    let unsettled = if maybe_stored { Unsettled::Unknown } else { Unsettled::Paused };
    let Some(mut unit) = work.settle() else { return };
    unit.items.iter().for_each(|item| item.end_span(AttemptEnd::not_settled(maybe_stored)));
    if let Some(reply) = unit.reply.take() {
        // A client that went away does not need the answer.
        let _ = reply.send(Err(unsettled));
    }
}
