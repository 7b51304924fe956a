//! What the line of a node looked like when it last said so.

use sea_orm::entity::prelude::*;

/// A row of `snapshots`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "snapshots")]
pub struct Model {
    /// The boot whose line it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub boot_id: Uuid,
    /// Pools and actors, as a JSON object that the database does not look into.
    pub line: String,
    /// By the database's clock.
    pub told_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
