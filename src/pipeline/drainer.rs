//! Drainer: brings spooled events into the database.
//!
//! Receives [`Spooled`], sends [`Submitted`]. A spooled unit goes down the line once more, in the order in which it
//! came, and is removed from the spool when the Persister says that it is stored. During an outage one unit at a time
//! is tried, another one each time, which finds the outage's end. A unit that is never stored while others are, or of
//! which several processes died, is parked. Keeps the batch that it waits for, and counts of tries. A crash here loses
//! nothing: what is not removed is drained again, and recognised by its identity where it is stored already.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::applied_controls::AppliedControls;
use super::messages::{Spooled, Submitted};
use super::pool::Pool;
use super::receipt::{Handling, Receipt, Unsettled};
use super::stage::Stage;
use super::tracker::UnitTracker;
use super::unit::{Item, Reply, Unit};
use crate::clock;
use crate::domain::event::Event;
use crate::domain::outcome::cut;
use crate::store::{ParkedUntil, Spool, SpooledUnit, StoreError};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;
use crate::telemetry::spans::AttemptSpan;

/// Longest wait for the spool's file.
const WAIT: Duration = Duration::from_secs(10);

/// Rest after a try that failed, doubled with every further one up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(1);

/// How much longer than the line's own limit to wait for an outcome.
const OUTCOME_MARGIN: Duration = Duration::from_secs(2);

/// How often a unit may be tried in vain while others are stored.
const TRIES_MAX: u32 = 10;

/// How many processes may end while a unit is at work before it is taken for the cause.
const DEATHS_MAX: u32 = 4;

/// Why a unit is parked where the database gives no reason.
const NEVER_TAKEN: &str = "the database did not take the unit while it took others";
const DEADLY: &str = "several processes died at work on the unit";
const UNREADABLE: &str = "the unit cannot be read";

/// What a Drainer is to do.
#[derive(Clone)]
pub(super) struct DrainerRules {
    pub events_max: usize,
    pub bytes_max: usize,
    pub accept_timeout: Duration,
    pub soft_timeout: Duration,
    pub controls: Arc<AppliedControls>,
}

/// Empties the spool into the line.
#[derive(Clone)]
pub(super) struct Drainer {
    stage: Stage,
    spool: Spool,
    rules: DrainerRules,
    writing: Arc<Condition>,
    validators: Pool<Submitted>,
    tracker: Arc<UnitTracker>,
    /// At work, or at rest after a try that failed.
    is_busy: bool,
    tries: Tries,
    /// Something came in the meantime.
    is_woken: bool,
    rest: Duration,
    /// The turn that the next parked unit is waited for with.
    retry: SpawnHandle,
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainStep {
    /// Nothing is left to do, until a parked unit is to be tried again.
    Empty(Option<Duration>),
    /// These many events are in the database now; more may wait.
    Drained(usize),
    /// The database did not take the batch.
    Refused,
}

impl Drainer {
    pub fn new(
        stage: Stage,
        spool: Spool,
        rules: DrainerRules,
        writing: Arc<Condition>,
        validators: Pool<Submitted>,
        tracker: Arc<UnitTracker>,
    ) -> Self {
        Self {
            stage,
            spool,
            rules,
            writing,
            validators,
            tracker,
            is_busy: false,
            tries: Tries::default(),
            is_woken: false,
            rest: REST_MIN,
            retry: SpawnHandle::default(),
        }
    }

    fn take_turn(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            self.is_woken = true;
            return;
        }
        self.is_woken = false;
        let turn = self.clone().drain_once().into_actor(self);
        context.spawn(turn.map(|(turn, tries), drainer, context| {
            drainer.tries = tries;
            drainer.end_turn(turn, context);
        }));
    }

