//! What operators want of the line: sizes of pools, pauses, restarts.
//!
//! Guarantees: a change is one transaction with its row of the audit log, and moves the generation. Changes are made one
//! after the other, because each holds the row of the generation, so that a generation stands for one state of all
//! controls. What is stored is for every node; each reports which generation it has applied.

use std::iter;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{control, control_change, node};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{self, Action, Principal};
use super::error::StoreError;
use super::notifications::{self, Notification};
use super::open::Store;
use crate::clock;
use crate::domain::actor_kind::ActorKind;

/// What can be controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The whole line.
    Pipeline,
    /// A pool of it.
    Pool(ActorKind),
}

/// What can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlChange {
    /// This many actors; `None` = as configured.
    Size(Option<u16>),
    /// It is handed nothing from now on.
    Pause,
    /// It goes on.
    Resume,
    /// Its actors are replaced.
    Restart,
}

/// The author and time of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The user.
    pub by: i64,
    /// By the clock of the node that took the request.
    pub at: DateTime<Utc>,
}

/// What is wanted of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Its number of actors; `None` = as configured.
    pub size: Option<usize>,
    /// The author of that, or of its removal.
    pub sized: Option<Stamp>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// The author of its last pause or resume.
    pub paused: Option<Stamp>,
    /// How often a restart of its actors was ordered.
    pub restarts: i64,
}

/// What is wanted of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Grows with every change.
    pub generation: i64,
    pipeline: Control,
    pools: [Control; ActorKind::COUNT],
}

impl Target {
    /// All of them, in the order of the flow.
    pub fn all() -> impl Iterator<Item = Self> {
        iter::once(Self::Pipeline).chain(ActorKind::controlled().map(Self::Pool))
    }

    /// Its name in paths and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Pool(kind) => kind.pool_name(),
        }
    }

    /// The pool of this name.
    pub fn of_pool(name: &str) -> Option<Self> {
        Self::all().skip(1).find(|target| target.as_str() == name)
    }

    /// Its name in the audit log.
    fn object(self) -> String {
        match self {
            Self::Pipeline => self.as_str().to_owned(),
            Self::Pool(kind) => format!("pools/{}", kind.pool_name()),
        }
    }
}

impl Controls {
    /// What is wanted of `target`, whatever is wanted of the whole line.
    pub fn of(&self, target: Target) -> &Control {
        match target {
            Target::Pipeline => &self.pipeline,
            Target::Pool(kind) => &self.pools[kind as usize],
        }
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, target: Target) -> &mut Control {
        match target {
            Target::Pipeline => &mut self.pipeline,
            Target::Pool(kind) => &mut self.pools[kind as usize],
        }
    }

    /// Whether `target` is handed nothing: it is paused, or the whole line is.
    pub fn is_paused(&self, target: Target) -> bool {
        self.of(target).is_paused || self.of(Target::Pipeline).is_paused
    }
}

impl Store {
    /// What is wanted now.
    pub async fn controls(&self, wait: Duration) -> Result<Controls, StoreError> {
        self.run("read the controls", wait, |conn| async move { read(conn.read()).await }).await
    }

    /// Grows with every change of the controls.
    pub async fn control_generation(&self, wait: Duration) -> Result<i64, StoreError> {
        self.run("read the generation of the controls", wait, |conn| async move { generation(conn.read()).await }).await
    }

    /// Makes a change and returns what is wanted then. One that changes nothing is not stored.
    pub async fn change_controls(
        &self,
        target: Target,
        change: ControlChange,
        by: Principal,
        wait: Duration,
    ) -> Result<Controls, StoreError> {
        self.transaction("change the controls", wait, move |tx| {
            Box::pin(async move {
                // First: it holds the one row that every change writes, so what is read next is what is changed.
                hold(tx).await?;
                let before = read(tx).await?;
                let Some((action, detail)) = effect(before.of(target), change) else { return Ok(before) };
                move_on(tx).await?;
                write(tx, target, change, &by).await?;
                audit::note(tx, &by, action, target.object(), detail).await?;
                notifications::send(tx, Notification::Controls).await?;
                read(tx).await
            })
        })
        .await
    }

    /// Notes that the boot has applied this generation.
    pub async fn acknowledge_controls(&self, boot_id: Uuid, generation: i64, wait: Duration) -> Result<(), StoreError> {
        self.run("acknowledge the controls", wait, move |conn| async move {
            node::Entity::update_many()
                .col_expr(node::Column::ControlGeneration, Expr::value(generation))
                .filter(node::Column::BootId.eq(boot_id))
                .exec(conn.write())
                .await?;
            Ok(())
        })
        .await
    }
}

