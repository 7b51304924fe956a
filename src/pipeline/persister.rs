//! Persister: the only writer of outcomes, in group commits.
//!
//! Receives [`Normalized`], sends [`Scheduled`](super::messages::Scheduled), [`Spooled`](super::messages::Spooled) and
//! the receipts. It flushes at once when idle and gathers while a write is in flight. While the database is away new
//! units go to the spool, beside the flushes that find out whether it is back. Keeps the units that wait for either. A
//! crash here loses nothing: they go back to the Supervisor and are worked on anew; a flush that was under way may have
//! been committed, and is recognised by the identity of its rows.

mod forms;
mod queue;
mod round;
mod settle;
mod spooling;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

pub(super) use self::queue::FlushLimits;
use self::queue::{FlushQueue, PreparedUnit};
use self::round::{FinishedUnit, WriteOutcome};
pub(super) use self::settle::Settlement;
pub(super) use self::spooling::SpoolWriter;
pub(super) use self::write::Writer;
use super::messages::Normalized;
use super::receipt::Handling;
use super::stage::Stage;
use super::tracker::TrackedUnit;
use super::unit::Item;
use crate::clock;
use crate::domain::event::Event;
use crate::domain::outcome::{Failure, Outcome, Status};
use crate::domain::retry::RetryPolicy;
use crate::store::{FailedAttempt, Record};

/// Wait after a flush that failed, doubled with every further one up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What a Persister is to do beside writing.
#[derive(Clone)]
pub(super) struct PersisterRules {
    pub flush: FlushLimits,
    pub accept_timeout: Duration,
    pub keep_rejected: bool,
    pub policy: RetryPolicy,
}

/// The last stage of the line.
pub(super) struct Persister {
    stage: Stage,
    rules: PersisterRules,
    writer: Arc<Writer>,
    consequences: Settlement,
    queue: FlushQueue,
    spool_writer: Option<SpoolWriter>,
    is_busy: bool,
    backoff: Duration,
}

impl Persister {
    /// With a `spool_writer`, new units survive an outage of the database.
    pub fn new(
        stage: Stage,
        rules: PersisterRules,
        writer: Arc<Writer>,
        consequences: Settlement,
        spool_writer: Option<SpoolWriter>,
    ) -> Self {
        let (queue, is_busy, backoff) = (FlushQueue::default(), false, BACKOFF_MIN);
        Self { stage, rules, writer, consequences, queue, spool_writer, is_busy, backoff }
    }

    fn gather(&self, mut work: TrackedUnit) -> PreparedUnit {
        if work.handling == Handling::Strict && work.items.iter().any(Item::is_rejected) {
            return PreparedUnit { work, records: Vec::new(), places: Vec::new(), is_blocked: false };
        }
        let is_spooled = work.is_spooled;
        if work.items.iter().all(|item| item.lease.is_some()) {
            // No client waits for a claimed unit: what counts is how long it waits for the database, not its attempt.
            work.taken_at = Instant::now();
        }
        let (mut records, mut places) = (Vec::with_capacity(work.items.len()), Vec::with_capacity(work.items.len()));
        for (place, item) in work.items.iter_mut().enumerate() {
            let record = record(item, is_spooled, &self.rules.policy);
            let has_to_be_kept = self.rules.keep_rejected || record.lease.is_some() || record.is_acknowledged;
            if has_to_be_kept || record.outcome.status != Status::ValidationError {
                records.push(record);
                places.push(place);
            }
        }
        PreparedUnit { work, records, places, is_blocked: false }
    }

    fn flush(&mut self, context: &mut Context<Self>) {
        // What was taken back is written by another actor.
        if self.stage.gauges.is_retired() {
            return;
        }
        let accept_timeout = self.rules.accept_timeout;
        self.spool_units(accept_timeout, context);
        if self.is_busy {
            return;
        }
        self.expire_late(accept_timeout);
        let is_outage = self.spool_writer.as_ref().is_some_and(SpoolWriter::takes_new_units);
        let units = self.queue.take(self.rules.flush, |unit| !(is_outage && unit.is_new()));
        if units.is_empty() {
            return;
        }
        self.is_busy = true;
        let (stage, wait, writer) = (self.stage.clone(), self.stage.gauges.wait(), self.writer.clone());
        let written = async move {
            let _wait = wait;
            stage.turn().await;
            writer.write(units).await
        };
        context.spawn(written.into_actor(self).map(|finished, persister, context| persister.finish(finished, context)));
    }

