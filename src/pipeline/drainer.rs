//! Drainer: brings spooled events into the database.
//!
//! Receives [`Spooled`], sends [`Submitted`]. A spooled unit goes down the line once more, in the order in which it
//! came, and is removed from the spool when the Persister says that it is stored. During an outage one unit at a time
//! is tried, which finds the outage's end. Keeps nothing but the batch that it waits for. A crash here loses nothing:
//! what is not removed is drained again, and recognised by its identity where it is stored already.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::custody::Custody;
use super::door::{Receipt, Unsettled};
use super::messages::{Item, Reply, Spooled, Submitted, Unit};
use super::pool::Pool;
use super::stage::Stage;
use crate::clock;
use crate::domain::event::Event;
use crate::store::{Spool, SpooledUnit, StoreError};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Longest wait for the spool's file.
const WAIT: Duration = Duration::from_secs(10);

/// Rest after a try that failed, doubled with every further one up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(1);

/// How much longer than the line's own limit an outcome is waited for.
const OUTCOME_MARGIN: Duration = Duration::from_secs(2);

/// What a unit is parked for; the log has the database's own words.
const NOT_TAKEN: &str = "the database takes the unit in no form, or its ids belong to other events";

/// What a Drainer is to do.
#[derive(Clone)]
pub(super) struct DrainerRules {
    pub events_max: usize,
    pub bytes_max: usize,
    pub accept_timeout: Duration,
    pub soft_timeout: Duration,
}

/// Empties the spool into the line.
#[derive(Clone)]
pub(super) struct Drainer {
    stage: Stage,
    spool: Spool,
    rules: DrainerRules,
    writing: Arc<Condition>,
    validators: Pool<Submitted>,
    custody: Arc<Custody>,
    /// At work, or at rest after a try that failed.
    is_busy: bool,
    /// Something came in the meantime.
    is_woken: bool,
    rest: Duration,
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing is left to do.
    Empty,
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
        custody: Arc<Custody>,
    ) -> Self {
        Self { stage, spool, rules, writing, validators, custody, is_busy: false, is_woken: false, rest: REST_MIN }
    }

    fn take_turn(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            self.is_woken = true;
            return;
        }
        self.is_woken = false;
        let turn = self.clone().drain_once().into_actor(self);
        context.spawn(turn.map(|turn, drainer, context| drainer.end_turn(turn, context)));
    }

    fn end_turn(&mut self, turn: Result<Turn, StoreError>, context: &mut Context<Self>) {
        match turn {
            Ok(Turn::Drained(events)) => {
                facts::drained_from_spool(events, self.spool.level().events);
                self.rest = REST_MIN;
                self.go_on(context);
            }
            Ok(Turn::Empty) if self.is_woken => self.go_on(context),
            // Units that come later announce themselves.
            Ok(Turn::Empty) => self.is_busy = false,
            Ok(Turn::Refused) => self.take_rest(context),
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

    async fn drain_once(self) -> Result<Turn, StoreError> {
        let events_max = if self.writing.is_failing() { 1 } else { self.rules.events_max };
        let units = self.spool.head(events_max, self.rules.bytes_max, WAIT).await?;
        if units.is_empty() {
            return Ok(Turn::Empty);
        }
        let (numbers, events) = (numbers(&units), units.iter().map(|unit| unit.events.len()).sum());
        let outcomes = self.send(units).await;
        let parked = self.park(&numbers, &outcomes).await?;
        let stored = numbers.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, Some(Ok(_))));
        let stored: Vec<i64> = stored.map(|(number, _)| *number).collect();
        let is_all = stored.len() + parked.len() == numbers.len();
        if !stored.is_empty() {
            self.spool.remove(stored, WAIT).await?;
        }
        Ok(if is_all { Turn::Drained(events) } else { Turn::Refused })
    }

    /// Sends the units down the line; their outcomes in the same order, `None` for one that did not come in time.
    async fn send(&self, units: Vec<SpooledUnit>) -> Vec<Option<Outcome>> {
        let (mut works, mut outcomes) = (Vec::new(), Vec::new());
        for unit in units {
            let (reply, outcome) = oneshot::channel();
            works.push(self.custody.entrust(self.unit(unit.events, reply)));
            outcomes.push(outcome);
        }
        self.validators.send(Submitted(works));
        let limit = self.rules.accept_timeout + OUTCOME_MARGIN;
        let waiting = outcomes.into_iter().map(|outcome| tokio::time::timeout(limit, outcome));
        join_all(waiting).await.into_iter().map(|outcome| outcome.ok().and_then(Result::ok)).collect()
    }

    fn unit(&self, events: Vec<Event>, reply: Reply) -> Unit {
        let (now, taken_at) = (clock::now(), Instant::now());
        let item = |event| Item {
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
            // It may lie here because the answer to its first write was lost.
            maybe_stored: true,
        }
    }

    /// Sets units apart that will never be stored, so that they hold up nothing.
    async fn park(&self, numbers: &[i64], outcomes: &[Option<Outcome>]) -> Result<HashSet<i64>, StoreError> {
        let mut parked = HashSet::new();
        for (number, outcome) in numbers.iter().zip(outcomes) {
            if matches!(outcome, Some(Err(Unsettled::Impossible))) {
                facts::spooled_unit_parked(*number);
                self.spool.park(*number, NOT_TAKEN.to_owned(), WAIT).await?;
                parked.insert(*number);
            }
        }
        Ok(parked)
    }
}

/// What the line says of a unit.
type Outcome = Result<Vec<Receipt>, Unsettled>;

fn numbers(units: &[SpooledUnit]) -> Vec<i64> {
    units.iter().map(|unit| unit.number).collect()
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
