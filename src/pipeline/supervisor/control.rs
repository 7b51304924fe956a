//! Applying what operators want: sizes, pauses, restarts.
//!
//! A paused pool is handed nothing more. Its actors finish what they hold, so that nothing can hang or be charged; what
//! comes later waits at the pool's gate, bounded like all that is in flight. There a new event waits for at most
//! `timeouts.accept`, then its client learns that nothing was stored; an event that was claimed waits under its lease,
//! which the node keeps by living, until the pool goes on. Time at the gate does not count towards an attempt.
//!
//! A pool that grows hands messages to the new actor from the next one on. An actor that has to leave is handed nothing
//! more, finishes what it holds and ends; what it cannot finish is taken from it like from any other. No event is charged
//! for it.

use std::time::Duration;

use actix::prelude::*;

use super::super::receipt::Unsettled;
use super::super::tracker::TrackedUnit;
use super::super::unit::Unit;
use super::super::view::SettingView;
use super::Supervisor;
use super::child::Child;
use crate::domain::actor_kind::ActorKind;
use crate::store::{Control, Controls, Target};
use crate::telemetry::spans::AttemptEnd;
use crate::telemetry::{audit, facts};

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
        for kind in ActorKind::stages() {
            let size = self.wanted_size(kind);
            if size != self.places(kind).len() {
                self.resize(kind, size);
            }
        }
        let restarts = |controls: &Controls, kind| controls.of(Target::Pool(kind)).restarts;
        let is_due = |kind: &ActorKind| restarts(&wanted, *kind) > restarts(&before, *kind);
        let units = ActorKind::controlled().filter(is_due).flat_map(|kind| self.replace(kind)).collect();
        self.redeliver(units, context);
        audit::controls_applied(generation);
    }
}

impl Supervisor {
    /// Shuts the gates of paused pools and opens the others.
    pub(super) fn sync_gates(&self) {
        let applied = self.line.deps.controls.applied();
        // A Claimer checks by itself whether it may claim.
        for kind in ActorKind::stages() {
            self.line.pools.of(kind).set_paused(kind, applied.is_paused(Target::Pool(kind)));
        }
    }

    /// How many actors of this kind there are to be.
    pub(super) fn wanted_size(&self, kind: ActorKind) -> usize {
        let stored = self.line.deps.controls.applied().of(Target::Pool(kind)).size;
        stored.unwrap_or_else(|| self.line.configured_size(kind))
    }

    /// Gives a pool another size.
    pub(super) fn resize(&mut self, kind: ActorKind, size: usize) {
        let before = self.places(kind);
        for child in self.children.iter_mut().filter(|child| child.kind == kind && child.place >= size) {
            child.retire(&self.line);
        }
        for place in (0..size).filter(|place| !before.contains(place)) {
            let mut child = Child::new(kind, place);
            child.start(&self.line);
            self.children.push(child);
        }
        facts::pool_resized(kind.pool_name(), before.len(), self.places(kind).len());
    }

    /// The places of a pool whose actors stay.
    pub(super) fn places(&self, kind: ActorKind) -> Vec<usize> {
        let staying = self.children.iter().filter(|child| child.kind == kind && !child.is_retiring());
        staying.map(|child| child.place).collect()
    }

    /// Gives up what has waited for a paused pool for too long, and everything once the node is about to stop: then leases
    /// are given back.
    pub(super) fn expire_paused(&self) {
        let deps = &self.line.deps;
        if deps.controls.all_stages_run() {
            return;
        }
        let is_stopping = deps.stopping.has_begun();
        let patience = if is_stopping { Duration::ZERO } else { deps.config.timeouts.accept };
        let may_go = |work: &TrackedUnit| is_stopping || work.items.iter().all(|item| item.lease.is_none());
        let is_late = |work: &TrackedUnit| may_go(work) && work.taken_at.elapsed() >= patience;
        let late = ActorKind::stages().flat_map(|kind| self.line.pools.of(kind).take_held(&is_late));
        late.for_each(give_up);
    }

    /// Puts a fresh actor into each place of the pool; gives what the others held.
    fn replace(&mut self, kind: ActorKind) -> Vec<Unit> {
        let staying = self.children.iter_mut().filter(|child| child.kind == kind && !child.is_retiring());
        staying.flat_map(|child| child.replace(&self.line)).collect()
    }

    /// The wanted size of a pool, and its source.
    pub(super) fn size_view(&self, kind: ActorKind) -> Option<SettingView<usize>> {
        if !kind.is_stage() {
            return None;
        }
        let applied = self.line.deps.controls.applied();
        let control = applied.of(Target::Pool(kind));
        let source = if control.size.is_some() { "stored" } else { "config" };
        Some(SettingView::of(self.wanted_size(kind), source, control.sized))
    }

    /// Whether a pool is to be paused, and the source of that.
    pub(super) fn state_view(&self, target: Target) -> SettingView<&'static str> {
        let applied = self.line.deps.controls.applied();
        let own = applied.of(target);
        let line = applied.of(Target::Pipeline);
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
    unit.answer(Err(unsettled));
}
