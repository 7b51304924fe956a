//! What a node does beside its events: it shows that it lives, watches its database file, and rolls up its flushes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::claims::Claims;
use crate::clock;
use crate::store::{Spool, Store, StoreError, Vitals};
use crate::telemetry::condition::Condition;

/// Heartbeats in a lease time.
const HEARTBEATS_PER_LEASE: u32 = 5;

/// How often the database file is compared with the open one, and the longest wait for a heartbeat.
const SECOND: Duration = Duration::from_secs(1);

/// How often there is housekeeping.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(60);

/// How old flushes must be to be rolled up: the live feed reads younger ones.
const ROLL_UP_AGE: Duration = Duration::from_secs(3_600);

/// Longest wait for a piece of housekeeping.
const HOUSEKEEPING_WAIT: Duration = Duration::from_secs(30);

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

/// Whether the node can write into its database.
#[derive(Default)]
pub(super) struct Health {
    trouble: RwLock<Option<Trouble>>,
}

impl Health {
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<Trouble>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// A node's part in the cluster.
pub(super) struct Node {
    pub store: Store,
    pub boot_id: Uuid,
    pub lease: Duration,
    pub health: Arc<Health>,
    pub spool: Option<Spool>,
    pub claims: Arc<Claims>,
    pub conditions: Conditions,
}

/// What a node notes of its life.
pub(super) struct Conditions {
    file: Condition,
    heartbeat: Condition,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { file: Condition::grave("the database file"), heartbeat: Condition::new("heartbeat") }
    }
}

impl Node {
    /// Shows that the node lives, and watches its database file; runs until it is dropped.
    pub async fn live(self) {
        let period = (self.lease / HEARTBEATS_PER_LEASE).min(SECOND);
        loop {
            self.live_once().await;
            tokio::time::sleep(period).await;
        }
    }

    async fn live_once(&self) {
        let file = self.store.check_file();
        self.conditions.file.note(&file);
        let trouble = match file {
            Err(error) => Some(Trouble::Barred(error.to_string())),
            Ok(()) => self.heartbeat().await,
        };
        self.health.set(trouble);
    }

    async fn heartbeat(&self) -> Option<Trouble> {
        let beat = self.store.heartbeat(self.boot_id, self.vitals(), SECOND).await;
        self.conditions.heartbeat.note(&beat);
        match beat {
            Ok(true) => None,
            Ok(false) => {
                Some(Trouble::Barred("another start with the same data folder has taken this node's place".to_owned()))
            }
            Err(_) => Some(Trouble::Away),
        }
    }

    /// What the others are told of this node.
    fn vitals(&self) -> Vitals {
        let spool = self.spool.as_ref().map(Spool::level).unwrap_or_default();
        Vitals { claims: self.claims.len() as u64, spool_events: spool.events, spool_bytes: spool.bytes }
    }
}

/// Rolls up old flushes and removes old keys, in pieces; runs until it is dropped. Apart from [`Node::live`]: however
/// long it takes, the node must be seen to live.
pub(super) async fn keep_house(store: Store, dedupe_window: Duration) {
    let condition = Condition::new("housekeeping");
    loop {
        tokio::time::sleep(HOUSEKEEPING_PERIOD).await;
        condition.note(&keep_house_once(&store, dedupe_window).await);
    }
}

async fn keep_house_once(store: &Store, dedupe_window: Duration) -> Result<(), StoreError> {
    while store.roll_up(clock::now() - ROLL_UP_AGE, HOUSEKEEPING_WAIT).await? > 0 {}
    while store.remove_keys(dedupe_window, HOUSEKEEPING_WAIT).await? > 0 {}
    Ok(())
}