    fn finish(&mut self, finished: Vec<FinishedUnit>, context: &mut Context<Self>) {
        let (mut again, mut has_written) = (Vec::new(), false);
        for FinishedUnit { unit, ended } in finished {
            match ended {
                WriteOutcome::Written(written) => {
                    has_written = true;
                    self.consequences.settle(unit, written);
                }
                WriteOutcome::Refused(error) => self.consequences.refuse(unit, &error),
                WriteOutcome::Again => again.push(unit),
            }
        }
        self.is_busy = false;
        if again.is_empty() || has_written {
            self.backoff = BACKOFF_MIN;
        }
        if again.is_empty() {
            return self.flush(context);
        }
        self.queue.put_back(again);
        // In a failure that lasts, what came while the database was tried once more fails at once.
        let lasts = self.writer.has_failed_for_long();
        let longest = if lasts { Duration::ZERO } else { self.rules.accept_timeout };
        self.spool_units(longest, context);
        self.expire_late(longest);
        self.pause(context);
    }

    /// Gives up what waits for too long: new units, unless they may go to the spool, for `longest`.
    fn expire_late(&mut self, longest: Duration) {
        let (now, flush_timeout, has_spool_writer) =
            (Instant::now(), self.writer.flush_timeout, self.spool_writer.is_some());
        let accept_timeout = self.rules.accept_timeout;
        let is_lost = |unit: &PreparedUnit| match unit.is_new() {
            true => !has_spool_writer && unit.is_late(now, longest, flush_timeout),
            false => unit.is_late(now, accept_timeout, flush_timeout),
        };
        for unit in self.queue.take_all(is_lost) {
            self.consequences.give_up(unit);
        }
    }

    /// Leaves the database alone for a while; what comes in the meantime waits as well.
    fn pause(&mut self, context: &mut Context<Self>) {
        self.is_busy = true;
        context.run_later(self.backoff, |persister, context| {
            persister.is_busy = false;
            persister.flush(context);
        });
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

impl Actor for Persister {
    type Context = Context<Self>;
}

impl Handler<Normalized> for Persister {
    type Result = ();

    fn handle(&mut self, Normalized(mut works): Normalized, context: &mut Context<Self>) {
        self.stage.gauges.took();
        self.stage.each(&mut works, Item::is_valid, |_| {});
        for work in works {
            let gathered = self.gather(work);
            if gathered.records.is_empty() {
                self.consequences.settle(gathered, Vec::new());
            } else if gathered.is_to_be_drained_later() {
                self.consequences.give_up(gathered);
            } else {
                self.queue.push(gathered);
            }
        }
        self.flush(context);
    }
}

/// The state that the item's row is to take.
fn record(item: &mut Item, is_acknowledged: bool, policy: &RetryPolicy) -> Record {
    let now = clock::now();
    let outcome = match item.result.take() {
        Some(Ok(normal)) => Outcome::of(&item.event, Ok(normal), policy, now),
        Some(Err(failure)) => {
            let outcome = Outcome::of(&item.event, Err(&failure), policy, now);
            item.result = Some(Err(failure));
            outcome
        }
        None => Outcome::deferred(&item.event),
    };
    let mut event = Event::clone(&item.event);
    if outcome.status == Status::ValidationError && (is_acknowledged || item.lease.is_some()) {
        // It has its row, whatever came before.
        event.key = None;
    }
    Record {
        event,
        failed_attempt: failed_attempt(item, &outcome),
        outcome,
        lease: item.lease,
        is_acknowledged,
        started_at: item.started_at,
        finished_at: now.max(item.started_at),
    }
}

fn failed_attempt(item: &Item, outcome: &Outcome) -> Option<FailedAttempt> {
    let Some(Err(Failure::Transient(failure))) = &item.result else { return None };
    let error = outcome.processing_error.clone().unwrap_or_default();
    Some(FailedAttempt { stage: failure.stage, error_code: failure.code.as_str(), error })
}
