//! The pipeline: a line of actors from the ingress to the database, and the Supervisor above it.
//!
//! In the order of the flow: `ingress`, `messages`, `validator`, `normalizer`, `persister`, `retry`, `claimer`,
//! `drainer` for what had to be spooled, `replayer` for jobs, `pruner` for what is old; `topology` connects them, `supervisor` keeps them alive,
//! `control` applies what operators want.

mod admission;
mod applied_controls;
mod claimer;
mod control;
mod deps;
mod drainer;
mod failure_detector;
mod faults;
mod gauges;
mod heartbeat;
mod held_leases;
mod housekeeping;
mod ingress;
mod messages;
mod node_health;
mod normalizer;
mod persister;
mod pool;
mod pruner;
mod receipt;
mod replay;
mod replayer;
mod retry;
mod snapshot;
mod stage;
mod stopping;
mod storage_health;
mod supervisor;
mod topology;
mod tracker;
mod turns;
mod unit;
mod users;
mod validator;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::Notify;
use uuid::Uuid;

use self::admission::Admission;
pub use self::admission::Room;
use self::control::ControlsReconciler;
pub use self::control::{Changed, NotChanged};
use self::deps::Deps;
pub use self::deps::Identity;
pub use self::ingress::Entry;
use self::ingress::Ingress;
use self::messages::Spooled;
use self::persister::Writer;
pub use self::receipt::{Handling, Receipt, Refused, Unsettled, Verdict};
pub use self::replay::Replayed;
pub use self::snapshot::RemoteSnapshot;
pub use self::stopping::Stopping;
use self::storage_health::StorageHealth;
use self::supervisor::{Describe, Stop, Supervisor};
use self::topology::{Line, Pools};
use self::tracker::UnitTracker;
pub use self::view::{ActorView, BootView, InFlightView, NodeView, PipelineView, PoolView, SettingView, SnapshotView};
use crate::config::Config;
use crate::domain::event::Event;
use crate::store::{Ids, Parked, Spool, SpoolLevel, SpoolLimits, SpoolOwner, Store, StoreError};
use crate::telemetry::condition::FailingCondition;
use crate::telemetry::facts;

/// Longest wait of the few statements that are not on an event's path.
const WAIT: Duration = Duration::from_secs(5);

/// Longest wait for the list of nodes: this node must be shown above all when the database is away.
const NODES_WAIT: Duration = Duration::from_secs(1);

/// How often to check for news from another node.
const HEARTBEAT_LOOK: Duration = Duration::from_millis(100);

/// A handle on the running line; clones share it.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<PipelineInner>,
}

struct PipelineInner {
    deps: Arc<Deps>,
    ingress: Ingress,
    pools: Pools,
    supervisor: Addr<Supervisor>,
    storing: Arc<StorageHealth>,
    /// Wakes the reconciler of controls.
    news: Arc<Notify>,
}

impl PipelineInner {
    /// Starts what runs beside the line.
    fn start_background(&self) -> Result<(), StoreError> {
        let Self { deps, supervisor, .. } = self;
        heartbeat::start(deps.clone())?;
        housekeeping::start(deps, &self.pools);
        deps.store.spawn(self.storing.clone().run());
        ControlsReconciler { deps: deps.clone(), supervisor: supervisor.clone(), news: self.news.clone() }.start();
        snapshot::start(deps.clone(), supervisor.clone());
        Ok(())
    }
}

