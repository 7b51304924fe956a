//! The Persister's second way to store: new units go to the spool while the database does not take them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::super::deps::Deps;
use super::super::messages::Spooled;
use super::super::pool::Pool;
use super::Persister;
use super::queue::PreparedUnit;
use crate::clock;
use crate::domain::event::Event;
use crate::domain::outcome::Status;
use crate::store::{Spool, StoreError, StoreOutcome};

/// Where new units go while the database is away.
pub(in crate::pipeline) struct SpoolWriter {
    spool: Spool,
    drainer: Pool<Spooled>,
    /// An append is under way.
    is_busy: bool,
}

impl SpoolWriter {
    pub fn new(spool: Spool, drainer: Pool<Spooled>) -> Self {
        Self { spool, drainer, is_busy: false }
    }
}

/// Whether new units go to the spool: the database does not take them, and the spool does. Where neither does, the
/// database is tried, or its return would go unnoticed.
pub(super) fn is_spooling(deps: &Deps) -> bool {
    deps.writing.is_failing() && !deps.spooling.is_failing()
}

impl Persister {
    /// Appends to the spool what has to go there: every new unit during an outage, else those that wait for longer than
    /// `longest`.
    pub(super) fn spool_units(&mut self, longest: Duration, context: &mut Context<Self>) {
        let flush_timeout = self.deps.config.timeouts.flush;
        let Some(spool_writer) = self.spool_writer.as_mut().filter(|spool_writer| !spool_writer.is_busy) else {
            return;
        };
        let now = Instant::now();
        let is_outage = is_spooling(&self.deps);
        let is_late = |unit: &PreparedUnit| unit.is_late(now, longest, flush_timeout);
        // Outside of an outage only what waits for long is looked for, and not with every message.
        if !is_outage && self.is_busy {
            return;
        }
        let mut units = self.queue.take_all(|unit| unit.is_new() && (is_outage || is_late(unit)));
        if units.is_empty() {
            return;
        }
        spool_writer.is_busy = true;
        let spool = spool_writer.spool.clone();
        let events: Vec<Vec<Arc<Event>>> = units.iter().map(events).filter(|events| !events.is_empty()).collect();
        // Until the answer is here: this actor may die while it waits.
        let before: Vec<bool> = units.iter().map(|unit| unit.work.maybe_stored).collect();
        units.iter_mut().for_each(|unit| unit.work.maybe_stored = true);
        let began = clock::now();
        let appended = async move {
            let appended = spool.append(events, flush_timeout).await;
            let error = appended.as_ref().err().map(|error| error.kind.as_str());
            let items = units.iter().flat_map(|unit| &unit.work.items);
            items
                .filter_map(|item| Some((item, item.span?)))
                .for_each(|(item, span)| span.spooled(&item.event, began, error));
            if appended.as_ref().is_err_and(|error| error.outcome == StoreOutcome::NotStored) {
                units.iter_mut().zip(before).for_each(|(unit, before)| unit.work.maybe_stored = before);
            }
            (appended, units)
        };
        context.spawn(appended.into_actor(self).map(|(appended, units), persister, context| {
            persister.finish_spooling(appended, units);
            persister.flush(context);
        }));
    }

    fn finish_spooling(&mut self, appended: Result<(), StoreError>, units: Vec<PreparedUnit>) {
        let Some(spool_writer) = &mut self.spool_writer else { return };
        spool_writer.is_busy = false;
        match &appended {
            Ok(()) => self.deps.spooling.succeeded(),
            Err(error) => self.deps.spooling.failed_as(error, error.outline()),
        }
        // One whose answer was late is there, or will be.
        if appended.as_ref().err().is_none_or(|error| error.outcome == StoreOutcome::Unknown) {
            spool_writer.drainer.send(Spooled);
        }
        for unit in units {
            match &appended {
                Ok(()) => self.consequences.settle_spooled(unit),
                Err(_) => self.consequences.give_up(unit),
            }
        }
    }
}

/// What is spooled of a unit: all but what was refused, which is kept only where it can be kept with its reason.
fn events(unit: &PreparedUnit) -> Vec<Arc<Event>> {
    let accepted = unit.records.iter().filter(|record| record.outcome.status != Status::ValidationError);
    accepted.map(|record| record.event.clone()).collect()
}
