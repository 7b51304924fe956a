//! What operators want of the line, on every node.

use sea_orm::entity::prelude::*;

/// A row of `controls`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "controls")]
pub struct Model {
    /// `pipeline` for the whole line, or the name of a pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target: String,
    /// Actors of the pool; null = as configured.
    pub size: Option<i32>,
    /// Who stored the size, or removed it, last.
    pub size_by: Option<i64>,
    /// When, by the clock of the node that was asked.
    pub size_at: Option<DateTimeUtc>,
    /// Whether it is handed nothing.
    pub paused: bool,
    /// Who paused or resumed it last.
    pub paused_by: Option<i64>,
    /// When, by the clock of the node that was asked.
    pub paused_at: Option<DateTimeUtc>,
    /// How often its actors were to be replaced.
    pub restarts: i64,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