/// The action of a change in the audit log, and its details; `None` if nothing is changed by it.
fn effect(before: &Control, change: ControlChange) -> Option<(Action, Value)> {
    match change {
        ControlChange::Size(size) if size.map(usize::from) == before.size => None,
        ControlChange::Size(size) => Some((Action::PoolResized, json!({"size": size, "before": before.size}))),
        ControlChange::Pause => (!before.is_paused).then(|| (Action::PipelinePaused, json!({}))),
        ControlChange::Resume => before.is_paused.then(|| (Action::PipelineResumed, json!({}))),
        ControlChange::Restart => Some((Action::PoolRestarted, json!({}))),
    }
}

/// Holds the row of the generation to the end of the transaction.
async fn hold(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let generation = Expr::col(control_change::Column::Generation);
    let held = control_change::Entity::update_many().col_expr(control_change::Column::Generation, generation);
    StoreError::unless_written("control_changes", held.exec(tx).await?.rows_affected, 1)
}

async fn move_on(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let next = Expr::col(control_change::Column::Generation).add(1);
    let moved = control_change::Entity::update_many().col_expr(control_change::Column::Generation, next);
    StoreError::unless_written("control_changes", moved.exec(tx).await?.rows_affected, 1)
}

async fn write(
    tx: &DatabaseTransaction,
    target: Target,
    change: ControlChange,
    by: &Principal,
) -> Result<(), StoreError> {
    use control::Column;

    // Its row is made by the first change.
    let row = control::ActiveModel { target: Set(target.as_str().to_owned()), ..Default::default() };
    let absent = OnConflict::column(Column::Target).do_nothing().to_owned();
    control::Entity::insert(row).on_conflict(absent).exec_without_returning(tx).await?;
    let by = Expr::value(by.user_id);
    let now = Expr::value(clock::now());
    let update = control::Entity::update_many().filter(Column::Target.eq(target.as_str()));
    let update = match change {
        ControlChange::Size(size) => update
            .col_expr(Column::Size, Expr::value(size.map(i32::from)))
            .col_expr(Column::SizeBy, by)
            .col_expr(Column::SizeAt, now),
        ControlChange::Pause | ControlChange::Resume => update
            .col_expr(Column::Paused, Expr::value(change == ControlChange::Pause))
            .col_expr(Column::PausedBy, by)
            .col_expr(Column::PausedAt, now),
        ControlChange::Restart => update.col_expr(Column::Restarts, Expr::col(Column::Restarts).add(1)),
    };
    StoreError::unless_written("controls", update.exec(tx).await?.rows_affected, 1)
}

/// All controls of one generation: the transaction holds its row, or reads it again until nothing has moved.
async fn read(connection: &impl ConnectionTrait) -> Result<Controls, StoreError> {
    loop {
        let before = generation(connection).await?;
        let rows = control::Entity::find().all(connection).await?;
        if generation(connection).await? == before {
            let mut controls = Controls { generation: before, ..Controls::default() };
            for row in rows {
                // A newer node may control what this one does not know.
                let target = Target::all().find(|target| target.as_str() == row.target);
                if let Some(target) = target {
                    *controls.of_mut(target) = Control::of(row);
                }
            }
            return Ok(controls);
        }
    }
}

async fn generation(connection: &impl ConnectionTrait) -> Result<i64, StoreError> {
    let row = control_change::Entity::find_by_id(1).one(connection).await?;
    Ok(row.map_or(0, |row| row.generation))
}

impl Control {
    fn of(row: control::Model) -> Self {
        let stamp = |(by, at)| Stamp { by, at };
        Self {
            size: row.size.and_then(|size| usize::try_from(size).ok()),
            sized: row.size_by.zip(row.size_at).map(stamp),
            is_paused: row.paused,
            paused: row.paused_by.zip(row.paused_at).map(stamp),
            restarts: row.restarts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_there_already_is_none() {
        let sized = Control { size: Some(4), ..Control::default() };
        let paused = Control { is_paused: true, ..Control::default() };
        for (before, change, changes) in [
            (&sized, ControlChange::Size(Some(4)), false),
            (&sized, ControlChange::Size(Some(5)), true),
            (&sized, ControlChange::Size(None), true),
            (&paused, ControlChange::Size(None), false),
            (&paused, ControlChange::Pause, false),
            (&paused, ControlChange::Resume, true),
            (&sized, ControlChange::Pause, true),
            (&sized, ControlChange::Resume, false),
            (&sized, ControlChange::Restart, true),
        ] {
            assert_eq!(effect(before, change).is_some(), changes, "{change:?} of {before:?}");
        }
    }

    #[test]
    fn the_line_pauses_all_of_its_pools_and_a_pool_itself_only() {
        let mut controls = Controls::default();
        controls.of_mut(Target::Pool(ActorKind::Persister)).is_paused = true;
        let paused = |controls: &Controls| Target::all().map(|target| controls.is_paused(target)).collect::<Vec<_>>();
        assert_eq!(paused(&controls), [false, false, false, true, false, false]);
        controls.of_mut(Target::Pipeline).is_paused = true;
        assert_eq!(paused(&controls), [true; 6]);
    }
}
