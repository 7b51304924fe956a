//! The controls in force on this node, readable without asking the Supervisor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::{Controls, Target};

/// The stages, which an event cannot do without.
const STAGES: [Target; 3] = [Target::Validators, Target::Normalizers, Target::Persisters];

/// The controls in force on this node.
pub(super) struct AppliedControls {
    applied: RwLock<Arc<Controls>>,
    is_shutting_down: AtomicBool,
}

impl AppliedControls {
    /// Of a node that starts with `controls`.
    pub fn new(controls: Controls) -> Arc<Self> {
        Arc::new(Self { applied: RwLock::new(Arc::new(controls)), is_shutting_down: AtomicBool::new(false) })
    }

    pub fn applied(&self) -> Arc<Controls> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn apply(&self, controls: Controls) {
        *self.applied.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(controls);
    }

    /// Whether every stage processes what comes.
    pub fn all_stages_run(&self) -> bool {
        let applied = self.applied();
        !STAGES.into_iter().any(|stage| applied.is_paused(stage))
    }

    /// Whether stored events may be brought into the line: one that would wait at a stage is better claimed later.
    pub fn may_claim(&self) -> bool {
        self.all_stages_run() && !self.applied().is_paused(Target::Claimer)
    }

    /// Why events cannot be accepted, one reason for each stage that is paused or one for all.
    pub fn pause_reasons(&self) -> Vec<String> {
        let applied = self.applied();
        if applied.of(Target::Pipeline).is_paused {
            return vec!["the pipeline is paused".to_owned()];
        }
        let paused = STAGES.into_iter().filter(|stage| applied.is_paused(*stage));
        paused.map(|stage| format!("the {} are paused", stage.as_str())).collect()
    }

    /// The node is about to stop: nothing waits any longer for a stage to go on.
    pub fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    pub fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(paused: &[Target]) -> Arc<AppliedControls> {
        let mut controls = Controls::default();
        paused.iter().for_each(|target| controls.of_mut(*target).is_paused = true);
        AppliedControls::new(controls)
    }

    #[test]
    fn a_paused_stage_is_reported_and_ends_claims_and_a_paused_claimer_only_claims() {
        for (paused, reasons, is_open, may_claim) in [
            (&[][..], &[][..], true, true),
            (&[Target::Claimer], &[], true, false),
            (&[Target::Persisters], &["the persisters are paused"], false, false),
            (
                &[Target::Validators, Target::Normalizers],
                &["the validators are paused", "the normalizers are paused"],
                false,
                false,
            ),
            (&[Target::Pipeline, Target::Validators], &["the pipeline is paused"], false, false),
        ] {
            let controls = controls(paused);
            assert_eq!(controls.pause_reasons(), reasons, "{paused:?}");
            assert_eq!((controls.all_stages_run(), controls.may_claim()), (is_open, may_claim), "{paused:?}");
        }
    }
}
