//! What a Claimer does in one turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::deps::Deps;
use super::super::failure_detector::FailureDetector;
use super::super::tracker::{TrackedUnit, UnitTracker};
use super::super::unit::{Item, Unit, UnitOrigin};
use super::Chores;
use crate::domain::outcome::Failure;
use crate::store::{ClaimOrder, ClaimTarget, Claimed, StoreError};
use crate::telemetry::{facts, spans};

/// Longest wait for the database; what it completes later is found by the search for orphans.
const WAIT: Duration = Duration::from_secs(5);

/// The part of all claims that the timers leave free: however many retries of this node are due, what the poll finds
/// goes on.
const POLLS_SHARE: usize = 4;

/// Why nothing is claimed while other nodes may consider this one dead.
const SILENT: &str = "no heartbeat of this node has reached the database for the time of a lease";

/// How long a boot that ended is kept, for operators who look into what happened.
const NODES_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What is to be done in one turn.
pub(super) struct ClaimTurn {
    pub deps: Arc<Deps>,
    pub tracker: Arc<UnitTracker>,
    pub detector: FailureDetector,
    pub chores: Chores,
    /// Events that the timers named.
    pub due: Vec<i64>,
    /// Whether to look for others.
    pub polls: bool,
    /// How the operations went; of failures the first.
    pub went: Option<Result<(), StoreError>>,
}

/// What a turn claimed.
#[derive(Default)]
pub(in crate::pipeline) struct Claims {
    pub units: Vec<TrackedUnit>,
    /// Whether more may be waiting than there was room for.
    pub is_full: bool,
}

impl ClaimTurn {
    /// Does what the turn is for; the parts run one after the other.
    pub async fn run(mut self) -> (Claims, FailureDetector) {
        let mut claims = Claims::default();
        if self.chores.observes {
            self.observe().await;
        }
        if self.chores.searches {
            self.release_orphans().await;
        }
        if self.chores.prunes {
            self.prune().await;
        }
        let claims_max = self.deps.config.lease.claim_events;
        if !self.due.is_empty() {
            let due = std::mem::take(&mut self.due);
            let room = self.room(claims_max - claims_max / POLLS_SHARE);
            claims.units.extend(self.claim(ClaimTarget::These(due), room).await.0);
        }
        // One at a time: one of them may be what killed its node.
        if !self.deps.claims.has_suspect() {
            let room = self.room(claims_max).min(1);
            claims.units.extend(self.claim(ClaimTarget::Suspects, room).await.0);
        }
        if self.polls {
            let room = self.room(claims_max);
            let (found, is_cut) = self.claim(ClaimTarget::Waiting, room).await;
            claims.is_full = (is_cut || found.len() == room || self.bytes_left() == 0) && self.may_claim();
            claims.units.extend(found);
        }
        self.report();
        (claims, self.detector)
    }

    /// Reports whether pending events can be claimed.
    fn report(&self) {
        let health = &self.deps.health;
        match &self.went {
            _ if !self.deps.is_heard() && !self.deps.stopping.is_closed() => {
                health.claiming.failed_as(&SILENT, SILENT.to_owned());
            }
            Some(Err(error)) => health.claiming.failed_as(error, error.outline()),
            // The success of another operation does not mean that waiting events are claimed.
            Some(Ok(())) if self.polls => health.claiming.succeeded(),
            _ => {}
        }
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
        if !self.deps.is_heard() {
            return self.detector.observation_failed(Instant::now());
        }
        let peers = self.deps.store.peers(WAIT).await;
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
        let released =
            self.deps.store.release_orphans(self.deps.identity.boot_id, self.deps.claims.event_ids(), WAIT).await;
        if let Some(leases) = self.noted(released).filter(|leases| *leases > 0) {
            facts::orphans_released(leases);
        }
    }

    async fn take_over(&mut self) {
        for death in self.detector.deaths() {
            let taken_over = self.deps.store.take_over(death.clone(), WAIT).await;
            if let Some(events) = self.noted(taken_over).filter(|events| *events > 0) {
                facts::taken_over(&death.name, events);
                // They are suspects now, due at once.
                self.polls = true;
            }
        }
    }

    async fn prune(&mut self) {
        let pruned = self.deps.store.prune_nodes(self.detector.dead(), NODES_KEPT, WAIT).await;
        self.noted(pruned);
    }

    /// How many more events may be claimed, if `claims_max` may be held in all.
    fn room(&self, claims_max: usize) -> usize {
        if self.may_claim() { claims_max.saturating_sub(self.deps.claims.len()) } else { 0 }
    }

    fn bytes_left(&self) -> usize {
        self.deps.config.lease.claim_bytes.saturating_sub(self.deps.claims.bytes())
    }

    /// What is claimed while other nodes may consider this one dead would be taken over and charged, and what is claimed
    /// while the line is paused would only wait. What the timers name then is found by a later poll.
    fn may_claim(&self) -> bool {
        self.deps.is_heard() && self.deps.controls.may_claim()
    }

    /// What was claimed, and whether more was found than there was time or room to read.
    async fn claim(&mut self, wanted: ClaimTarget, limit: usize) -> (Vec<TrackedUnit>, bool) {
        if limit == 0 || self.bytes_left() == 0 {
            return (Vec::new(), false);
        }
        let order = ClaimOrder {
            boot_id: self.deps.identity.boot_id,
            limit,
            bytes: self.bytes_left(),
            lease: self.deps.config.lease.duration,
        };
        let claimed = self.deps.store.claim(wanted, order, WAIT).await;
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
        self.deps.claims.hold(claimed.event.id, claimed.lease_token, claimed.suspect, bytes);
        spans::waited(&claimed.event, claimed.waits_since);
        let mut item = Item::of_claimed(claimed, self.deps.config.timeouts.processing_soft());
        if item.is_open() && item.event.attempts >= self.deps.policy().attempts_max() {
            item.result = Some(Err(Failure::Spent));
        }
        self.tracker.track(Unit::new(UnitOrigin::Claim, vec![item]))
    }
}
