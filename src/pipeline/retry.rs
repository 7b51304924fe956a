//! Retry: the backoff timers.
//!
//! Receives [`Scheduled`], sends [`Due`]. Keeps the events of this node that wait for a retry, at most
//! [`WAITING_MAX`]. A crash here loses only the timers: the Claimer's poll finds the events by `next_attempt_at`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::deps::Deps;
use super::messages::{Due, Scheduled};
use super::pool::Pool;
use super::stage::Stage;

/// Most events that wait in memory; what does not fit is found by the poll.
const WAITING_MAX: usize = 100_000;

/// Events of one [`Due`]; more follow in the next turn.
const DUE_MAX: usize = 1_000;

/// A timer runs this much longer than its delay, so that the database's clock has passed the time as well.
const CLOCK_MARGIN: Duration = Duration::from_millis(5);

/// Holds events back until their retry is due.
pub(super) struct Retry {
    stage: Stage,
    waiting: BinaryHeap<Reverse<(Instant, i64)>>,
    timer: Option<(Instant, SpawnHandle)>,
    claimer: Pool<Due>,
    deps: Arc<Deps>,
}

impl Retry {
    pub fn new(stage: Stage, deps: Arc<Deps>, claimer: Pool<Due>) -> Self {
        let retry = Self { stage, waiting: BinaryHeap::new(), timer: None, claimer, deps };
        retry.show_depth();
        retry
    }

    fn show_depth(&self) {
        self.deps.retries_waiting.store(self.waiting.len(), Ordering::Relaxed);
    }

    /// One timer runs, for the earliest event.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        let Some(Reverse((earliest, _))) = self.waiting.peek().copied() else { return };
        if let Some((at, handle)) = self.timer {
            if at <= earliest {
                return;
            }
            context.cancel_future(handle);
        }
        let delay = earliest.saturating_duration_since(Instant::now());
        self.timer = Some((earliest, context.run_later(delay, Self::ring)));
    }

    fn ring(&mut self, context: &mut Context<Self>) {
        self.stage.gauges.begin();
        self.timer = None;
        self.stage.strike();
        let due = self.take_due(Instant::now());
        if !due.is_empty() {
            self.claimer.send(Due(due));
        }
        self.set_timer(context);
        self.stage.gauges.end();
    }

    fn take_due(&mut self, now: Instant) -> Vec<i64> {
        let mut due = Vec::new();
        while due.len() < DUE_MAX && self.waiting.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(self.waiting.pop().map(|Reverse((_, event_id))| event_id));
        }
        self.show_depth();
        due
    }
}

impl Actor for Retry {
    type Context = Context<Self>;
}

impl Handler<Scheduled> for Retry {
    type Result = ();

    fn handle(&mut self, Scheduled { event_ids, delay }: Scheduled, context: &mut Context<Self>) {
        self.stage.gauges.took();
        let at = Instant::now() + delay + CLOCK_MARGIN;
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(event_ids.into_iter().take(room).map(|event_id| Reverse((at, event_id))));
        self.show_depth();
        self.set_timer(context);
    }
}
