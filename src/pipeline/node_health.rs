//! What this node knows of itself: whether it can write into its database, and whether the others have heard from it.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::telemetry::condition::Condition;

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
}

impl NodeHealth {
    /// Of a node that registers now: that counts as a heartbeat.
    pub fn new() -> Self {
        Self { claiming: Condition::new("claiming"), trouble: RwLock::default(), heard_at: RwLock::new(Instant::now()) }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the last heartbeat that arrived was sent less than `lease` ago.
    pub fn is_heard_within(&self, lease: Duration) -> bool {
        self.heard_at.read().unwrap_or_else(PoisonError::into_inner).elapsed() < lease
    }

    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub fn record_heartbeat(&self, sent_at: Instant) {
        *self.heard_at.write().unwrap_or_else(PoisonError::into_inner) = sent_at;
    }
}
