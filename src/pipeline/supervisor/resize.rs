//! Changing the size of a pool while the line runs.
//!
//! A new actor is handed messages from the next one on. An actor that has to leave is handed nothing more, finishes
//! what it holds and ends; what it cannot finish is taken from it like from any other. No event is charged for it.

use super::super::kind::ActorKind;
use super::Supervisor;
use super::child::Child;
use crate::telemetry::facts;

impl Supervisor {
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
}
