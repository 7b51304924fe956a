//! Flushes rolled up per minute and node.

use sea_orm::entity::prelude::*;

/// A row of `flush_minutes`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "flush_minutes")]
pub struct Model {
    /// Start of the minute.
    #[sea_orm(primary_key, auto_increment = false)]
    pub minute: DateTimeUtc,
    /// Name of the node.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// Sums of the flushes' counts.
    #[sea_orm(column_type = "JsonBinary")]
    pub counts: Json,
    /// How many flushes.
    pub flushes: i64,
    /// How many events.
    pub events: i64,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