    fn end_turn(&mut self, turn: Result<DrainStep, StoreError>, context: &mut Context<Self>) {
        match turn {
            Ok(DrainStep::Drained(events)) => {
                facts::drained_from_spool(events, self.spool.level().events);
                self.rest = REST_MIN;
                self.go_on(context);
            }
            Ok(DrainStep::Empty(_)) if self.is_woken => self.go_on(context),
            // Units that come later announce themselves.
            Ok(DrainStep::Empty(next)) => {
                self.is_busy = false;
                context.cancel_future(self.retry);
                if let Some(next) = next {
                    self.retry = context.run_later(next, Self::take_turn);
                }
            }
            Ok(DrainStep::Refused) => self.take_rest(context),
            Err(error) => {
                facts::spool_unreadable(&error);
                self.take_rest(context);
            }
        }
    }

    fn go_on(&mut self, context: &mut Context<Self>) {
        self.is_busy = false;
        self.take_turn(context);
    }

    fn take_rest(&mut self, context: &mut Context<Self>) {
        context.run_later(self.rest, Self::go_on);
        self.rest = (self.rest * 2).min(REST_MAX);
    }

    async fn drain_once(mut self) -> (Result<DrainStep, StoreError>, Tries) {
        let turn = self.try_batch().await;
        (turn, self.tries)
    }

    async fn try_batch(&mut self) -> Result<DrainStep, StoreError> {
        // What is begun while the line is paused would be blamed for the end of a process that only waited.
        if !self.rules.controls.all_stages_run() {
            return Ok(DrainStep::Refused);
        }
        let units = self.next_batch().await?;
        if units.is_empty() {
            return Ok(DrainStep::Empty(self.spool.next_retry(WAIT).await?));
        }
        let (unreadable, units): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| !unit.is_readable);
        for unit in unreadable {
            self.park(unit.number, UNREADABLE, ParkedUntil::Later).await?;
        }
        let (deadly, units): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.deaths >= DEATHS_MAX);
        for unit in deadly {
            self.park(unit.number, DEADLY, ParkedUntil::Commanded).await?;
        }
        let numbers: Vec<(i64, usize)> = units.iter().map(|unit| (unit.number, unit.events.len())).collect();
        let events = units.iter().map(|unit| unit.events.len()).sum();
        if units.is_empty() {
            return Ok(DrainStep::Drained(0));
        }
        // In an outage work on a unit lasts long, and an end in the middle says nothing about the unit.
        if !self.writing.is_failing() {
            self.spool.begin(numbers.iter().map(|(number, _)| *number).collect(), WAIT).await?;
        }
        let outcomes = self.send(units).await;
        let (mut stored, mut left) = (Vec::new(), Vec::new());
        for ((number, events), outcome) in numbers.into_iter().zip(outcomes) {
            match outcome {
                Some(Ok(_)) => stored.push(number),
                // A single event is at fault: the others do not wait for it.
                Some(Err(Unsettled::Impossible(_))) if events > 1 => self.spool.split(number, WAIT).await?,
                Some(Err(Unsettled::Impossible(why))) => self.park(number, &why, ParkedUntil::Later).await?,
                _ if self.tries.failed(number) >= TRIES_MAX => {
                    self.park(number, NEVER_TAKEN, ParkedUntil::Later).await?
                }
                _ => left.push(number),
            }
        }
        if !stored.is_empty() {
            self.tries.stored(&stored);
            self.spool.remove(stored, WAIT).await?;
        }
        if left.is_empty() {
            return Ok(DrainStep::Drained(events));
        }
        self.spool.end(left, WAIT).await?;
        Ok(DrainStep::Refused)
    }

    /// In an outage one unit, another one each time: what is wrong may be the unit.
    async fn next_batch(&mut self) -> Result<Vec<SpooledUnit>, StoreError> {
        if !self.writing.is_failing() {
            return self.spool.head(0, self.rules.events_max, self.rules.bytes_max, WAIT).await;
        }
        let mut units = self.spool.head(self.tries.last, 1, 0, WAIT).await?;
        if units.is_empty() {
            units = self.spool.head(0, 1, 0, WAIT).await?;
        }
        self.tries.last = units.first().map_or(0, |unit| unit.number);
        Ok(units)
    }

    /// Sends the units down the line; their outcomes in the same order, `None` for one that did not come in time.
    async fn send(&self, units: Vec<SpooledUnit>) -> Vec<Option<UnitResult>> {
        let (mut works, mut outcomes) = (Vec::new(), Vec::new());
        for unit in units {
            let (reply, outcome) = oneshot::channel();
            works.push(self.tracker.track(self.unit(unit, reply)));
            outcomes.push(outcome);
        }
        self.validators.send(Submitted(works));
        let limit = self.rules.accept_timeout + OUTCOME_MARGIN;
        let waiting = outcomes.into_iter().map(|outcome| tokio::time::timeout(limit, outcome));
        join_all(waiting).await.into_iter().map(|outcome| outcome.ok().and_then(Result::ok)).collect()
    }

    fn unit(&self, SpooledUnit { events, gives_up, .. }: SpooledUnit, reply: Reply) -> Unit {
        let (now, taken_at) = (clock::now(), Instant::now());
        let item = |event: Event| Item {
            span: AttemptSpan::begin(&event),
            event: Arc::new(event),
            lease: None,
            started_at: now,
            soft_deadline: taken_at + self.rules.soft_timeout,
            result: None,
            has_lines: facts::may_write_lines(),
        };
        Unit {
            items: events.into_iter().map(item).collect(),
            reply: Some(reply),
            taken_at,
            permit: None,
            is_spooled: true,
            gives_up,
            // It may be in the spool because the answer to its first write was lost.
            maybe_stored: true,
            handling: Handling::Lenient,
        }
    }

    /// Sets a unit apart, so that it holds up nothing.
    async fn park(&mut self, number: i64, why: &str, until: ParkedUntil) -> Result<(), StoreError> {
        self.tries.failures.remove(&number);
        self.spool.end(vec![number], WAIT).await?;
        let tries = self.spool.park_until(number, cut(why), until, WAIT).await?;
        facts::spooled_unit_parked(number, why, tries);
        Ok(())
    }
}

