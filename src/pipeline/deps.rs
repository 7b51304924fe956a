//! What the actors are built from, under a configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize};

use super::applied_controls::AppliedControls;
use super::claimer::ClaimerRules;
use super::drainer::DrainerRules;
use super::faults::Faults;
use super::heartbeat::{Identity, NodeHealth};
use super::held_leases::HeldLeases;
use super::persister::{FlushLimits, PersisterRules, Settlement, SpoolWriter, Writer};
use super::pools::Pools;
use super::replayer::ReplayerRules;
use super::users::Users;
use crate::config::Config;
use crate::domain::payload::PayloadLimits;
use crate::domain::retry::RetryPolicy;
use crate::store::{Ids, ReplayRules, Spool, Store};
use crate::telemetry::condition::Condition;

/// What the actors are built from.
pub(super) struct Deps {
    pub store: Store,
    pub users: Arc<Users>,
    pub limits: PayloadLimits,
    pub persister_rules: PersisterRules,
    pub claimer_rules: ClaimerRules,
    pub drainer_rules: DrainerRules,
    pub replayer_rules: ReplayerRules,
    pub writer: Arc<Writer>,
    pub claims: Arc<HeldLeases>,
    pub consequences: Settlement,
    /// Where new events go while the database is away.
    pub spool_writer: Option<SpoolWriter>,
    /// What has to be drained, also by a node that spools nothing new.
    pub spool: Option<Spool>,
    /// Whether the database takes first writes.
    pub writing: Arc<Condition>,
    pub faults: Arc<Faults>,
    pub controls: Arc<AppliedControls>,
    pub retries_waiting: Arc<AtomicUsize>,
}

/// What the deps are built from: the node's own things.
pub(super) struct DepsBuilder<'a> {
    pub config: &'a Config,
    pub store: &'a Store,
    pub spool: &'a Option<Spool>,
    pub ids: &'a Ids,
    pub identity: &'a Identity,
    pub pools: &'a Pools,
    pub health: &'a Arc<NodeHealth>,
    pub controls: &'a Arc<AppliedControls>,
}

impl DepsBuilder<'_> {
    /// Builds the deps.
    pub fn build(&self) -> Deps {
        let (config, claims) = (self.config, HeldLeases::new());
        let writing = Arc::new(Condition::grave("writing events"));
        Deps {
            store: self.store.clone(),
            users: Users::new(self.store.clone(), config.auth.refresh),
            limits: self.config.limits.payload(),
            persister_rules: self.persister_rules(),
            claimer_rules: self.claimer_rules(),
            drainer_rules: self.drainer_rules(),
            replayer_rules: self.replayer_rules(),
            writer: self.writer(writing.clone()),
            consequences: Settlement {
                retry: self.pools.scheduled.clone(),
                claimer: self.pools.due.clone(),
                claims: claims.clone(),
                stale_writes: Arc::default(),
            },
            claims,
            spool_writer: self.spool_writer(writing.clone()),
            spool: self.spool.clone(),
            writing,
            faults: Arc::new(faults(config)),
            controls: self.controls.clone(),
            retries_waiting: Arc::default(),
        }
    }

    fn policy(&self) -> RetryPolicy {
        let retry = &self.config.retry;
        RetryPolicy {
            max_retries: retry.max_retries,
            delay: retry.delay,
            delay_max: retry.delay_max,
            jitter: retry.jitter,
        }
    }

    fn persister_rules(&self) -> PersisterRules {
        let config = self.config;
        PersisterRules {
            flush: FlushLimits { events_max: config.pipeline.flush_events, bytes_max: config.pipeline.flush_bytes },
            accept_timeout: config.timeouts.accept,
            keep_rejected: config.pipeline.keep_rejected,
            policy: self.policy(),
        }
    }

    fn claimer_rules(&self) -> ClaimerRules {
        let config = self.config;
        ClaimerRules {
            boot_id: self.identity.boot_id,
            lease: config.lease.duration,
            poll: config.lease.poll,
            health: self.health.clone(),
            claims_max: config.lease.claim_events,
            bytes_max: config.lease.claim_bytes,
            attempts_max: self.policy().attempts_max(),
            soft_timeout: config.timeouts.processing_soft(),
            controls: self.controls.clone(),
        }
    }

    fn drainer_rules(&self) -> DrainerRules {
        let config = self.config;
        DrainerRules {
            events_max: config.pipeline.flush_events,
            bytes_max: config.pipeline.flush_bytes,
            accept_timeout: config.timeouts.accept,
            soft_timeout: config.timeouts.processing_soft(),
            controls: self.controls.clone(),
        }
    }

    fn replayer_rules(&self) -> ReplayerRules {
        let config = self.config;
        ReplayerRules {
            replay: ReplayRules { limits: config.limits.payload(), keys_live_for: config.dedupe.window },
            poll: config.lease.poll,
            lease: config.lease.duration,
            health: self.health.clone(),
        }
    }

    fn writer(&self, writing: Arc<Condition>) -> Arc<Writer> {
        Arc::new(Writer {
            store: self.store.clone(),
            ids: self.ids.clone(),
            boot_id: self.identity.boot_id,
            node: self.identity.node.clone(),
            seq: AtomicI64::new(1),
            policy: self.policy(),
            flush_timeout: self.config.timeouts.flush,
            dedupe_window: self.config.dedupe.window,
            writing,
        })
    }

    fn spool_writer(&self, writing: Arc<Condition>) -> Option<SpoolWriter> {
        let spool = self.spool.clone().filter(|_| self.config.has_spool())?;
        Some(SpoolWriter {
            spool,
            writing,
            spooling: Arc::new(Condition::grave("spooling events")),
            drainer: self.pools.spooled.clone(),
            wait: self.config.timeouts.flush,
            is_busy: false,
        })
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
