//! A place in a pool, and the actor that fills it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::super::messages::Lost;
use super::super::pool::Gauges;
use super::super::topology::{Kind, Parts, Pools, Running, start};
use super::super::view::ActorView;
use crate::telemetry::facts;

/// Longest wait before an actor is replaced.
const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How an actor came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It panicked outside of the work on an event.
    Died,
    /// It worked on one event for longer than the hard limit; its thread is left behind.
    Stuck,
}

/// A place in a pool, and the actor that fills it.
pub(super) struct Child {
    pub kind: Kind,
    place: usize,
    name: String,
    gauges: Arc<Gauges>,
    running: Option<Running>,
    restarts: u64,
    /// Ends within the restart window, for the backoff and for the limit.
    ends: Vec<Instant>,
    restart_at: Option<Instant>,
    last_error: Option<&'static str>,
}

impl Child {
    pub fn new(kind: Kind, place: usize, size: usize) -> Self {
        let name = if size == 1 { kind.name().to_owned() } else { format!("{}-{}", kind.name(), place + 1) };
        Self {
            kind,
            place,
            name,
            gauges: Arc::default(),
            running: None,
            restarts: 0,
            ends: Vec::new(),
            restart_at: None,
            last_error: None,
        }
    }

    /// Puts a fresh actor in the place; whatever was there is stopped.
    pub fn start(&mut self, parts: &Parts, pools: &Pools, lost: Recipient<Lost>) {
        self.stop();
        self.running = Some(start(self.kind, self.place, &self.gauges, parts, pools, lost));
        self.restart_at = None;
    }

    /// Starts the replacement whose time has come.
    pub fn restart_if_due(&mut self, now: Instant, parts: &Parts, pools: &Pools, lost: Recipient<Lost>) {
        if self.restart_at.is_some_and(|at| at <= now) {
            self.start(parts, pools, lost);
            self.restarts += 1;
            facts::actor_restarted(&self.name, self.restarts);
        }
    }

    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// How the actor has ended since the last look, if it has.
    pub fn end(&self, hard_limit: Duration) -> Option<End> {
        let running = self.running.as_ref()?;
        if !running.is_alive() {
            Some(End::Died)
        } else {
            (self.gauges.working_for() > hard_limit).then_some(End::Stuck)
        }
    }

    /// Lets the actor go, and sets when it is replaced: later with every end within `window`.
    pub fn let_go(&mut self, end: End, now: Instant, window: Duration, backoff: Duration) {
        self.stop();
        self.gauges.mailbox_died();
        self.gauges.end();
        self.ends.retain(|end| now.duration_since(*end) < window);
        let doublings = u32::try_from(self.ends.len()).unwrap_or(u32::MAX).min(16);
        self.ends.push(now);
        self.restart_at = Some(now + (backoff * 2_u32.pow(doublings)).min(RESTART_BACKOFF_MAX));
        self.last_error = Some(match end {
            End::Died => "died of a panic outside of an event's work",
            End::Stuck => "was stuck on one event for longer than timeouts.processing",
        });
        facts::actor_ended(&self.name, self.last_error.unwrap_or_default());
    }

    /// Ends of this actor within `window`.
    pub fn ends_within(&self, now: Instant, window: Duration) -> usize {
        self.ends.iter().filter(|end| now.duration_since(**end) < window).count()
    }

    pub fn forget_ends(&mut self) {
        self.ends.clear();
    }

    pub fn view(&self) -> ActorView {
        let reading = self.gauges.read();
        ActorView {
            name: self.name.clone(),
            state: if self.running.is_some() { "running" } else { "restarting" },
            restarts: self.restarts,
            panics: reading.panics,
            mailbox: reading.mailbox,
            events: reading.events,
            busy_ms: reading.busy_us / 1_000,
            last_error: self.last_error,
        }
    }
}
