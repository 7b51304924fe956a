//! Who holds which dedupe key; written in the event's own transaction.

use sea_orm::entity::prelude::*;

/// A row of `dedupe_keys`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dedupe_keys")]
pub struct Model {
    /// Keys of different users never meet.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// 0 = `event_uid`, 1 = `Idempotency-Key`, 2 = the content of a refused event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub namespace: i16,
    /// At most 255 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The event that holds the key.
    pub event_id: i64,
    /// Tells a repeated event from another one under the same key.
    #[sea_orm(column_type = "Blob")]
    pub content_hash: Vec<u8>,
    /// Old keys are dropped by it.
    pub created_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
