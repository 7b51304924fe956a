//! The removal of old rows: one row.

use sea_orm::entity::prelude::*;

/// The row of `retention`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retention")]
pub struct Model {
    /// 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Boot id of the node that is at it.
    pub holder: Option<Uuid>,
    /// Until when no other node takes it up, by the database's clock.
    pub held_until: Option<DateTimeUtc>,
    /// When the run under way began; null between two runs.
    pub began_at: Option<DateTimeUtc>,
    /// When the last run ended.
    pub ended_at: Option<DateTimeUtc>,
    /// What the run under way has removed, as a JSON object from what it was to a number.
    pub removed: String,
    /// What all runs have removed, likewise.
    pub removed_total: String,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
