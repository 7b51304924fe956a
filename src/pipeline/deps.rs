//! What the actors of a line and the tasks beside it share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use uuid::Uuid;

use super::applied_controls::AppliedControls;
use super::faults::Faults;
use super::held_leases::HeldLeases;
use super::node_health::NodeHealth;
use super::stopping::Stopping;
use super::users::Users;
use crate::config::Config;
use crate::domain::retry::RetryPolicy;
use crate::store::{Controls, ReplayRules, Spool, Store};
use crate::telemetry::condition::Condition;

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

/// What the actors of a line and the tasks beside it share.
pub(super) struct Deps {
    pub config: Config,
    pub identity: Identity,
    pub store: Store,
    pub users: Arc<Users>,
    pub claims: HeldLeases,
    pub health: NodeHealth,
    pub controls: AppliedControls,
    pub stopping: Arc<Stopping>,
    /// What has to be drained, also by a node that spools nothing new.
    pub spool: Option<Spool>,
    /// Whether the database takes first writes; while it does not, new units go to the spool.
    pub writing: Condition,
    /// Whether the spool takes them.
    pub spooling: Condition,
    pub faults: Faults,
    /// Outcomes that came after their lease was lost.
    pub stale_writes: AtomicU64,
    /// Events that wait for a backoff timer.
    pub retries_waiting: AtomicUsize,
}

impl Deps {
    /// Of a node that starts with `controls`.
    pub fn new(
        config: &Config,
        identity: Identity,
        store: Store,
        spool: Option<Spool>,
        controls: Controls,
    ) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            identity,
            users: Users::new(store.clone(), config.auth.refresh),
            store,
            claims: HeldLeases::default(),
            health: NodeHealth::new(),
            controls: AppliedControls::new(controls),
            stopping: Arc::default(),
            spool,
            writing: Condition::grave("writing events"),
            spooling: Condition::grave("spooling events"),
            faults: faults(config),
            stale_writes: AtomicU64::default(),
            retries_waiting: AtomicUsize::default(),
        })
    }

    /// How failed events are tried again.
    pub fn policy(&self) -> RetryPolicy {
        self.config.retry.policy()
    }

    /// How stored events are processed anew.
    pub fn replay_rules(&self) -> ReplayRules {
        ReplayRules { limits: self.config.limits.payload(), keys_live_for: self.config.dedupe.window }
    }

    /// Where new events go while the database is away.
    pub fn spool_for_new(&self) -> Option<&Spool> {
        self.spool.as_ref().filter(|_| self.config.has_spool())
    }

    /// Whether no other node can consider this one dead, now or soon.
    pub fn is_heard(&self) -> bool {
        !self.stopping.is_closed() && self.health.is_heard_within(self.config.lease.duration)
    }

    /// Whether first writes have failed for so long that no request should wait for the end of that.
    pub fn writing_fails_for_long(&self) -> bool {
        self.writing.failing_for().is_some_and(|length| length >= self.config.timeouts.flush)
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