impl Pipeline {
    /// Registers the node and starts the line, which drains the `spool` and, if the configuration has one, spools new
    /// events while the database is away. Must be called inside an actix system.
    pub async fn start(
        config: &Config,
        store: Store,
        spool: Option<Spool>,
        identity: Identity,
    ) -> Result<Self, StoreError> {
        store.register_node(identity.boot_id, &identity.node, identity.folder, WAIT).await?;
        let controls = store.controls(WAIT).await?;
        let ids = ids(config, &store, identity.boot_id);
        let deps = Deps::new(config, identity, store, spool, controls);
        let line = Line {
            writer: Arc::new(Writer::new(deps.clone(), ids)),
            pools: Pools::new(config.actors.mailbox),
            tracker: Arc::<UnitTracker>::default(),
            deps: deps.clone(),
        };
        let admission = Admission::new(config.pipeline.in_flight_events, config.pipeline.in_flight_bytes);
        let supervisor = Supervisor::start(line.clone(), admission.clone());
        let inner = PipelineInner {
            ingress: Ingress::new(&line, admission),
            pools: line.pools,
            supervisor,
            storing: StorageHealth::new(deps.clone(), line.writer),
            news: Arc::default(),
            deps,
        };
        inner.start_background()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Room for a request: taken while its body is read, handed in with its events.
    pub fn room(&self) -> Room {
        self.inner.ingress.admission.room()
    }

    /// The same for a body of `bytes` that is not read before it is known that it would be let in.
    pub fn room_for(&self, bytes: u64) -> Result<Room, Refused> {
        self.inner.ingress.room_for(bytes)
    }

    /// Takes a batch through the line; one receipt per entry, in their order, once all are committed. `room` is that of
    /// the body that the entries were read from.
    ///
    /// The work goes on when this future is dropped.
    pub async fn process_events_batch(
        &self,
        entries: Vec<Entry>,
        handling: Handling,
        room: Room,
    ) -> Result<Vec<Receipt>, Refused> {
        self.inner.ingress.submit(entries, handling, room).await
    }

    /// Takes one event through the line: a batch of one.
    pub async fn process_event(&self, entry: Entry, room: Room) -> Result<Receipt, Refused> {
        let receipt = self.process_events_batch(vec![entry], Handling::Lenient, room).await?.pop();
        Ok(receipt.expect("a receipt per entry"))
    }

    /// What the line looks like now; `None` if its Supervisor is gone.
    pub async fn describe(&self) -> Option<PipelineView> {
        self.inner.supervisor.send(Describe).await.ok()
    }

    /// The nodes of the cluster, as the database has them; `None` if it does not answer soon.
    pub async fn nodes(&self) -> Option<Vec<BootView>> {
        let deps = &self.inner.deps;
        let nodes = deps.store.list_nodes(NODES_WAIT).await.ok()?;
        let lease = deps.config.lease.duration;
        Some(nodes.into_iter().map(|node| BootView::of(node, deps.identity.boot_id, lease)).collect())
    }

    /// Why events cannot be durably accepted now; empty if they can.
    pub fn readiness(&self) -> Vec<String> {
        let mut reasons = self.inner.storing.reasons();
        reasons.extend(self.inner.ingress.ids.shortage().map(|why| format!("no event ids are left: {why}")));
        reasons.extend(self.inner.deps.controls.pause_reasons());
        if self.inner.deps.stopping.has_begun() {
            reasons.push("the server is stopping".to_owned());
        }
        if !self.is_supervised() {
            reasons.push("the supervisor is gone".to_owned());
        }
        reasons
    }

    /// What fails now on the way of events onto a disk, even if another way is left, or keeps pending ones waiting.
    pub fn failing(&self) -> Vec<FailingCondition> {
        let claiming = self.inner.deps.health.claiming.failure();
        self.inner.storing.failing().into_iter().chain(claiming).collect()
    }

    /// How long this node has not been able to claim pending events, if so.
    pub fn claims_fail_for(&self) -> Option<Duration> {
        self.inner.deps.health.claiming.failing_for()
    }

    /// Whether the Supervisor lives; without it the process must end.
    pub fn is_supervised(&self) -> bool {
        self.inner.supervisor.connected()
    }

    /// How far the node has come on its way down.
    pub fn stopping(&self) -> &Arc<Stopping> {
        &self.inner.deps.stopping
    }

    /// The event `id` as it waits in this node's spool; an error if the spool cannot be read.
    pub async fn spooled_event(&self, id: i64) -> Result<Option<Event>, StoreError> {
        match &self.inner.deps.spool {
            Some(spool) => spool.find(id, WAIT).await,
            None => Ok(None),
        }
    }

    /// Events that wait in this node's spool.
    pub fn spooled_events(&self) -> u64 {
        self.inner.deps.spool.as_ref().map_or(0, |spool| spool.level().events)
    }

    /// What this node's spool holds, and how much it may; `None` if there is none.
    pub fn spool_level(&self) -> Option<(SpoolLevel, SpoolLimits)> {
        self.inner.deps.spool.as_ref().map(|spool| (spool.level(), spool.limits()))
    }

    /// The parked units of this node's spool, at most so many.
    pub async fn parked_units(&self, most: usize) -> Result<Vec<Parked>, StoreError> {
        match &self.inner.deps.spool {
            Some(spool) => spool.parked(most, WAIT).await,
            None => Ok(Vec::new()),
        }
    }

    /// Has all of them tried at once; what is still refused then ends as failed if `gives_up`. Returns their number.
    pub async fn retry_parked(&self, gives_up: bool) -> Result<u64, StoreError> {
        let Some(spool) = &self.inner.deps.spool else { return Ok(0) };
        let units = spool.retry_parked(gives_up, WAIT).await?;
        facts::parked_units_retried(units, gives_up);
        self.inner.pools.spooled.send(Spooled);
        Ok(units)
    }

    /// Whether the last heartbeat reached the database.
    pub fn is_database_up(&self) -> bool {
        self.inner.deps.health.trouble().is_none()
    }

    /// Most events and bytes that may be in flight.
    pub fn in_flight_limits(&self) -> (usize, usize) {
        self.inner.ingress.admission.limits()
    }

    /// Whether the event `id`, which is not in the database, may wait in the spool of another node. A spool counts as
    /// empty only if its node has said so since the question: the event may have been spooled just before.
    pub async fn may_be_spooled_by_peer(&self, id: i64) -> Result<bool, StoreError> {
        let mut seen: HashMap<Uuid, i64> = HashMap::new();
        loop {
            let owners = self.inner.deps.store.spools_for(id, self.inner.deps.identity.boot_id, WAIT).await?;
            if owners.iter().any(|owner| owner.has_events || owner.is_silent) {
                return Ok(true);
            }
            for SpoolOwner { boot_id, heartbeat, .. } in &owners {
                seen.entry(*boot_id).or_insert(*heartbeat);
            }
            if owners.iter().all(|owner| seen[&owner.boot_id] < owner.heartbeat) {
                return Ok(false);
            }
            tokio::time::sleep(HEARTBEAT_LOOK).await;
        }
    }

    /// Events that were admitted and are not settled.
    pub fn in_flight(&self) -> usize {
        self.inner.ingress.admission.in_flight().0
    }

    /// Waits until everything that was admitted is settled, then ends the line and gives the node's leases back; all
    /// within `limit`. Returns how many leases those were.
    pub async fn drain(&self, limit: Duration) -> u64 {
        self.inner.deps.stopping.close();
        // What remains then is counted by the caller.
        let _ = tokio::time::timeout(limit / 2, self.inner.ingress.admission.emptied()).await;
        // The line must be gone before its leases are: the Claimer could claim again.
        let _ = self.inner.supervisor.send(Stop).timeout(limit / 8).await;
        self.deregister(limit / 8).await
    }

    /// Leases go back and the node is marked as stopped; if the database is away, others find out by its silence.
    async fn deregister(&self, wait: Duration) -> u64 {
        let deps = &self.inner.deps;
        let store = &deps.store;
        let boot_id = deps.identity.boot_id;
        let left = async {
            let released = store.release_orphans(boot_id, Vec::new(), wait).await?;
            // What is in the spool now stays there: it is reported once more.
            store.heartbeat(boot_id, heartbeat::vitals(deps), wait).await?;
            // Only once nothing is held: the claims of a node that has stopped are taken over, and charged.
            store.stop_node(boot_id, wait).await?;
            Ok::<u64, StoreError>(released)
        };
        left.await.unwrap_or_else(|error| {
            facts::leave_failed(&error);
            0
        })
    }
}

fn ids(config: &Config, store: &Store, boot_id: Uuid) -> Ids {
    // With a spool, a request must reach it in time.
    let new = if config.has_spool() { Ids::with_fallback } else { Ids::new };
    new(store.clone(), boot_id, config.timeouts.flush)
}
