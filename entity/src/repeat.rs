//! Repeats of refused events that were counted lately, so that none is counted twice.

use sea_orm::entity::prelude::*;

/// A row of `repeats`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "repeats")]
pub struct Model {
    /// The id that the repeat had been given.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The row that is kept of the first.
    pub event_id: i64,
    /// By the database's clock.
    pub repeated_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
