//! The controls in force on this node, readable without asking the Supervisor.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::actor_kind::ActorKind;
use crate::store::{Controls, Target};

/// The controls in force on this node.
pub(super) struct AppliedControls {
    applied: RwLock<Arc<Controls>>,
}

impl AppliedControls {
    /// Of a node that starts with `controls`.
    pub fn new(controls: Controls) -> Self {
        Self { applied: RwLock::new(Arc::new(controls)) }
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
        !stages().any(|stage| applied.is_paused(stage))
    }

    /// Whether stored events may be brought into the line: one that would wait at a stage is better claimed later.
    pub fn may_claim(&self) -> bool {
        self.all_stages_run() && !self.applied().is_paused(Target::Pool(ActorKind::Claimer))
    }

    /// Whether old rows may be removed; that goes on while the line is paused.
    pub fn may_prune(&self) -> bool {
        !self.applied().of(Target::Pool(ActorKind::Pruner)).is_paused
    }

    /// Why events cannot be accepted, one reason for each stage that is paused or one for all.
    pub fn pause_reasons(&self) -> Vec<String> {
        let applied = self.applied();
        if applied.of(Target::Pipeline).is_paused {
            return vec!["the pipeline is paused".to_owned()];
        }
        let paused = stages().filter(|stage| applied.is_paused(*stage));
        paused.map(|stage| format!("the {} are paused", stage.as_str())).collect()
    }
}

/// The stages, which an event cannot do without.
fn stages() -> impl Iterator<Item = Target> {
    ActorKind::stages().map(Target::Pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALIDATORS: Target = Target::Pool(ActorKind::Validator);
    const NORMALIZERS: Target = Target::Pool(ActorKind::Normalizer);
    const PERSISTERS: Target = Target::Pool(ActorKind::Persister);
    const CLAIMER: Target = Target::Pool(ActorKind::Claimer);

    fn controls(paused: &[Target]) -> AppliedControls {
        let mut controls = Controls::default();
        paused.iter().for_each(|target| controls.of_mut(*target).is_paused = true);
        AppliedControls::new(controls)
    }

    #[test]
    fn a_paused_stage_is_reported_and_ends_claims_and_a_paused_claimer_only_claims() {
        for (paused, reasons, is_open, may_claim) in [
            (&[][..], &[][..], true, true),
            (&[CLAIMER], &[], true, false),
            (&[PERSISTERS], &["the persisters are paused"], false, false),
            (&[VALIDATORS, NORMALIZERS], &["the validators are paused", "the normalizers are paused"], false, false),
            (&[Target::Pipeline, VALIDATORS], &["the pipeline is paused"], false, false),
        ] {
            let controls = controls(paused);
            assert_eq!(controls.pause_reasons(), reasons, "{paused:?}");
            assert_eq!((controls.all_stages_run(), controls.may_claim()), (is_open, may_claim), "{paused:?}");
        }
    }
}
