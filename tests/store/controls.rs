//! Controls: one change after the other, each with its generation and its row of the audit log.

use gristmill::domain::actor_kind::ActorKind;
use gristmill::store::{ControlChange, Controls, StoreOptions, Target};

use super::{WAIT, by, migrated, number};

const VALIDATORS: Target = Target::Pool(ActorKind::Validator);
const PERSISTERS: Target = Target::Pool(ActorKind::Persister);
const CLAIMER: Target = Target::Pool(ActorKind::Claimer);

/// Whoever changes what at once: no change is lost, and each generation is one change.
pub async fn contract_changes_of_controls_are_made_one_after_the_other(options: StoreOptions) {
    let store = migrated(&options).await;
    let restart = |target| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..10 {
                let changed =
                    store.change_controls(target, ControlChange::Restart, by(), WAIT).await.expect("an answer");
                seen.push(changed.generation);
            }
            seen
        })
    };
    let restarts: Vec<_> = [VALIDATORS, VALIDATORS, PERSISTERS, CLAIMER].map(restart).into_iter().collect();
    let mut seen = Vec::new();
    for restart in restarts {
        seen.extend(restart.await.expect("no panic"));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<i64>>());
    let controls = store.controls(WAIT).await.expect("the controls");
    assert_eq!(controls.generation, store.control_generation(WAIT).await.expect("a generation"));
    let restarts = |target| controls.of(target).restarts;
    assert_eq!([VALIDATORS, PERSISTERS, CLAIMER].map(restarts), [20, 10, 10]);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit WHERE action = 'pool_restarted'").await, 40);
}

/// What is wanted already moves nothing, and what is not may be undone.
pub async fn contract_a_control_is_stored_until_it_is_changed(options: StoreOptions) {
    let store = migrated(&options).await;
    assert_eq!(store.controls(WAIT).await.expect("the controls"), Controls::default());
    let change =
        async |target, change| store.change_controls(target, change, by(), WAIT).await.expect("an answer").generation;
    assert_eq!(change(VALIDATORS, ControlChange::Size(Some(64))).await, 1);
    assert_eq!(change(VALIDATORS, ControlChange::Size(Some(64))).await, 1);
    assert_eq!(change(Target::Pipeline, ControlChange::Pause).await, 2);
    assert_eq!(change(Target::Pipeline, ControlChange::Pause).await, 2);
    let controls = store.controls(WAIT).await.expect("the controls");
    assert_eq!((controls.of(VALIDATORS).size, controls.is_paused(CLAIMER)), (Some(64), true));
    assert_eq!(change(VALIDATORS, ControlChange::Size(None)).await, 3);
    assert_eq!(change(Target::Pipeline, ControlChange::Resume).await, 4);
    let controls = store.controls(WAIT).await.expect("the controls");
    assert_eq!((controls.of(VALIDATORS).size, controls.is_paused(CLAIMER)), (None, false));
    assert!(
        store.change_controls(VALIDATORS, ControlChange::Size(Some(65)), by(), WAIT).await.is_err(),
        "out of range"
    );
    assert_eq!(store.control_generation(WAIT).await.expect("a generation"), 4, "what fails moves nothing");
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit").await, 4);
}
