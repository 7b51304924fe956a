//! One row per failed attempt; an event that succeeds at once has none.

use sea_orm::entity::prelude::*;

/// A row of `attempts`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub struct Model {
    /// The event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: i64,
    /// Which replay of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i32,
    /// Counted from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i32,
    /// Absent when the work never started.
    pub started_at: Option<DateTimeUtc>,
    /// When it failed.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ended_at: DateTimeUtc,
    /// Name of the node.
    pub node: String,
    /// Where it failed.
    pub stage: String,
    /// A stable code.
    pub error_code: String,
    /// At most 255 characters.
    pub error: String,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
