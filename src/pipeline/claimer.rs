//! Claimer: brings stored events back into the line.
//!
//! Receives [`Due`] (an empty one when a suspect was settled and the next may run) and [`WorkNotified`], sends [`Submitted`]. It
//! claims what the timers name, polls for what they missed, takes over the claims of dead nodes, and gives back leases
//! that have no work behind them. Keeps the table of claims (shared with the Persisters) and what it saw of other nodes.
//! A crash here loses nothing: claims are guarded work from the moment they are made, and the poll finds every other
//! event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use uuid::Uuid;

use super::applied_controls::AppliedControls;
use super::failure_detector::FailureDetector;
use super::heartbeat::NodeHealth;
use super::held_leases::HeldLeases;
use super::messages::{Due, Submitted};
use super::pool::Pool;
use super::receipt::Handling;
use super::stage::Stage;
use super::tracker::{TrackedUnit, UnitTracker};
use super::unit::{Item, Unit};
use crate::domain::outcome::Failure;
use crate::store::{ClaimOrder, ClaimTarget, Claimed, Notification, NotificationListener, Store, StoreError};
use crate::telemetry::{facts, spans};

/// Longest wait for the database; what it completes later is found by the search for orphans.
const WAIT: Duration = Duration::from_secs(5);

/// Readings of the other nodes' heartbeats in a lease time.
const OBSERVATIONS_PER_LEASE: u32 = 4;

/// The part of all claims that the timers leave free: however many retries of this node are due, what the poll finds
/// goes on.
const POLLS_SHARE: usize = 4;

/// Why nothing is claimed while other nodes may consider this one dead.
const SILENT: &str = "no heartbeat of this node has reached the database for the time of a lease";

/// How often boots that are long gone are removed.
const PRUNE_PERIOD: Duration = Duration::from_secs(3_600);

/// How long a boot that ended is kept, for operators who look into what happened.
const NODES_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Another node may have left work that is due.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkNotified;

/// What a Claimer is to do.
#[derive(Clone)]
pub(super) struct ClaimerRules {
    pub boot_id: Uuid,
    pub lease: Duration,
    pub poll: Duration,
    pub claims_max: usize,
    pub bytes_max: usize,
    pub attempts_max: u32,
    pub soft_timeout: Duration,
    pub health: Arc<NodeHealth>,
    pub controls: Arc<AppliedControls>,
}

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
    store: Store,
    rules: ClaimerRules,
    claims: Arc<HeldLeases>,
    validators: Pool<Submitted>,
    tracker: Arc<UnitTracker>,
    due: BTreeSet<i64>,
    detector: Option<FailureDetector>,
    is_busy: bool,
    /// It is time to poll, something came while the Claimer was busy, or more is waiting than it took.
    is_woken: bool,
    observed: Instant,
    searched: Instant,
    pruned: Instant,
}

/// What is to be done in one turn; the parts run one after the other.
struct ClaimTurn {
    store: Store,
    rules: ClaimerRules,
    claims: Arc<HeldLeases>,
    tracker: Arc<UnitTracker>,
    detector: FailureDetector,
    went: Option<Result<(), StoreError>>,
    due: Vec<i64>,
    polls: bool,
    observes: bool,
    searches: bool,
    prunes: bool,
}

/// What a turn leaves behind.
struct ClaimTurnEnd {
    detector: FailureDetector,
    works: Vec<TrackedUnit>,
    /// Whether more may be waiting than there was room for.
    is_full: bool,
}

impl Claimer {
    pub fn new(
        stage: Stage,
        store: Store,
        rules: ClaimerRules,
        claims: Arc<HeldLeases>,
        validators: Pool<Submitted>,
        tracker: Arc<UnitTracker>,
    ) -> Self {
        let (now, detector) = (Instant::now(), Some(FailureDetector::new(rules.boot_id, rules.lease)));
        let (observed, searched, pruned) = (now, now, now);
        Self {
            stage,
            store,
            rules,
            claims,
            validators,
            tracker,
            due: BTreeSet::new(),
            detector,
            is_busy: false,
            is_woken: false,
            observed,
            searched,
            pruned,
        }
    }

