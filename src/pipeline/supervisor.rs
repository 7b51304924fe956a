//! Supervisor: builds the line, replaces actors that die, and hands their work out again.
//!
//! Receives [`Lost`], [`Describe`] and [`Apply`]. Ours, because actix's own supervisor does not survive a panic. Keeps what the
//! actors are made of and what they count. A crash here would end the replacing: the process must end then, so that
//! the init system starts a new one.

mod child;
mod control;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use actix::prelude::*;

use self::child::{Child, ExitReason};
pub(super) use self::control::Apply;
use super::admission::Admission;
use super::gauges::Gauges;
use super::messages::Submitted;
use super::topology::Line;
use super::unit::{Lost, Unit};
use super::view::{InFlightView, NodeView, PipelineView, PoolView};
use crate::domain::actor_kind::ActorKind;
use crate::store::Target;
use crate::telemetry::facts;
use crate::telemetry::threads::name_thread;

/// How often the Supervisor checks its actors.
const LOOK: Duration = Duration::from_millis(50);

/// A Supervisor that has not checked for this long was frozen with its process.
const AWAY: Duration = Duration::from_secs(1);

/// Work that was lost goes back into the line after this time, never in the same turn.
const REDELIVERY_DELAY: Duration = Duration::from_millis(100);

/// Threads of stuck actors that may run on at once; one more, and the process ends.
const LEFT_BEHIND_MAX: usize = 4;

/// The actor above the line.
pub(super) struct Supervisor {
    line: Line,
    admission: Arc<Admission>,
    children: Vec<Child>,
    /// How often the line was built.
    generation: u64,
    rebuilt_at: Option<Instant>,
    /// What the actors of threads that were left behind count with: it goes with the actor, when its thread ends.
    left_behind: Vec<Weak<Gauges>>,
    looked_at: Instant,
}

/// Requests a [`PipelineView`].
#[derive(Message)]
#[rtype(result = "PipelineView")]
pub(super) struct Describe;

