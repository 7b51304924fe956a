//! Blocks of event ids, spent before their first id leaves; blocks never overlap.

use sea_orm::entity::prelude::*;

/// A row of `id_blocks`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "id_blocks")]
pub struct Model {
    /// First id of the block.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_id: i64,
    /// Last id of the block, inclusive.
    pub last_id: i64,
    /// The boot that spends it.
    pub boot_id: Uuid,
    /// By the database's clock.
    pub reserved_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
