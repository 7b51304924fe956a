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
    /// Finished events whose time in microseconds has at most 6 binary digits; null, as all of these, for none.
    pub took6: Option<i32>,
    /// With 7, and so on.
    pub took7: Option<i32>,
    /// With 8.
    pub took8: Option<i32>,
    /// With 9.
    pub took9: Option<i32>,
    /// With 10.
    pub took10: Option<i32>,
    /// With 11.
    pub took11: Option<i32>,
    /// With 12.
    pub took12: Option<i32>,
    /// With 13.
    pub took13: Option<i32>,
    /// With 14.
    pub took14: Option<i32>,
    /// With 15.
    pub took15: Option<i32>,
    /// With 16.
    pub took16: Option<i32>,
    /// With 17.
    pub took17: Option<i32>,
    /// With 18.
    pub took18: Option<i32>,
    /// With 19.
    pub took19: Option<i32>,
    /// With 20.
    pub took20: Option<i32>,
    /// With 21.
    pub took21: Option<i32>,
    /// With 22.
    pub took22: Option<i32>,
    /// With 23.
    pub took23: Option<i32>,
    /// With 24.
    pub took24: Option<i32>,
    /// With 25.
    pub took25: Option<i32>,
    /// With 26.
    pub took26: Option<i32>,
    /// With 27.
    pub took27: Option<i32>,
    /// With 28.
    pub took28: Option<i32>,
    /// With 29 or more.
    pub took29: Option<i32>,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
