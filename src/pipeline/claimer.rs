//! Claimer: brings stored events back into the line.
//!
//! Receives [`Due`] (an empty one when a suspect was settled and the next may run) and [`WorkNotified`], sends
//! [`Submitted`]. It claims what the timers name, polls for what they missed, takes over the claims of dead nodes, and
//! gives back leases that have no work behind them. Decides here what a turn has to do; `turn` does it. Keeps what the
//! timers named and what it saw of other nodes. A crash here loses nothing: claims are guarded work from the moment
//! they are made, and the poll finds every other event.

mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use self::turn::{ClaimTurn, Claims};
use super::deps::Deps;
use super::failure_detector::FailureDetector;
use super::messages::{Due, Submitted};
use super::pool::Pool;
use super::stage::Stage;
use super::tracker::UnitTracker;
use super::turns::{NextTurn, TakesTurns, Turns};
use crate::store::{Notification, NotificationListener};

/// Readings of the other nodes' heartbeats in a lease time.
const OBSERVATIONS_PER_LEASE: u32 = 4;

/// How often boots that are long gone are removed.
const PRUNE_PERIOD: Duration = Duration::from_secs(3_600);

/// Another node may have left work that is due.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkNotified;

/// Passes notifications to a Claimer, for as long as it lives.
struct ClaimerListener(Addr<Claimer>);

impl NotificationListener for ClaimerListener {
    fn wake(&self) {
        // Where the mailbox is full, a turn is still to come.
        let _ = self.0.try_send(WorkNotified);
    }

    fn is_listening(&self) -> bool {
        self.0.connected()
    }
}

/// Claims events of the database for this node.
pub(super) struct Claimer {
    stage: Stage,
    deps: Arc<Deps>,
    validators: Pool<Submitted>,
    tracker: Arc<UnitTracker>,
    /// Woken when it is time to poll, or more is waiting than was taken.
    turns: Turns,
    due: BTreeSet<i64>,
    chores: Schedule,
    /// With the turn that is under way, else here.
    detector: Option<FailureDetector>,
}

/// What is done from time to time, and when it was done last; `None` before the first time.
#[derive(Default)]
struct Schedule {
    observed: Option<Instant>,
    searched: Option<Instant>,
    pruned: Option<Instant>,
}

/// What a turn does beside claiming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chores {
    /// Reads the heartbeats of the other nodes.
    observes: bool,
    /// Looks for leases of this node without work behind them.
    searches: bool,
    /// Removes boots that are long gone.
    prunes: bool,
}

impl Schedule {
    /// What is due now: the reading and the search at once, for what an earlier boot left behind.
    fn take_due(&mut self, now: Instant, lease: Duration) -> Chores {
        let is_over = |since: &mut Option<Instant>, period: Duration| {
            let is_over = since.is_none_or(|since| now.duration_since(since) >= period);
            if is_over {
                *since = Some(now);
            }
            is_over
        };
        // Nothing is long gone when a node starts that was not at the end of the one before.
        self.pruned.get_or_insert(now);
        Chores {
            observes: is_over(&mut self.observed, lease / OBSERVATIONS_PER_LEASE),
            searches: is_over(&mut self.searched, lease),
            prunes: is_over(&mut self.pruned, PRUNE_PERIOD),
        }
    }
}

impl Claimer {
    pub fn new(stage: Stage, deps: Arc<Deps>, validators: Pool<Submitted>, tracker: Arc<UnitTracker>) -> Self {
        let detector = FailureDetector::new(deps.identity.boot_id, deps.config.lease.duration);
        Self {
            stage,
            deps,
            validators,
            tracker,
            turns: Turns::new(Duration::ZERO, Duration::ZERO),
            due: BTreeSet::new(),
            chores: Schedule::default(),
            detector: Some(detector),
        }
    }

    /// Polls now, and again after the period, more or less: nodes that started together must not poll in step.
    fn poll(&mut self, context: &mut Context<Self>) {
        self.turns.wake();
        self.take_turn(context);
        context.run_later(self.deps.config.lease.poll.mul_f64(rand::random_range(0.75..1.25)), Self::poll);
    }
}

impl TakesTurns for Claimer {
    type Done = (Claims, FailureDetector);

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    fn turn(&mut self, is_woken: bool) -> impl Future<Output = Self::Done> + 'static {
        let turn = ClaimTurn {
            deps: self.deps.clone(),
            tracker: self.tracker.clone(),
            detector: self.detector.take().expect("the last turn gave it back"),
            chores: self.chores.take_due(Instant::now(), self.deps.config.lease.duration),
            due: std::mem::take(&mut self.due).into_iter().collect(),
            polls: is_woken,
            went: None,
        };
        self.stage.wait_for(turn.run())
    }

    fn end_turn(&mut self, (claims, detector): Self::Done, _: &mut Context<Self>) -> NextTurn {
        self.detector = Some(detector);
        if !claims.units.is_empty() {
            self.validators.send(Submitted(claims.units));
        }
        if claims.is_full {
            self.turns.wake();
        }
        // More is requested when half of the room is free again, not with every event that ends.
        let lease = &self.deps.config.lease;
        let has_room = !claims.is_full || self.deps.claims.await_at_most(lease.claim_events / 2, lease.claim_bytes / 2);
        let goes_on = !self.due.is_empty() || (self.turns.is_woken() && has_room);
        if goes_on { NextTurn::AtOnce } else { NextTurn::Idle }
    }
}

impl Actor for Claimer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.poll(context);
        self.deps.store.listen(Notification::Due, ClaimerListener(context.address()));
    }
}

impl Handler<Due> for Claimer {
    type Result = ();

    fn handle(&mut self, Due(event_ids): Due, context: &mut Context<Self>) {
        self.stage.gauges.took();
        self.due.extend(event_ids);
        self.take_turn(context);
    }
}

impl Handler<WorkNotified> for Claimer {
    type Result = ();

    fn handle(&mut self, _: WorkNotified, context: &mut Context<Self>) {
        self.turns.wake();
        self.take_turn(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chores_come_at_once_and_then_in_their_own_time() {
        let lease = Duration::from_secs(10);
        let mut schedule = Schedule::default();
        let start = Instant::now();
        let mut at = |after: Duration| {
            let Chores { observes, searches, prunes } = schedule.take_due(start + after, lease);
            [observes, searches, prunes]
        };
        assert_eq!(at(Duration::ZERO), [true, true, false]);
        assert_eq!(at(lease / 5), [false, false, false]);
        assert_eq!(at(lease / 4), [true, false, false]);
        assert_eq!(at(lease), [true, true, false]);
        assert_eq!(at(PRUNE_PERIOD), [true, true, true]);
    }
}
