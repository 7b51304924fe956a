//! The pipeline: a line of actors from the door to the database, and the Supervisor above it.
//!
//! In the order of the flow: `door`, `messages`, `validator`, `normalizer`, `persister`, `retry`, `claimer`;
//! `topology` connects them, `supervisor` keeps them alive.

mod admission;
mod claimer;
mod claims;
mod custody;
mod door;
mod faults;
mod gauges;
mod messages;
mod node;
mod normalizer;
mod persister;
mod pool;
mod retry;
mod stage;
mod supervisor;
mod topology;
mod users;
mod validator;
mod view;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use uuid::Uuid;

use self::admission::Admission;
use self::claimer::ClaimerRules;
use self::claims::Claims;
use self::custody::{Custody, Roll};
use self::door::{Door, DoorLimits};
pub use self::door::{Entry, Receipt, Refused, Room, Verdict};
use self::faults::Faults;
use self::node::{Health, Node};
use self::persister::{Consequences, FlushLimits, PersisterRules, Writer};
use self::supervisor::{Describe, Resize, Stop, Supervisor, SupervisorRules};
use self::topology::{Kind, Line, Parts, Pools};
use self::users::Users;
pub use self::view::{ActorView, InFlightView, NodeView, PipelineView, PoolView};
use crate::config::Config;
use crate::domain::payload::PayloadLimits;
use crate::domain::retry::RetryPolicy;
use crate::store::{Ids, Store, StoreError};
use crate::telemetry::facts;

/// Longest wait of the few statements that are not part of an event's way.
const WAIT: Duration = Duration::from_secs(5);

/// How often a drain looks whether the line is empty.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// Which process this is, for the database and for people.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Made at the start of the process, never used again.
    pub boot_id: Uuid,
    /// The node's name.
    pub node: String,
    /// The identity of its data folder.
    pub folder: Uuid,
}

/// Why a pool keeps its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResized {
    /// There is none of this name, or it always has one actor.
    NoSuchPool,
    /// The Supervisor is gone.
    Unsupervised,
}

/// A handle on the running line; clones share it.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    door: Door,
    store: Store,
    supervisor: Addr<Supervisor>,
    boot_id: Uuid,
    health: Arc<Health>,
}

impl Pipeline {
    /// Registers the node and starts the line. Must be called inside an actix system.
    pub async fn start(config: &Config, store: Store, identity: Identity) -> Result<Self, StoreError> {
        store.register_node(identity.boot_id, &identity.node, identity.folder, WAIT).await?;
        let (health, pools) = (Arc::new(Health::default()), Pools::new(config.actors.mailbox));
        let admission = Admission::new(config.pipeline.in_flight_events, config.pipeline.in_flight_bytes);
        let ids = Ids::new(store.clone(), identity.boot_id, config.timeouts.accept);
        let parts = parts(config, &store, &ids, &identity, &pools);
        let rules = SupervisorRules {
            validators: config.actors.validators,
            normalizers: config.actors.normalizers,
            persisters: config.actors.persisters,
            restart_backoff: config.actors.restart_backoff,
            restart_window: config.actors.restart_window,
            max_restarts: config.actors.max_restarts as usize,
            soft_timeout: config.timeouts.processing_soft(),
            hard_timeout: config.timeouts.processing,
        };
        let view = NodeView { name: identity.node.clone(), boot_id: identity.boot_id.to_string() };
        let (validators, room, roll) = (pools.submitted.clone(), admission.clone(), Arc::<Roll>::default());
        let for_line = roll.clone();
        let supervisor = Supervisor::start_in_arbiter(&Arbiter::new().handle(), move |context| {
            let custody = Custody::new(for_line, context.address().recipient());
            Supervisor::new(rules, Line { parts, pools, custody }, room, view)
        });
        let node = Node {
            store: store.clone(),
            boot_id: identity.boot_id,
            lease: config.lease.duration,
            health: health.clone(),
        };
        store.spawn(node.live());
        store.spawn(node::keep_house(store.clone(), config.dedupe.window));
        let limits =
            DoorLimits { accept_timeout: config.timeouts.accept, soft_timeout: config.timeouts.processing_soft() };
        let custody = Custody::new(roll, supervisor.clone().recipient());
        let draining = AtomicBool::new(false);
        let door = Door { admission, ids, validators, outbox: Arc::default(), custody, limits, draining };
        Ok(Self { inner: Arc::new(Inner { door, store, supervisor, boot_id: identity.boot_id, health }) })
    }

    /// Room for a request: taken while its body is read, handed in with its events.
    pub fn room(&self) -> Room {
        self.inner.door.room()
    }

    /// Takes a batch through the line; one receipt per entry, in their order, once all are committed. `room` is that of
    /// the body that the entries were read from.
    ///
    /// The work goes on when this future is dropped.
    pub async fn process_events_batch(&self, entries: Vec<Entry>, room: Room) -> Result<Vec<Receipt>, Refused> {
        self.inner.door.submit(entries, room).await
    }

