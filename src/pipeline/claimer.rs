//! Claimer: brings stored events back into the line.
//!
//! Receives [`Due`] (an empty one when a suspect was settled and the next may run), sends [`Submitted`]. It claims what
//! the timers name, polls for what they missed, takes over the claims of dead nodes, and gives back leases that have no
//! work behind them. Keeps the table of claims (shared with the Persisters) and what it saw of other nodes. A crash
//! here loses nothing: claims are guarded work from the moment they are made, and the poll finds every other event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use uuid::Uuid;

use super::claims::Claims;
use super::custody::{Custody, Work};
use super::messages::{Due, Item, Submitted, Unit};
use super::pool::Pool;
use super::stage::Stage;
use super::watch::{Heartbeat, Watch};
use crate::clock;
use crate::domain::outcome::Failure;
use crate::store::{ClaimOrder, Claimed, Due as Wanted, Store, StoreError};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Longest wait for the database; what it does later is found by the search for orphans.
const WAIT: Duration = Duration::from_secs(5);

/// Readings of the other nodes' heartbeats in a lease time.
const OBSERVATIONS_PER_LEASE: u32 = 4;

/// What a Claimer is to do.
#[derive(Clone)]
pub(super) struct ClaimerRules {
    pub boot_id: Uuid,
    pub node: String,
    pub lease: Duration,
    pub poll: Duration,
    pub claims_max: usize,
    pub attempts_max: u32,
    pub soft_timeout: Duration,
}

/// Claims events of the database for this node.
pub(super) struct Claimer {
    stage: Stage,
    store: Store,
    rules: ClaimerRules,
    claims: Arc<Claims>,
    validators: Pool<Submitted>,
    custody: Arc<Custody>,
    due: BTreeSet<i64>,
    watch: Option<Watch>,
    condition: Arc<Condition>,
    is_busy: bool,
    /// Something came while the Claimer was busy, or more is waiting than it took.
    is_woken: bool,
    polled: Instant,
    observed: Instant,
    searched: Instant,
}

/// What is to be done in one turn; the parts run one after the other.
struct Turn {
    store: Store,
    rules: ClaimerRules,
    claims: Arc<Claims>,
    custody: Arc<Custody>,
    watch: Watch,
    condition: Arc<Condition>,
    went: Option<Result<(), StoreError>>,
    due: Vec<i64>,
    polls: bool,
    observes: bool,
    searches: bool,
}

impl Claimer {
    pub fn new(
        stage: Stage,
        store: Store,
        rules: ClaimerRules,
        claims: Arc<Claims>,
        validators: Pool<Submitted>,
        custody: Arc<Custody>,
    ) -> Self {
        let (now, watch) = (Instant::now(), Some(Watch::new(rules.boot_id, rules.lease)));
        let (due, is_busy, is_woken) = (BTreeSet::new(), false, false);
        let (polled, observed, searched) = (now, now, now);
        let condition = Arc::new(Condition::new("claiming"));
        Self {
            stage,
            store,
            rules,
            claims,
            validators,
            custody,
            due,
            watch,
            condition,
            is_busy,
            is_woken,
            polled,
            observed,
            searched,
        }
    }

    fn take_turn(&mut self, context: &mut Context<Self>) {
        let Some(watch) = self.watch.take_if(|_| !self.is_busy) else {
            self.is_woken = true;
            return;
        };
        self.is_busy = true;
        let turn = Turn {
            store: self.store.clone(),
            rules: self.rules.clone(),
            claims: self.claims.clone(),
            custody: self.custody.clone(),
            watch,
            condition: self.condition.clone(),
            went: None,
            due: std::mem::take(&mut self.due).into_iter().collect(),
            polls: is_over(&mut self.polled, self.rules.poll) | std::mem::take(&mut self.is_woken),
            observes: is_over(&mut self.observed, self.rules.lease / OBSERVATIONS_PER_LEASE),
            searches: is_over(&mut self.searched, self.rules.lease),
        };
        let (stage, wait) = (self.stage.clone(), self.stage.gauges.wait());
        let done = async move {
            let _wait = wait;
            stage.turn().await;
            turn.run().await
        };
        let done = done.into_actor(self);
        context.spawn(done.map(|(watch, works), claimer, context| claimer.end_turn(watch, works, context)));
    }

