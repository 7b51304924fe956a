//! What a node does beside its events: it sends heartbeats, watches its database file, and rolls up its flushes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::held_leases::HeldLeases;
use crate::store::{Spool, Store, StoreError, Vitals};
use crate::telemetry::condition::Condition;

/// Heartbeats in a lease time.
const HEARTBEATS_PER_LEASE: u32 = 5;

/// How often the database file is compared with the open one, and the longest wait for a heartbeat.
const SECOND: Duration = Duration::from_secs(1);

/// How often there is housekeeping.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(60);

/// How often the clock of keys is advanced, and the length of SQLite's log checked.
const TENDING_PERIOD: Duration = Duration::from_secs(5);

/// How old flushes must be to be rolled up: the live feed reads younger ones.
const ROLL_UP_AGE: Duration = Duration::from_secs(3_600);
/// Age from which counted repeats are forgotten: far longer than any flush is tried again.
const REPEATS_AGE: Duration = Duration::from_secs(3_600);

/// Longest wait for a piece of housekeeping.
const HOUSEKEEPING_WAIT: Duration = Duration::from_secs(30);

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

/// Why the node cannot write into its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not answer.
    Away,
    /// It must not be written to.
    Barred(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("the database does not answer"),
            Self::Barred(why) => f.write_str(why),
        }
    }
}

/// Why the node cannot write into its database, if so, when its last heartbeat arrived, and whether it can claim.
pub(super) struct NodeHealth {
    pub claiming: Condition,
    trouble: RwLock<Option<Trouble>>,
    heard_at: RwLock<Instant>,
    is_shutting_down: AtomicBool,
}

impl NodeHealth {
    /// Of a node that registers now: that counts as a heartbeat.
    pub fn new() -> Self {
        Self {
            claiming: Condition::new("claiming"),
            trouble: RwLock::default(),
            heard_at: RwLock::new(Instant::now()),
            is_shutting_down: AtomicBool::new(false),
        }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no node can consider this one dead: its last heartbeat was sent less than `lease` ago, and it is not
    /// about to leave.
    pub fn is_heard_within(&self, lease: Duration) -> bool {
        if self.is_shutting_down.load(Ordering::Acquire) {
            return false;
        }
        self.heard_at.read().unwrap_or_else(PoisonError::into_inner).elapsed() < lease
    }

    /// Whether no heartbeat has arrived for this long, although the node is not about to leave.
    pub fn is_silent_for(&self, lease: Duration) -> bool {
        !self.is_shutting_down.load(Ordering::Acquire) && !self.is_heard_within(lease)
    }

    /// The node is about to report that it has stopped: what it claimed after that would be taken over and charged.
    pub fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn record_heartbeat(&self, sent_at: Instant) {
        *self.heard_at.write().unwrap_or_else(PoisonError::into_inner) = sent_at;
    }
}

/// A node's part in the cluster.
pub(super) struct Heartbeat {
    pub store: Store,
    pub boot_id: Uuid,
    pub lease: Duration,
    pub health: Arc<NodeHealth>,
    pub spool: Option<Spool>,
    pub claims: Arc<HeldLeases>,
}

impl Heartbeat {
    /// Starts the heartbeat; with other nodes, on a thread and a connection that nothing else uses: neither a busy
    /// store nor a full pool may look like a dead node.
    pub fn start(mut self) -> Result<(), StoreError> {
        self.store = self.store.apart("heartbeat")?;
        self.store.clone().spawn(self.live());
        Ok(())
    }

    /// Sends heartbeats, and watches the database file.
    async fn live(self) {
        let period = (self.lease / HEARTBEATS_PER_LEASE).min(SECOND);
        let (file, heartbeat) = (Condition::grave("the database file"), Condition::new("heartbeat"));
        loop {
            let found = self.store.check_file();
            file.note(&found);
            let trouble = match found {
                Err(error) => Some(Trouble::Barred(error.to_string())),
                Ok(()) => self.beat(&heartbeat).await,
            };
            self.health.set_trouble(trouble);
            tokio::time::sleep(period).await;
        }
    }

    async fn beat(&self, condition: &Condition) -> Option<Trouble> {
        let sent_at = Instant::now();
        let beat = self.store.heartbeat(self.boot_id, vitals(&self.claims, self.spool.as_ref()), SECOND).await;
        condition.note(&beat);
        match beat {
            Ok(true) => {
                self.health.record_heartbeat(sent_at);
                None
            }
            Ok(false) => {
                Some(Trouble::Barred("another start with the same data folder has taken this node's place".to_owned()))
            }
            Err(_) => Some(Trouble::Away),
        }
    }
}

/// What this node reports to the others.
pub(super) fn vitals(claims: &HeldLeases, spool: Option<&Spool>) -> Vitals {
    let spool = spool.map(Spool::level).unwrap_or_default();
    Vitals { claims: claims.len() as u64, spool_events: spool.events + spool.parked, spool_bytes: spool.bytes }
}

/// Begins the housekeeping, apart from the heartbeat: however long it takes, the node must be seen to live.
pub(super) fn start_housekeeping(store: &Store, dedupe_window: Duration) {
    store.spawn(housekeeping_loop(store.clone(), dedupe_window));
    store.spawn(maintenance_loop(store.clone()));
}

/// Rolls up old flushes and removes old keys, in pieces.
async fn housekeeping_loop(store: Store, dedupe_window: Duration) {
    let condition = Condition::new("housekeeping");
    loop {
        tokio::time::sleep(HOUSEKEEPING_PERIOD).await;
        condition.note(&clear_up(&store, dedupe_window).await);
    }
}

/// Advances the clock of keys, and keeps SQLite's log short.
async fn maintenance_loop(store: Store) {
    let (clock, log) = (Condition::new("moving the clock of keys"), Condition::new("emptying SQLite's log"));
    let mut moved_at = Instant::now();
    loop {
        tokio::time::sleep(TENDING_PERIOD).await;
        let now = Instant::now();
        let moved = store.advance_key_clock(now.duration_since(moved_at), HOUSEKEEPING_WAIT).await;
        moved_at = if moved.is_ok() { now } else { moved_at };
        clock.note(&moved);
        log.note(&store.empty_log(HOUSEKEEPING_WAIT).await);
    }
}

async fn clear_up(store: &Store, dedupe_window: Duration) -> Result<(), StoreError> {
    while store.roll_up(ROLL_UP_AGE, HOUSEKEEPING_WAIT).await? > 0 {}
    while store.remove_keys(dedupe_window, HOUSEKEEPING_WAIT).await? > 0 {}
    store.remove_repeats(REPEATS_AGE, HOUSEKEEPING_WAIT).await
}
