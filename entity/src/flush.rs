//! One row per flush, written in the flush's own transaction: the source of feed, statistics and balance.

use sea_orm::entity::prelude::*;

/// A row of `flushes`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "flushes")]
pub struct Model {
    /// The boot that flushed.
    #[sea_orm(primary_key, auto_increment = false)]
    pub boot_id: Uuid,
    /// Counts the flushes of that boot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Name of the node.
    pub node: String,
    /// Orders the feed: on PostgreSQL the transaction's own number, on SQLite one that grows from flush to flush.
    pub xid: Option<i64>,
    /// Ids of the events whose outcome was written.
    #[sea_orm(column_type = "JsonBinary")]
    pub event_ids: Json,
    /// Counts by outcome and event type.
    #[sea_orm(column_type = "JsonBinary")]
    pub counts: Json,
    /// Microseconds spent gathering.
    pub gathered_us: i64,
    /// Microseconds from the start of the write to the making of this row; a first write makes the row first: 0.
    pub wrote_us: i64,
    /// By the database's clock.
    pub flushed_at: DateTimeUtc,
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
