//! How far the removal of old rows has come along the ids.

use sea_orm::entity::prelude::*;

/// A row of `retention_walks`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retention_walks")]
pub struct Model {
    /// What is removed: the table, and the age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The rule by which it is removed; under another one the walk begins anew.
    pub rule: String,
    /// When it set out, by the database's clock.
    pub began_at: DateTimeUtc,
    /// The last id that it is done with.
    pub cursor_id: i64,
    /// The first id that is too young; null before and after a walk.
    pub bound_id: Option<i64>,
    /// Up to which id the partition behind the cursor was found to hold nothing that stays; the partition's end or more
    /// if it holds something that does.
    pub checked_id: i64,
    /// What was found there, as a JSON object from status to number.
    pub checked: String,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