    fn take_turn(&mut self, context: &mut Context<Self>) {
        let Some(detector) = self.detector.take_if(|_| !self.is_busy) else {
            self.is_woken = true;
            return;
        };
        self.is_busy = true;
        let turn = ClaimTurn {
            store: self.store.clone(),
            rules: self.rules.clone(),
            claims: self.claims.clone(),
            tracker: self.tracker.clone(),
            detector,
            went: None,
            due: std::mem::take(&mut self.due).into_iter().collect(),
            polls: std::mem::take(&mut self.is_woken),
            observes: is_over(&mut self.observed, self.rules.lease / OBSERVATIONS_PER_LEASE),
            searches: is_over(&mut self.searched, self.rules.lease),
            prunes: is_over(&mut self.pruned, PRUNE_PERIOD),
        };
        let (stage, wait) = (self.stage.clone(), self.stage.gauges.wait());
        let done = async move {
            let _wait = wait;
            stage.turn().await;
            turn.run().await
        };
        let done = done.into_actor(self);
        context.spawn(done.map(Self::end_turn));
    }

    /// Polls now, and again after the period, more or less: nodes that started together must not poll in step.
    fn poll(&mut self, context: &mut Context<Self>) {
        self.is_woken = true;
        self.take_turn(context);
        context.run_later(self.rules.poll.mul_f64(rand::random_range(0.75..1.25)), Self::poll);
    }

    fn end_turn(turned: ClaimTurnEnd, claimer: &mut Self, context: &mut Context<Self>) {
        claimer.detector = Some(turned.detector);
        claimer.is_busy = false;
        if !turned.works.is_empty() {
            claimer.validators.send(Submitted(turned.works));
        }
        // More is requested when half of the room is free again, not with every event that ends.
        let has_room =
            !turned.is_full || claimer.claims.await_at_most(claimer.rules.claims_max / 2, claimer.rules.bytes_max / 2);
        claimer.is_woken |= turned.is_full;
        if !claimer.due.is_empty() || (claimer.is_woken && has_room) {
            claimer.take_turn(context);
        }
    }
}

fn is_over(since: &mut Instant, period: Duration) -> bool {
    let is_over = since.elapsed() >= period;
    if is_over {
        *since = Instant::now();
    }
    is_over
}

impl ClaimTurn {
    async fn run(mut self) -> ClaimTurnEnd {
        let (mut works, mut is_full) = (Vec::new(), false);
        if self.observes {
            self.observe().await;
        }
        if self.searches {
            self.release_orphans().await;
        }
        if self.prunes {
            self.prune().await;
        }
        if !self.due.is_empty() {
            let due = std::mem::take(&mut self.due);
            let room = self.room(self.rules.claims_max - self.rules.claims_max / POLLS_SHARE);
            works.extend(self.claim(ClaimTarget::These(due), room).await.0);
        }
        // One at a time: one of them may be what killed its node.
        if !self.claims.has_suspect() {
            let room = self.room(self.rules.claims_max).min(1);
            works.extend(self.claim(ClaimTarget::Suspects, room).await.0);
        }
        if self.polls {
            let room = self.room(self.rules.claims_max);
            let (found, is_cut) = self.claim(ClaimTarget::Waiting, room).await;
            is_full = (is_cut || found.len() == room || self.bytes_left() == 0) && self.may_claim();
            works.extend(found);
        }
        let claiming = &self.rules.health.claiming;
        match &self.went {
            _ if self.rules.health.is_silent_for(self.rules.lease) => claiming.failed_as(&SILENT, SILENT.to_owned()),
            Some(Err(error)) => claiming.failed_as(error, error.outline()),
            // The success of another operation does not mean that waiting events are claimed.
            Some(Ok(())) if self.polls => claiming.succeeded(),
            _ => {}
        }
        ClaimTurnEnd { detector: self.detector, works, is_full }
    }

