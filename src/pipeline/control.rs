//! Persistent control: the database holds what operators want, and every node applies it.
//!
//! Guarantees: a node that starts has applied what is stored before it takes work; one that was cut off applies it when
//! its database answers again; its row of `nodes` says what it has applied. Until then it goes on with what it applied
//! last. Not guaranteed: that all nodes change at the same instant.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;

use super::deps::Deps;
use super::supervisor::{Apply, Describe, Supervisor};
use super::view::{PipelineView, PoolView};
use super::{Pipeline, WAIT};
use crate::store::{ControlChange, Notification, NotificationListener, Principal, StoreError, Target};
use crate::telemetry::condition::Condition;

/// How often a node looks for changes: the notification may be lost.
const POLL: Duration = Duration::from_secs(1);

/// What became of a change.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Changed {
    /// The pool as this node has it then.
    Pool {
        /// The generation of the controls in force on this node.
        control_generation: i64,
        /// The pool.
        #[serde(flatten)]
        pool: PoolView,
    },
    /// The whole line as this node has it then.
    Line(PipelineView),
}

/// Why a change was not made, or cannot be shown.
#[derive(Debug)]
pub enum NotChanged {
    /// The database did not take it.
    Store(StoreError),
    /// It is stored, but the Supervisor is gone and with it the process.
    Unsupervised,
}

/// Applies the stored controls to the line whenever they change.
pub(super) struct ControlsReconciler {
    pub deps: Arc<Deps>,
    pub supervisor: Addr<Supervisor>,
    pub news: Arc<Notify>,
}

/// Passes notifications to a reconciler, for as long as its line lives.
struct ControlsListener {
    news: Arc<Notify>,
    supervisor: Addr<Supervisor>,
}

impl NotificationListener for ControlsListener {
    fn wake(&self) {
        self.news.notify_one();
    }

    fn is_listening(&self) -> bool {
        self.supervisor.connected()
    }
}

impl ControlsReconciler {
    /// Looks from now on.
    pub fn start(self) {
        self.deps.store.listen(
            Notification::Controls,
            ControlsListener { news: self.news.clone(), supervisor: self.supervisor.clone() },
        );
        self.deps.store.clone().spawn(self.run());
    }

    async fn run(self) {
        let condition = Condition::new("following the controls");
        let mut acknowledged = None;
        while self.supervisor.connected() {
            condition.note(&self.reconcile(&mut acknowledged).await);
            // Notified or not, it looks.
            let _ = tokio::time::timeout(POLL, self.news.notified()).await;
        }
    }

    async fn reconcile(&self, acknowledged: &mut Option<i64>) -> Result<(), StoreError> {
        if self.deps.store.control_generation(WAIT).await? != self.deps.controls.applied().generation {
            let wanted = self.deps.store.controls(WAIT).await?;
            // A Supervisor that is gone takes the process with it.
            let _ = self.supervisor.send(Apply(wanted)).await;
        }
        let applied = self.deps.controls.applied().generation;
        if *acknowledged != Some(applied) {
            self.deps.store.acknowledge_controls(self.deps.identity.boot_id, applied, WAIT).await?;
            *acknowledged = Some(applied);
        }
        Ok(())
    }
}

impl Pipeline {
    /// Stores a change for all nodes, and applies it on this one.
    pub async fn change(&self, target: Target, change: ControlChange, by: Principal) -> Result<Changed, NotChanged> {
        let inner = &self.inner;
        let wanted = inner.deps.store.change_controls(target, change, by, WAIT).await.map_err(NotChanged::Store)?;
        let applied = inner.supervisor.send(Apply(wanted)).await;
        // The node's row reports it.
        inner.news.notify_one();
        applied.map_err(|_| NotChanged::Unsupervised)?;
        let line = inner.supervisor.send(Describe).await.map_err(|_| NotChanged::Unsupervised)?;
        let control_generation = line.control_generation;
        let pool = line.pools.iter().find(|pool| pool.name == target.as_str()).cloned();
        Ok(pool.map_or(Changed::Line(line), |pool| Changed::Pool { control_generation, pool }))
    }

    /// Why nothing is accepted or drained, if a stage is paused.
    pub fn paused(&self) -> Vec<String> {
        self.inner.deps.controls.pause_reasons()
    }
}