    /// Takes one event through the line: a batch of one.
    pub async fn process_event(&self, entry: Entry, room: Room) -> Result<Receipt, Refused> {
        let receipt = self.process_events_batch(vec![entry], room).await?.pop();
        Ok(receipt.expect("a receipt per entry"))
    }

    /// What the line looks like now; `None` if its Supervisor is gone.
    pub async fn describe(&self) -> Option<PipelineView> {
        self.inner.supervisor.send(Describe).await.ok()
    }

    /// Gives the pool of this name another size, until the process ends; says what it looks like then.
    pub async fn resize(&self, pool: &str, size: usize) -> Result<PoolView, NotResized> {
        let kind = Kind::of_pool(pool).ok_or(NotResized::NoSuchPool)?;
        self.inner.supervisor.send(Resize { kind, size }).await.map_err(|_| NotResized::Unsupervised)
    }

    /// Why events cannot be durably accepted now; empty if they can.
    pub fn readiness(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.inner.health.trouble().into_iter().collect();
        if self.inner.door.draining.load(Ordering::Acquire) {
            reasons.push("the node is draining".to_owned());
        }
        if !self.is_supervised() {
            reasons.push("the supervisor is gone".to_owned());
        }
        reasons
    }

    /// Whether the Supervisor lives; without it the process must end.
    pub fn is_supervised(&self) -> bool {
        self.inner.supervisor.connected()
    }

    /// Takes nothing new from now on.
    pub fn close(&self) {
        self.inner.door.draining.store(true, Ordering::Release);
    }

    /// Events that were admitted and are not settled.
    pub fn in_flight(&self) -> usize {
        self.inner.door.admission.in_flight().0
    }

    /// Waits until everything that was admitted is settled, then ends the line and gives the node's leases back; all
    /// within `limit`.
    pub async fn drain(&self, limit: Duration) {
        self.close();
        let is_empty = async {
            while self.in_flight() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        // What remains then is counted by who asked.
        let _ = tokio::time::timeout(limit / 2, is_empty).await;
        // The line must be gone before its leases are: the Claimer could claim again.
        let _ = self.inner.supervisor.send(Stop).timeout(limit / 8).await;
        self.leave(limit / 8).await;
    }

    /// Leases go back and the node is marked as stopped; if the database is away, others find out by its silence.
    async fn leave(&self, wait: Duration) {
        let (store, boot_id) = (&self.inner.store, self.inner.boot_id);
        if let Err(error) = store.release_orphans(boot_id, Vec::new(), wait).await {
            facts::housekeeping_failed(&error);
        }
        if let Err(error) = store.stop_node(boot_id, wait).await {
            facts::housekeeping_failed(&error);
        }
    }
}

fn parts(config: &Config, store: &Store, ids: &Ids, identity: &Identity, pools: &Pools) -> Parts {
    let policy = RetryPolicy {
        max_retries: config.retry.max_retries,
        delay: config.retry.delay,
        delay_max: config.retry.delay_max,
        jitter: config.retry.jitter,
    };
    let claims = Claims::new();
    Parts {
        store: store.clone(),
        users: Users::new(store.clone(), config.auth.refresh),
        limits: PayloadLimits {
            bytes_max: config.limits.payload_bytes,
            depth_max: config.limits.payload_depth,
            number_chars_max: config.limits.number_chars,
        },
        persister_rules: PersisterRules {
            flush: FlushLimits { events_max: config.pipeline.flush_events, bytes_max: config.pipeline.flush_bytes },
            accept_timeout: config.timeouts.accept,
            keep_rejected: config.pipeline.keep_rejected,
            policy,
        },
        claimer_rules: ClaimerRules {
            boot_id: identity.boot_id,
            node: identity.node.clone(),
            lease: config.lease.duration,
            poll: config.lease.poll,
            claims_max: config.lease.claim_events,
            attempts_max: policy.attempts_max(),
            soft_timeout: config.timeouts.processing_soft(),
        },
        writer: Arc::new(Writer {
            store: store.clone(),
            ids: ids.clone(),
            boot_id: identity.boot_id,
            node: identity.node.clone(),
            seq: AtomicI64::new(1),
            policy,
            flush_timeout: config.timeouts.flush,
            dedupe_window: config.dedupe.window,
        }),
        consequences: Consequences {
            retry: pools.scheduled.clone(),
            claimer: pools.due.clone(),
            claims: claims.clone(),
            stale_writes: Arc::default(),
        },
        claims,
        faults: Arc::new(faults(config)),
        retries_waiting: Arc::default(),
    }
}

#[cfg(feature = "fault-injection")]
fn faults(config: &Config) -> Faults {
    Faults::new(&config.faults)
}

#[cfg(not(feature = "fault-injection"))]
fn faults(_: &Config) -> Faults {
    Faults
}