    /// Notes how an operation went; of a turn's failures only the first is reported.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.went.get_or_insert(Ok(()));
                Some(value)
            }
            Err(error) => {
                if !matches!(self.went, Some(Err(_))) {
                    self.went = Some(Err(error));
                }
                None
            }
        }
    }

    async fn observe(&mut self) {
        // A database that takes no heartbeat of this node may take none of the others.
        if !self.is_heard() {
            return self.detector.observation_failed(Instant::now());
        }
        let peers = self.store.peers(WAIT).await;
        match self.noted(peers) {
            Some(peers) => {
                self.detector.observe(&peers, Instant::now()).iter().for_each(|node| facts::node_died(node));
                self.take_over().await;
            }
            None => self.detector.observation_failed(Instant::now()),
        }
    }

    /// Leases of this boot without work behind them: a claim whose answer was lost, or work that was given up.
    async fn release_orphans(&mut self) {
        let released = self.store.release_orphans(self.rules.boot_id, self.claims.event_ids(), WAIT).await;
        if let Some(leases) = self.noted(released).filter(|leases| *leases > 0) {
            facts::orphans_released(leases);
        }
    }

    async fn take_over(&mut self) {
        for death in self.detector.deaths() {
            let taken_over = self.store.take_over(death.clone(), WAIT).await;
            if let Some(events) = self.noted(taken_over).filter(|events| *events > 0) {
                facts::taken_over(&death.name, events);
                // They are suspects now, due at once.
                self.polls = true;
            }
        }
    }

    async fn prune(&mut self) {
        let pruned = self.store.prune_nodes(self.detector.dead(), NODES_KEPT, WAIT).await;
        self.noted(pruned);
    }

    /// How many more events may be claimed, if `claims_max` may be held in all.
    fn room(&self, claims_max: usize) -> usize {
        if self.may_claim() { claims_max.saturating_sub(self.claims.len()) } else { 0 }
    }

    fn bytes_left(&self) -> usize {
        self.rules.bytes_max.saturating_sub(self.claims.bytes())
    }

    /// What is claimed while the line is paused would only wait. What the timers name then is found by a later poll.
    fn may_claim(&self) -> bool {
        self.is_heard() && self.rules.controls.may_claim()
    }

    /// While other nodes may consider this one dead, it claims nothing: the claim would be taken over and charged.
    fn is_heard(&self) -> bool {
        self.rules.health.is_heard_within(self.rules.lease)
    }

    /// What was claimed, and whether more was found than there was time or room to read.
    async fn claim(&mut self, wanted: ClaimTarget, limit: usize) -> (Vec<TrackedUnit>, bool) {
        if limit == 0 || self.bytes_left() == 0 {
            return (Vec::new(), false);
        }
        let order =
            ClaimOrder { boot_id: self.rules.boot_id, limit, bytes: self.bytes_left(), lease: self.rules.lease };
        let claimed = self.store.claim(wanted, order, WAIT).await;
        let (claimed, is_cut) = self.noted(claimed).unwrap_or_default();
        if !claimed.is_empty() {
            facts::claimed(claimed.len());
        }
        (claimed.into_iter().map(|claimed| self.hold(claimed)).collect(), is_cut)
    }

    /// Enters the claim and makes its work, which is guarded from then on. Every claimed event is a unit of its own:
    /// each is settled by itself.
    fn hold(&self, claimed: Claimed) -> TrackedUnit {
        let bytes = claimed.event.payload().map_or(0, |payload| payload.len());
        self.claims.hold(claimed.event.id, claimed.lease_token, claimed.suspect, bytes);
        spans::waited(&claimed.event, claimed.waits_since);
        let mut item = Item::of_claimed(claimed, self.rules.soft_timeout);
        if item.is_open() && item.event.attempts >= self.rules.attempts_max {
            item.result = Some(Err(Failure::Spent));
        }
        let unit = Unit {
            items: vec![item],
            reply: None,
            taken_at: Instant::now(),
            permit: None,
            is_spooled: false,
            gives_up: false,
            maybe_stored: false,
            handling: Handling::Lenient,
        };
        self.tracker.track(unit)
    }
}

impl Actor for Claimer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // At once, for what an earlier boot left behind; then with the poll.
        self.observed -= self.rules.lease;
        self.searched -= self.rules.lease;
        self.poll(context);
        self.store.listen(Notification::Due, ClaimerListener(context.address()));
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
        self.is_woken = true;
        self.take_turn(context);
    }
}