/// Ends all actors.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl Supervisor {
    fn new(line: Line, admission: Arc<Admission>) -> Self {
        Self {
            line,
            admission,
            children: Vec::new(),
            generation: 1,
            rebuilt_at: None,
            left_behind: Vec::new(),
            looked_at: Instant::now(),
        }
    }

    /// Starts it on a thread of its own.
    pub fn start(line: Line, admission: Arc<Admission>) -> Addr<Self> {
        let tracker = line.tracker.clone();
        let address = Self::start_in_arbiter(&Arbiter::new().handle(), move |_| {
            name_thread("supervisor");
            Self::new(line, admission)
        });
        tracker.report_losses_to(address.clone().recipient());
        address
    }

    /// Builds the line, the last stage first: what sends finds who receives.
    fn build(&mut self) {
        self.sync_gates();
        let beside = ActorKind::all().filter(|kind| !kind.is_stage());
        for kind in ActorKind::stages().rev().chain(beside) {
            let size = self.wanted_size(kind);
            self.children.extend((0..size).map(|place| Child::new(kind, place)));
        }
        for child in &mut self.children {
            child.start(&self.line);
        }
    }

    fn look_after(&mut self, context: &mut Context<Self>) {
        let deps = self.line.deps.clone();
        deps.faults.turn("supervisor");
        let now = Instant::now();
        // Frozen as a whole, no actor in it was slow.
        let was_away = now.duration_since(std::mem::replace(&mut self.looked_at, now)) > AWAY;
        let mut units = Vec::new();
        for child in &mut self.children {
            if let Some(end) =
                child.end(deps.config.timeouts.processing).filter(|end| !was_away || *end == ExitReason::Died)
            {
                self.left_behind.extend((end == ExitReason::Stuck).then(|| child.gauges()));
                units.extend(child.schedule_restart(end, now, &self.line));
            }
            child.restart_if_due(now, &self.line);
        }
        self.children.retain_mut(|child| !child.has_retired(&self.line));
        self.expire_paused();
        self.redeliver(units, context);
        self.left_behind.retain(|gauges| gauges.strong_count() > 0);
        if self.left_behind.len() > LEFT_BEHIND_MAX {
            self.give_up("too many threads of stuck actors were left behind", context);
        } else if ActorKind::all().any(|kind| self.has_exited_too_often(kind, now)) {
            self.rebuild(now, context);
        }
    }

    fn has_exited_too_often(&self, kind: ActorKind, now: Instant) -> bool {
        let actors = &self.line.deps.config.actors;
        let of_kind = self.children.iter().filter(|child| child.kind == kind);
        let exits: usize = of_kind.map(|child| child.exits_within(now, actors.restart_window)).sum();
        exits > actors.max_restarts as usize
    }

    /// Replaces every actor of the line; what they held is handed out again. The second time within the window is
    /// one too many: then the process ends, so that the init system acts.
    fn rebuild(&mut self, now: Instant, context: &mut Context<Self>) {
        let window = self.line.deps.config.actors.restart_window;
        if self.rebuilt_at.is_some_and(|at| now.duration_since(at) < window) {
            return self.give_up("the line keeps dying", context);
        }
        self.rebuilt_at = Some(now);
        self.generation += 1;
        facts::line_rebuilt(self.generation);
        let units = self.children.iter_mut().flat_map(|child| child.reclaim_units(&self.line, None)).collect();
        self.children.retain(|child| !child.is_retiring());
        for child in &mut self.children {
            child.forget_exits();
            child.start(&self.line);
        }
        self.redeliver(units, context);
    }

    /// Sends units on their way again; their attempts begin anew.
    fn redeliver(&self, mut units: Vec<Unit>, context: &mut Context<Self>) {
        let items = units.iter_mut().flat_map(|unit| &mut unit.items);
        let soft_deadline = Instant::now() + REDELIVERY_DELAY + self.line.deps.config.timeouts.processing_soft();
        let events = items.map(|item| item.soft_deadline = soft_deadline).count();
        if events == 0 {
            return;
        }
        facts::work_redelivered(events);
        let works = units.into_iter().map(|unit| self.line.tracker.track(unit)).collect();
        context.run_later(REDELIVERY_DELAY, |supervisor, _| supervisor.line.pools.submitted.send(Submitted(works)));
    }

    /// Ends the Supervisor: the app notices, turns readiness off and ends the process.
    fn give_up(&mut self, why: &str, context: &mut Context<Self>) {
        facts::line_given_up(why);
        self.children.iter_mut().for_each(Child::stop);
        context.stop();
    }

    fn pool(&self, kind: ActorKind) -> PoolView {
        let of_kind = self.children.iter().filter(|child| child.kind == kind);
        PoolView {
            name: kind.pool_name(),
            size: self.size_view(kind),
            state: ActorKind::controlled()
                .find(|controlled| *controlled == kind)
                .map(|kind| self.state_view(Target::Pool(kind))),
            held: self.line.pools.of(kind).held(),
            actors: of_kind.map(Child::view).collect(),
        }
    }

    fn describe(&self) -> PipelineView {
        let (events, bytes) = self.admission.in_flight();
        let deps = &self.line.deps;
        PipelineView {
            node: NodeView { name: deps.identity.node.clone(), boot_id: deps.identity.boot_id.to_string() },
            generation: self.generation,
            control_generation: deps.controls.applied().generation,
            state: self.state_view(Target::Pipeline),
            pools: ActorKind::all().map(|kind| self.pool(kind)).filter(|pool| !pool.actors.is_empty()).collect(),
            in_flight: InFlightView { events, bytes },
            retries_waiting: deps.retries_waiting.load(Ordering::Relaxed),
            claims_held: deps.claims.len(),
            stale_writes_rejected: deps.stale_writes.load(Ordering::Relaxed),
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // The first of the line's actors may be quicker than what started this one.
        self.line.tracker.report_losses_to(context.address().recipient());
        self.build();
        context.run_interval(LOOK, Self::look_after);
    }
}

impl Handler<Lost> for Supervisor {
    type Result = ();

    fn handle(&mut self, Lost(unit): Lost, context: &mut Context<Self>) {
        self.redeliver(vec![unit], context);
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
        self.children.iter_mut().for_each(Child::stop);
        context.stop();
    }
}
