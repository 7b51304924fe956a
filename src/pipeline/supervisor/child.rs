//! A place in a pool, and the actor that fills it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::super::gauges::{GaugeReading, Gauges};
use super::super::topology::{Line, Running};
use super::super::unit::Unit;
use super::super::view::ActorView;
use crate::domain::actor_kind::ActorKind;
use crate::domain::outcome::TransientCode;
use crate::telemetry::facts;

/// Longest wait before an actor is replaced.
const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Pause before a thread is requested again where there was none.
const THREAD_PAUSE: Duration = Duration::from_secs(1);

/// How much longer than the hard limit an actor may wait: what it waits for ends within 5 s by itself, so only what
/// never ends takes so long.
const WAIT_MARGIN: Duration = Duration::from_millis(4_500);

/// How an actor came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitReason {
    /// It panicked outside of the work on an event.
    Died,
    /// It worked on one event for longer than the hard limit; its thread is left behind.
    Stuck,
    /// It waited for longer than the hard limit and the margin; its thread is free and ends.
    Hung,
}

/// A place in a pool, and the actor that fills it.
pub(super) struct Child {
    pub kind: ActorKind,
    /// Its number in the pool, from 0.
    pub place: usize,
    name: String,
    gauges: Arc<Gauges>,
    /// What earlier actors in this place counted.
    gone: GaugeReading,
    running: Option<Running>,
    restarts: u64,
    /// Ends within the restart window, for the backoff and for the limit.
    exits: Vec<Instant>,
    restart_at: Option<Instant>,
    last_error: Option<&'static str>,
    /// It is handed nothing more, and ends when it holds nothing.
    is_retiring: bool,
}

impl Child {
    pub fn new(kind: ActorKind, place: usize) -> Self {
        let name = if kind.is_stage() { format!("{}-{}", kind.name(), place + 1) } else { kind.name().to_owned() };
        Self {
            kind,
            place,
            name,
            gauges: Arc::default(),
            gone: GaugeReading::default(),
            running: None,
            restarts: 0,
            exits: Vec::new(),
            restart_at: None,
            last_error: None,
            is_retiring: false,
        }
    }

    /// Puts a fresh actor into the empty place; if there is no thread for it, returns `false` and has it tried again.
    pub fn start(&mut self, line: &Line) -> bool {
        self.running = line.start(self.kind, &self.name, &self.gauges);
        let is_running = self.running.is_some();
        self.restart_at = (!is_running).then(|| Instant::now() + THREAD_PAUSE);
        is_running
    }

    /// Hands the actor nothing more: it finishes what it holds.
    pub fn retire(&mut self, line: &Line) {
        self.is_retiring = true;
        self.restart_at = None;
        if let Some(running) = &self.running {
            line.pools.of(self.kind).remove(running.holder);
        }
    }

    /// What the present actor counts with.
    pub fn gauges(&self) -> Weak<Gauges> {
        Arc::downgrade(&self.gauges)
    }

    pub fn is_retiring(&self) -> bool {
        self.is_retiring
    }

    /// Whether the leaving actor has come to its end; one that holds nothing more is ended here.
    pub fn has_retired(&mut self, line: &Line) -> bool {
        let is_held = |running: &Running| line.tracker.is_holding(running.holder);
        if !self.is_retiring || self.running.as_ref().is_some_and(is_held) {
            return false;
        }
        self.stop();
        true
    }

    /// Starts the replacement whose time has come.
    pub fn restart_if_due(&mut self, now: Instant, line: &Line) {
        let is_due = !self.is_retiring && self.restart_at.is_some_and(|at| at <= now);
        if is_due && self.start(line) {
            self.restarts += 1;
            facts::actor_restarted(&self.name, self.restarts);
        }
    }

    /// Ends the actor and takes its units, which are as they were before it had them; the event in hand is charged
    /// with `cause`. What its thread still does has no effect.
    pub fn reclaim_units(&mut self, line: &Line, cause: Option<TransientCode>) -> Vec<Unit> {
        let Some(running) = self.running.take() else { return Vec::new() };
        line.pools.of(self.kind).remove(running.holder);
        // Before it is retired: one that wakes up in between passes on only what is whole.
        let units = line.tracker.reclaim(running.holder, cause);
        self.gauges.retire();
        running.stop();
        self.gone = self.gauges.read().after(self.gone);
        self.gauges = Arc::default();
        units
    }

    /// Puts a fresh actor into the place of one that has not ended; returns what that one held.
    pub fn replace(&mut self, line: &Line) -> Vec<Unit> {
        let units = self.reclaim_units(line, None);
        if self.start(line) {
            self.restarts += 1;
            facts::actor_restarted(&self.name, self.restarts);
        }
        units
    }

    /// Ends the actor; what it holds is not needed again.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// How the actor has ended since the last look, if it has.
    pub fn end(&self, hard_limit: Duration) -> Option<ExitReason> {
        let running = self.running.as_ref()?;
        if !running.is_alive() {
            Some(ExitReason::Died)
        } else if self.gauges.working_for() > hard_limit {
            Some(ExitReason::Stuck)
        } else {
            (self.gauges.waiting_for() > hard_limit + WAIT_MARGIN).then_some(ExitReason::Hung)
        }
    }

    /// Lets the actor go and takes its units; it is replaced later with every end within the window.
    pub fn schedule_restart(&mut self, end: ExitReason, now: Instant, line: &Line) -> Vec<Unit> {
        let actors = &line.deps.config.actors;
        self.exits.retain(|end| now.duration_since(*end) < actors.restart_window);
        let doublings = u32::try_from(self.exits.len()).unwrap_or(u32::MAX).min(16);
        self.exits.push(now);
        self.restart_at = Some(now + (actors.restart_backoff * 2_u32.pow(doublings)).min(RESTART_BACKOFF_MAX));
        self.last_error = Some(match end {
            ExitReason::Died => "died of a panic outside of an event's work",
            ExitReason::Stuck => "was stuck on one event for longer than timeouts.processing",
            ExitReason::Hung => "waited for longer than timeouts.processing",
        });
        facts::actor_ended(&self.name, self.last_error.unwrap_or_default());
        self.reclaim_units(line, (end == ExitReason::Stuck).then_some(TransientCode::HardTimeout))
    }

    /// Ends of this actor within `window`.
    pub fn exits_within(&self, now: Instant, window: Duration) -> usize {
        self.exits.iter().filter(|end| now.duration_since(**end) < window).count()
    }

    pub fn forget_exits(&mut self) {
        self.exits.clear();
    }

    pub fn view(&self) -> ActorView {
        let reading = self.gauges.read().after(self.gone);
        ActorView {
            name: self.name.clone(),
            state: match self.running {
                _ if self.is_retiring => "leaving",
                Some(_) => "running",
                None => "restarting",
            },
            restarts: self.restarts,
            panics: reading.panics,
            mailbox: reading.mailbox,
            events: reading.events,
            busy_ms: reading.busy_us / 1_000,
            last_error: self.last_error,
        }
    }
}
