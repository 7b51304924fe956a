//! Flushes rolled up by node and minute, after 8 days by the hour, after 60 days by the day.

use sea_orm::entity::prelude::*;

/// A row of `flush_minutes`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "flush_minutes")]
pub struct Model {
    /// Start of the minute, the hour or the day.
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
    /// Events that came with them: first writes and duplicates.
    pub received: i64,
    /// Outcomes of this kind, and so on for the others.
    pub processed: i64,
    /// Answered with an earlier event.
    pub duplicate: i64,
    /// Refused.
    pub validation_error: i64,
    /// Given up.
    pub failed: i64,
    /// Called off.
    pub cancelled: i64,
    /// Put off: attempts that are to be repeated.
    pub pending: i64,
    /// Microseconds of work on their events, from receipt or claim to the outcome.
    pub worked_us: i64,
    /// How long finished events took, as JSON: how many had a time in microseconds of so many binary digits, where any
    /// had. `{"9":12}` is 12 events of 256 to 511 µs; 6 stands for fewer digits too, 29 for more.
    pub took: String,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