    fn end_turn(&mut self, watch: Watch, works: Vec<Work>, context: &mut Context<Self>) {
        self.watch = Some(watch);
        self.is_busy = false;
        if works.len() >= self.rules.claims_max {
            // More is waiting; it is asked for as soon as there is room.
            self.is_woken = true;
        }
        if !works.is_empty() {
            self.validators.send(Submitted(works));
        }
        if !self.due.is_empty() || (self.is_woken && self.claims.len() < self.rules.claims_max) {
            self.take_turn(context);
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

impl Turn {
    async fn run(mut self) -> (Watch, Vec<Work>) {
        let mut works = Vec::new();
        if self.observes {
            self.observe().await;
        }
        if self.searches {
            self.release_orphans().await;
        }
        if !self.due.is_empty() {
            let due = std::mem::take(&mut self.due);
            works.extend(self.claim(Wanted::These(due), self.rules.claims_max).await);
        }
        if self.polls {
            self.take_over().await;
            works.extend(self.claim(Wanted::Waiting, self.rules.claims_max).await);
        }
        // One at a time: one of them may be what killed its node.
        if !self.claims.has_suspect() {
            works.extend(self.claim(Wanted::Suspects, 1).await);
        }
        if let Some(went) = &self.went {
            self.condition.note(went);
        }
        (self.watch, works)
    }

    /// Notes how an operation went; of a turn's failures the first is told.
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
        let nodes = self.store.list_nodes(WAIT).await;
        match self.noted(nodes) {
            Some(nodes) => {
                let heartbeats: Vec<Heartbeat> = nodes.into_iter().map(heartbeat).collect();
                self.watch.observe(&heartbeats, Instant::now()).iter().for_each(|node| facts::node_died(node));
            }
            None => self.watch.could_not_observe(Instant::now()),
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
        let dead = self.watch.dead();
        if dead.is_empty() {
            return;
        }
        let taken_over = self.store.take_over(dead.clone(), self.rules.node.clone(), WAIT).await;
        match self.noted(taken_over) {
            Some(0) => self.watch.clear(&dead),
            Some(events) => facts::taken_over(events),
            None => {}
        }
    }

    async fn claim(&mut self, wanted: Wanted, limit: usize) -> Vec<Work> {
        let limit = limit.min(self.rules.claims_max.saturating_sub(self.claims.len()));
        if limit == 0 {
            return Vec::new();
        }
        let order = ClaimOrder { boot_id: self.rules.boot_id, limit, lease: self.rules.lease };
        let claimed: Result<Vec<Claimed>, StoreError> = self.store.claim(wanted, order, WAIT).await;
        let claimed = self.noted(claimed).unwrap_or_default();
        if !claimed.is_empty() {
            facts::claimed(claimed.len());
        }
        claimed.into_iter().map(|claimed| self.hold(claimed)).collect()
    }

    /// Enters the claim and makes its work, which is guarded from then on. Every claimed event is a unit of its own:
    /// each is settled by itself.
    fn hold(&self, claimed: Claimed) -> Work {
        self.claims.hold(claimed.event.id, claimed.lease_token, claimed.suspect);
        let taken_at = Instant::now();
        let is_spent = claimed.event.attempts >= self.rules.attempts_max;
        let item = Item {
            event: Arc::new(claimed.event),
            lease: Some(claimed.lease_token),
            started_at: clock::now(),
            soft_deadline: taken_at + self.rules.soft_timeout,
            result: is_spent.then_some(Err(Failure::Spent)),
            has_lines: facts::may_write_lines(),
        };
        let unit =
            Unit { items: vec![item], reply: None, taken_at, permit: None, is_spooled: false, maybe_stored: false };
        self.custody.entrust(unit)
    }
}

fn heartbeat(node: crate::store::Node) -> Heartbeat {
    Heartbeat { boot_id: node.boot_id, name: node.name, value: node.heartbeat, is_stopped: node.stopped_at.is_some() }
}

impl Actor for Claimer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // At once, for what an earlier boot left behind; then with the poll.
        self.polled -= self.rules.poll;
        self.observed -= self.rules.lease;
        self.searched -= self.rules.lease;
        self.take_turn(context);
        context.run_interval(self.rules.poll, Self::take_turn);
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
