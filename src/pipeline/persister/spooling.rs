//! The Persister's second way: new units into the spool, while the database does not take them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::super::messages::Spooled;
use super::super::pool::Pool;
use super::Persister;
use super::queue::Gathered;
use crate::domain::event::Event;
use crate::domain::outcome::Status;
use crate::store::{Spool, StoreError, StoreOutcome};
use crate::telemetry::condition::Condition;

/// Where new units go while the database is away.
#[derive(Clone)]
pub(in crate::pipeline) struct Refuge {
    pub spool: Spool,
    /// Whether the database takes first writes.
    pub writing: Arc<Condition>,
    /// Whether the spool takes them.
    pub spooling: Arc<Condition>,
    pub drainer: Pool<Spooled>,
    /// Longest wait for an append.
    pub wait: Duration,
    /// An append is under way.
    pub is_busy: bool,
}

impl Persister {
    /// Appends to the spool what has to go there: every new unit during an outage, else those that wait for too long.
    pub(super) fn take_refuge(&mut self, context: &mut Context<Self>) {
        let accept_timeout = self.rules.accept_timeout;
        let Some(refuge) = self.refuge.as_mut().filter(|refuge| !refuge.is_busy) else { return };
        let (now, is_outage) = (Instant::now(), refuge.writing.is_failing());
        let is_late = |unit: &Gathered| unit.is_late(now, accept_timeout);
        if !is_outage && !self.queue.first().is_some_and(is_late) {
            return;
        }
        let units = self.queue.take_all(|unit| unit.is_new() && (is_outage || is_late(unit)));
        if units.is_empty() {
            return;
        }
        refuge.is_busy = true;
        let (spool, wait) = (refuge.spool.clone(), refuge.wait);
        let events: Vec<Vec<Event>> = units.iter().map(events).filter(|events| !events.is_empty()).collect();
        let appended = async move { (spool.append(events, wait).await, units) };
        context.spawn(appended.into_actor(self).map(|(appended, units), persister, context| {
            persister.settle_refuge(appended, units);
            persister.flush(context);
        }));
    }

    fn settle_refuge(&mut self, appended: Result<(), StoreError>, units: Vec<Gathered>) {
        let Some(refuge) = &mut self.refuge else { return };
        refuge.is_busy = false;
        refuge.spooling.note(&appended);
        if appended.is_ok() {
            refuge.drainer.send(Spooled);
        }
        for mut unit in units {
            match &appended {
                Ok(()) => self.consequences.settle_spooled(unit),
                Err(error) => {
                    unit.work.maybe_stored |= error.outcome == StoreOutcome::Unknown;
                    self.consequences.give_up(unit);
                }
            }
        }
    }
}

/// What is spooled of a unit: all but what was refused, which is kept only where it can be kept with its reason.
fn events(unit: &Gathered) -> Vec<Event> {
    let accepted = unit.records.iter().filter(|record| record.outcome.status != Status::ValidationError);
    accepted.map(|record| record.event.clone()).collect()
}
