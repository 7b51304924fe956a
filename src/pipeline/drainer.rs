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

use super::deps::Deps;
use super::messages::{Spooled, Submitted};
use super::pool::Pool;
use super::receipt::Unsettled;
use super::stage::Stage;
use super::tracker::UnitTracker;
use super::turns::{NextTurn, TakesTurns, Turns};
use super::unit::{Item, Unit, UnitOrigin, UnitResult};
use crate::clock;
use crate::domain::outcome::cut;
use crate::store::{ParkedUntil, Spool, SpooledUnit, StoreError};
use crate::telemetry::facts;

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

/// Empties the spool into the line.
pub(super) struct Drainer {
    stage: Stage,
    drain: Drain,
    turns: Turns,
    /// The turn that the next parked unit is waited for with.
    retry: SpawnHandle,
}

/// What a turn works with.
#[derive(Clone)]
struct Drain {
    deps: Arc<Deps>,
    spool: Spool,
    validators: Pool<Submitted>,
    tracker: Arc<UnitTracker>,
    tries: Tries,
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainStep {
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
        deps: Arc<Deps>,
        spool: Spool,
        validators: Pool<Submitted>,
        tracker: Arc<UnitTracker>,
    ) -> Self {
        Self {
            stage,
            drain: Drain { deps, spool, validators, tracker, tries: Tries::default() },
            turns: Turns::new(REST_MIN, REST_MAX),
            retry: SpawnHandle::default(),
        }
    }
}

impl TakesTurns for Drainer {
    type Done = (Result<DrainStep, StoreError>, Tries);

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    fn turn(&mut self, _: bool) -> impl Future<Output = Self::Done> + 'static {
        let mut drain = self.drain.clone();
        async move { (drain.try_batch().await, drain.tries) }
    }

    fn end_turn(&mut self, (step, tries): Self::Done, context: &mut Context<Self>) -> NextTurn {
        self.drain.tries = tries;
        match step {
            Ok(DrainStep::Drained(events)) => {
                facts::drained_from_spool(events, self.drain.spool.level().events);
                NextTurn::AtOnce
            }
            Ok(DrainStep::Empty(_)) if self.turns.is_woken() => NextTurn::AtOnce,
            // Units that come later announce themselves.
            Ok(DrainStep::Empty(next)) => {
                context.cancel_future(self.retry);
                if let Some(next) = next {
                    self.retry = context.run_later(next, Self::take_turn);
                }
                NextTurn::Idle
            }
            Ok(DrainStep::Refused) => NextTurn::Rest,
            Err(error) => {
                facts::spool_unreadable(&error);
                NextTurn::Rest
            }
        }
    }
}

impl Drain {
    async fn try_batch(&mut self) -> Result<DrainStep, StoreError> {
        // What is begun while the line is paused would be blamed for the end of a process that only waited.
        if !self.deps.controls.all_stages_run() {
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
        if !self.deps.writing.is_failing() {
            self.spool.begin(numbers.iter().map(|(number, _)| *number).collect(), WAIT).await?;
        }
        let outcomes = self.send(units).await;
        let mut stored = Vec::new();
        let mut left = Vec::new();
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
        if !self.deps.writing.is_failing() {
            let flush = &self.deps.config.pipeline;
            return self.spool.head(0, flush.flush_events, flush.flush_bytes, WAIT).await;
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
        let mut works = Vec::new();
        let mut outcomes = Vec::new();
        let timeouts = &self.deps.config.timeouts;
        for SpooledUnit { events, gives_up, .. } in units {
            let soft_deadline = Instant::now() + timeouts.processing_soft();
            let items = events.into_iter().map(|event| Item::new(event, clock::now(), soft_deadline));
            let mut unit = Unit::new(UnitOrigin::Spool { gives_up }, items.collect());
            outcomes.push(unit.expect_reply());
            works.push(self.tracker.track(unit));
        }
        self.validators.send(Submitted(works));
        let limit = timeouts.accept + OUTCOME_MARGIN;
        let waiting = outcomes.into_iter().map(|outcome| tokio::time::timeout(limit, outcome));
        join_all(waiting).await.into_iter().map(|outcome| outcome.ok().and_then(Result::ok)).collect()
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
pub(super) struct Tries {
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
