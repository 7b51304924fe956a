//! What a node does beside its events: it shows that it lives, watches its database file, and rolls up its flushes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock;
use crate::store::Store;
use crate::telemetry::facts;

/// Heartbeats in a lease time.
const HEARTBEATS_PER_LEASE: u32 = 5;

/// How often the database file is compared with the open one, and the longest wait for a heartbeat.
const SECOND: Duration = Duration::from_secs(1);

/// How often flushes are rolled up, and how old they must be: the live feed reads younger ones.
const ROLL_UP_PERIOD: Duration = Duration::from_secs(60);
const ROLL_UP_AGE: Duration = Duration::from_secs(3_600);

/// Longest wait for a roll-up or a removal of old keys.
const ROLL_UP_WAIT: Duration = Duration::from_secs(30);

/// Why the node cannot durably accept now, if it cannot.
#[derive(Default)]
pub(super) struct Health {
    trouble: RwLock<Option<String>>,
}

impl Health {
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// A node's part in the cluster.
pub(super) struct Node {
    pub store: Store,
    pub boot_id: Uuid,
    pub lease: Duration,
    pub dedupe_window: Duration,
    pub health: Arc<Health>,
}

impl Node {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let period = (self.lease / HEARTBEATS_PER_LEASE).min(SECOND);
        let mut rolled_up = Instant::now();
        loop {
            self.run_once().await;
            if rolled_up.elapsed() >= ROLL_UP_PERIOD {
                rolled_up = Instant::now();
                self.roll_up().await;
            }
            tokio::time::sleep(period).await;
        }
    }

    async fn run_once(&self) {
        let trouble = match self.store.check_file() {
            Err(error) => {
                facts::database_file_replaced(&error);
                Some(error.to_string())
            }
            Ok(()) => self.heartbeat().await,
        };
        self.health.set(trouble);
    }

    async fn heartbeat(&self) -> Option<String> {
        match self.store.heartbeat(self.boot_id, SECOND).await {
            Ok(_) => None,
            Err(error) => {
                facts::heartbeat_failed(&error);
                Some("the database does not answer".to_owned())
            }
        }
    }

    async fn roll_up(&self) {
        let before = clock::now() - ROLL_UP_AGE;
        loop {
            match self.store.roll_up(before, ROLL_UP_WAIT).await {
                Ok(0) => break,
                Ok(_) => self.run_once().await,
                Err(error) => {
                    facts::housekeeping_failed(&error);
                    break;
                }
            }
        }
        if let Err(error) = self.store.remove_keys(clock::now() - self.dedupe_window, ROLL_UP_WAIT).await {
            facts::housekeeping_failed(&error);
        }
    }
}
