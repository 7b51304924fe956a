//! Changing the size of a pool while the line runs.
//!
//! A new actor is handed messages from the next one on. An actor that has to leave is handed nothing more, finishes
//! what it holds and ends; what it cannot finish is taken from it like from any other. No event is charged for it.

use actix::prelude::*;

use super::super::topology::Kind;
use super::super::view::PoolView;
use super::Supervisor;
use super::child::Child;
use crate::telemetry::facts;

/// Gives a pool another size; answers with the pool as it is then.
#[derive(Message)]
#[rtype(result = "PoolView")]
pub(in crate::pipeline) struct Resize {
    pub kind: Kind,
    pub size: usize,
}

impl Supervisor {
    fn resize(&mut self, kind: Kind, size: usize) {
        let places = |children: &[Child]| -> Vec<usize> {
            let staying = children.iter().filter(|child| child.kind == kind && !child.is_leaving());
            staying.map(|child| child.place).collect()
        };
        let before = places(&self.children);
        for child in self.children.iter_mut().filter(|child| child.kind == kind && child.place >= size) {
            child.leave(&self.line);
        }
        for place in (0..size).filter(|place| !before.contains(place)) {
            let mut child = Child::new(kind, place);
            child.start(&self.line);
            self.children.push(child);
        }
        facts::pool_resized(kind.pool_name(), before.len(), places(&self.children).len());
    }
}

impl Handler<Resize> for Supervisor {
    type Result = MessageResult<Resize>;

    fn handle(&mut self, Resize { kind, size }: Resize, _: &mut Context<Self>) -> Self::Result {
        self.resize(kind, size);
        MessageResult(self.pool(kind))
    }
}
