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

use self::queue::{FlushQueue, PreparedUnit};
use self::round::{FinishedUnit, WriteOutcome};
pub(super) use self::settle::Settlement;
pub(super) use self::spooling::SpoolWriter;
use self::spooling::is_spooling;
pub(super) use self::write::Writer;
use super::deps::Deps;
use super::messages::Normalized;
use super::receipt::Handling;
use super::stage::Stage;
use super::tracker::TrackedUnit;
use super::unit::{Item, UnitOrigin};
use crate::clock;
use crate::domain::outcome::{Failure, Outcome, Status};
use crate::domain::retry::RetryPolicy;
use crate::store::{FailedAttempt, Record, Written};

/// Wait after a flush that failed, doubled with every further one up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The stage that writes outcomes.
pub(super) struct Persister {
    stage: Stage,
    deps: Arc<Deps>,
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
        deps: Arc<Deps>,
        writer: Arc<Writer>,
        consequences: Settlement,
        spool_writer: Option<SpoolWriter>,
    ) -> Self {
        Self {
            stage,
            deps,
            writer,
            consequences,
            queue: FlushQueue::default(),
            spool_writer,
            is_busy: false,
            backoff: BACKOFF_MIN,
        }
    }

    fn gather(&self, mut work: TrackedUnit) -> PreparedUnit {
        if work.origin == UnitOrigin::Request(Handling::Strict) && work.items.iter().any(Item::is_rejected) {
            return PreparedUnit { work, records: Vec::new(), places: Vec::new(), is_blocked: false };
        }
        let is_spooled = work.is_spooled();
        if work.origin == UnitOrigin::Claim {
            // No client waits for a claimed unit: what counts is how long it waits for the database, not its attempt.
            work.taken_at = Instant::now();
        }
        let policy = self.deps.policy();
        let mut records = Vec::with_capacity(work.items.len());
        let mut places = Vec::with_capacity(work.items.len());
        for (place, item) in work.items.iter_mut().enumerate() {
            let record = record(item, is_spooled, &policy);
            let has_to_be_kept =
                self.deps.config.pipeline.keep_rejected || record.lease.is_some() || record.is_acknowledged;
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
        let accept_timeout = self.deps.config.timeouts.accept;
        self.spool_units(accept_timeout, context);
        if self.is_busy {
            return;
        }
        self.expire_late(accept_timeout);
        let is_outage = self.spool_writer.is_some() && is_spooling(&self.deps);
        let units = self.queue.take(&self.deps.config.pipeline, |unit| !(is_outage && unit.is_new()));
        if units.is_empty() {
            return;
        }
        self.is_busy = true;
        let writer = self.writer.clone();
        let written = self.stage.wait_for(async move { writer.write(units).await });
        context.spawn(written.into_actor(self).map(|finished, persister, context| persister.finish(finished, context)));
    }

    fn finish(&mut self, finished: Vec<FinishedUnit>, context: &mut Context<Self>) {
        let mut again = Vec::new();
        let mut ended = Vec::with_capacity(finished.len());
        for FinishedUnit { unit, ended: how } in finished {
            match how {
                WriteOutcome::Written(written) => ended.push((unit, Ok(written))),
                WriteOutcome::Refused(error) => ended.push((unit, Err(error))),
                WriteOutcome::Again => again.push(unit),
            }
        }
        self.is_busy = false;
        if again.is_empty() || ended.iter().any(|(_, how)| how.is_ok()) {
            self.backoff = BACKOFF_MIN;
        }
        if again.is_empty() {
            // The next flush begins first: the database does not wait while the clients of this one are answered.
            self.flush(context);
            let settled = std::future::ready(ended).into_actor(self);
            context.spawn(settled.map(|ended, persister, _| persister.settle(ended)));
            return;
        }
        self.settle(ended);
        self.queue.put_back(again);
        // In a failure that lasts, what came while the database was tried once more fails at once.
        let lasts = self.deps.writing_fails_for_long();
        let longest = if lasts { Duration::ZERO } else { self.deps.config.timeouts.accept };
        self.spool_units(longest, context);
        self.expire_late(longest);
        self.pause(context);
    }

    /// Reports what became of units that are in the database, or that it refuses.
    fn settle(&self, ended: Vec<(PreparedUnit, Result<Vec<Written>, String>)>) {
        for (unit, how) in ended {
            match how {
                Ok(written) => self.consequences.settle(unit, written),
                Err(error) => self.consequences.refuse(unit, &error),
            }
        }
    }

    /// Gives up what waits for too long: new units, unless they may go to the spool, for `longest`.
    fn expire_late(&mut self, longest: Duration) {
        let now = Instant::now();
        let flush_timeout = self.deps.config.timeouts.flush;
        let has_spool_writer = self.spool_writer.is_some();
        let accept_timeout = self.deps.config.timeouts.accept;
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
    let mut event = item.event.clone();
    if outcome.status == Status::ValidationError && (is_acknowledged || item.lease.is_some()) {
        // It has its row, whatever came before.
        Arc::make_mut(&mut event).key = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::normalize::normalize_event_payload;
    use crate::domain::outcome::NormalizedEvent;
    use crate::domain::submission::Submission;

    // Else every event would take the long way, which nothing but a loss of a fifth of the speed would show.
    #[test]
    fn a_new_event_that_is_processed_at_once_is_plain() {
        let submission = Submission::read(&r#"{"event_name":"a","event_type":"b","payload":{}}"#.to_owned().into());
        let received_at = clock::now() - Duration::from_secs(1);
        let event = Event::new(1, 2, submission.expect("a readable event"), None, received_at);
        let mut item = Item::new(event, received_at, Instant::now() + Duration::from_secs(60));
        let normalized_at = clock::now();
        let properties = normalize_event_payload(item.event.payload(), normalized_at);
        item.result = Some(Ok(NormalizedEvent { properties, normalized_at }));
        let policy = RetryPolicy {
            max_retries: 3,
            delay: Duration::from_secs(2),
            delay_max: Duration::from_secs(60),
            jitter: 0.0,
        };
        assert!(record(&mut item, false, &policy).is_plain());
    }
}
