//! Who had which event processed anew, or called it off.

use sea_orm::entity::prelude::*;

/// A row of `replays`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "replays")]
pub struct Model {
    /// The event; it has a row for each change.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: i64,
    /// The generation that began with it, or was called off.
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i32,
    /// `replayed` or `cancelled`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub action: String,
    /// The user whose token it was.
    pub by_user: i64,
    /// The job that did it, if it was one.
    pub job_id: Option<i64>,
    /// By the database's clock.
    pub at: DateTimeUtc,
    /// Whether the payload was changed.
    pub patched: bool,
    /// The payload before it was changed; read as text by hand-written SQL.
    #[sea_orm(column_type = "JsonBinary")]
    pub payload_before: Option<Json>,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