/// Which units were tried in vain while others were stored.
#[derive(Clone, Debug, Default)]
struct Tries {
    /// The unit that was tried last in an outage.
    last: i64,
    /// Batches of which something was stored.
    successes: u64,
    /// Tries in vain of each unit, and the successes at the last of them.
    failures: HashMap<i64, (u32, u64)>,
}

impl Tries {
    /// Notes that the unit was not stored; returns how often that was so although others were stored in between.
    fn failed(&mut self, number: i64) -> u32 {
        let (tries, seen) = self.failures.entry(number).or_insert((0, self.successes));
        if *seen < self.successes {
            (*tries, *seen) = (*tries + 1, self.successes);
        }
        *tries
    }

    fn stored(&mut self, numbers: &[i64]) {
        self.successes += 1;
        self.failures.retain(|number, _| !numbers.contains(number));
    }
}

/// What the line returns for a unit.
type UnitResult = Result<Vec<Receipt>, Unsettled>;

impl Actor for Drainer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // For what an earlier boot left behind.
        self.take_turn(context);
    }
}

impl Handler<Spooled> for Drainer {
    type Result = ();

    fn handle(&mut self, _: Spooled, context: &mut Context<Self>) {
        self.stage.gauges.took();
        self.take_turn(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tries_in_vain_between_which_others_were_stored_count() {
        let mut tries = Tries::default();
        assert_eq!([tries.failed(7), tries.failed(7)], [0, 0], "an outage fails everything");
        for success in 1..=3 {
            tries.stored(&[success]);
            assert_eq!([tries.failed(7), tries.failed(7)], [u32::try_from(success).expect("small"); 2]);
        }
        tries.stored(&[7]);
        assert_eq!(tries.failed(7), 0, "it was stored after all");
    }
}
