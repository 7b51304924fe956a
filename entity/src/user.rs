//! Owners of events and tokens. Disabled, never deleted: events keep their ids.

use sea_orm::entity::prelude::*;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Given by the database.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Unique.
    #[sea_orm(unique)]
    pub email: String,
    /// A disabled user's tokens are refused and its events rejected.
    pub disabled: bool,
    /// When the user was made.
    pub created_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
