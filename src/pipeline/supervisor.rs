//! Supervisor: builds the line, replaces actors that die, and hands their work out again.
//!
//! Receives [`Lost`] and [`Describe`]. Ours, because actix's own supervisor does not survive a panic. Keeps what the
//! actors are made of and what they count. A crash here would end the replacing: the process must end then, so that
//! the init system starts a new one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::admission::Admission;
use super::messages::{Lost, Submitted, Work};
use super::pool::Gauges;
use super::topology::{Kind, Parts, Pools, Running, start};
use super::view::{ActorView, InFlightView, NodeView, PipelineView, PoolView};
use crate::telemetry::facts;

/// How often the Supervisor looks after its actors.
const LOOK: Duration = Duration::from_millis(50);

/// Work that was lost goes back into the line after this time, never in the same turn.
const REDELIVERY_DELAY: Duration = Duration::from_millis(100);

/// Longest wait before an actor is replaced.
const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How many actors of each stage there are, and how fast they are replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct SupervisorRules {
    pub validators: usize,
    pub normalizers: usize,
    pub persisters: usize,
    pub restart_backoff: Duration,
    pub restart_window: Duration,
}

/// A place in a pool, and the actor that fills it.
struct Child {
    kind: Kind,
    place: usize,
    name: String,
    gauges: Arc<Gauges>,
    running: Option<Running>,
    restarts: u64,
    /// Deaths within the restart window, for the backoff.
    deaths: Vec<Instant>,
    restart_at: Option<Instant>,
    last_error: Option<String>,
}

/// The actor above the line.
pub(super) struct Supervisor {
    rules: SupervisorRules,
    parts: Parts,
    pools: Pools,
    admission: Arc<Admission>,
    node: NodeView,
    children: Vec<Child>,
}

/// Asks for a [`PipelineView`].
#[derive(Message)]
#[rtype(result = "PipelineView")]
pub(super) struct Describe;

/// Ends all actors.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl Supervisor {
    pub fn new(rules: SupervisorRules, parts: Parts, pools: Pools, admission: Arc<Admission>, node: NodeView) -> Self {
        Self { rules, parts, pools, admission, node, children: Vec::new() }
    }

    fn build(&mut self, context: &mut Context<Self>) {
        let sizes = [
            (Kind::Persister, self.rules.persisters),
            (Kind::Normalizer, self.rules.normalizers),
            (Kind::Validator, self.rules.validators),
            (Kind::Claimer, 1),
            (Kind::Retry, 1),
        ];
        for (kind, size) in sizes {
            self.children.extend((0..size).map(|place| Child::new(kind, place, size)));
        }
        for child in &mut self.children {
            child.start(&self.parts, &self.pools, context);
        }
    }

    fn look_after(&mut self, context: &mut Context<Self>) {
        let now = Instant::now();
        for child in &mut self.children {
            child.notice_death(now, &self.rules);
            if child.restart_at.is_some_and(|at| at <= now) {
                child.start(&self.parts, &self.pools, context);
                child.restarts += 1;
                facts::actor_restarted(&child.name, child.restarts);
            }
        }
    }

    fn describe(&self) -> PipelineView {
        let kinds = [Kind::Validator, Kind::Normalizer, Kind::Persister, Kind::Retry, Kind::Claimer];
        let pool = |kind: Kind| PoolView {
            name: kind.pool_name(),
            actors: self.children.iter().filter(|child| child.kind == kind).map(Child::view).collect(),
        };
        let (events, bytes) = self.admission.in_flight();
        PipelineView {
            node: self.node.clone(),
            pools: kinds.into_iter().map(pool).collect(),
            in_flight: InFlightView { events, bytes },
            retries_waiting: self.parts.retries_waiting.load(Ordering::Relaxed),
            claims_held: self.parts.claims.len(),
            stale_writes_rejected: self.parts.consequences.stale_writes.load(Ordering::Relaxed),
        }
    }
}

impl Child {
    fn new(kind: Kind, place: usize, size: usize) -> Self {
        let name = if size == 1 { kind.name().to_owned() } else { format!("{}-{}", kind.name(), place + 1) };
        Self {
            kind,
            place,
            name,
            gauges: Arc::default(),
            running: None,
            restarts: 0,
            deaths: Vec::new(),
            restart_at: None,
            last_error: None,
        }
    }

    fn start(&mut self, parts: &Parts, pools: &Pools, context: &mut Context<Supervisor>) {
        let lost = context.address().recipient();
        self.running = Some(start(self.kind, self.place, &self.gauges, parts, pools, lost));
        self.restart_at = None;
    }

    /// Notes that the actor died, and when it is to be replaced: later with every death of late.
    fn notice_death(&mut self, now: Instant, rules: &SupervisorRules) {
        if self.running.as_ref().is_none_or(Running::is_alive) {
            return;
        }
        if let Some(dead) = self.running.take() {
            dead.stop();
        }
        self.gauges.mailbox_died();
        self.deaths.retain(|death| now.duration_since(*death) < rules.restart_window);
        let doublings = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX).min(16);
        self.deaths.push(now);
        self.restart_at = Some(now + (rules.restart_backoff * 2_u32.pow(doublings)).min(RESTART_BACKOFF_MAX));
        self.last_error = Some("died of a panic outside of an event's work".to_owned());
        facts::actor_died(&self.name);
    }

    fn view(&self) -> ActorView {
        let reading = self.gauges.read();
        ActorView {
            name: self.name.clone(),
            state: if self.running.is_some() { "running" } else { "restarting" },
            restarts: self.restarts,
            panics: reading.panics,
            mailbox: reading.mailbox,
            events: reading.events,
            busy_ms: reading.busy_us / 1_000,
            last_error: self.last_error.clone(),
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.build(context);
        context.run_interval(LOOK, Self::look_after);
    }
}

impl Handler<Lost> for Supervisor {
    type Result = ();

    fn handle(&mut self, Lost(mut unit): Lost, context: &mut Context<Self>) {
        unit.charge_loss();
        facts::work_redelivered(unit.items.len());
        let work = Work::new(unit, context.address().recipient());
        context
            .run_later(REDELIVERY_DELAY, move |supervisor, _| supervisor.pools.submitted.send(Submitted(vec![work])));
    }
}

impl Handler<Describe> for Supervisor {
    type Result = MessageResult<Describe>;

    fn handle(&mut self, _: Describe, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.describe())
    }
}

impl Handler<Stop> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        for child in &mut self.children {
            if let Some(running) = child.running.take() {
                running.stop();
            }
        }
        context.stop();
    }
}
