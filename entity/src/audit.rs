//! The audit log: who changed what.

use sea_orm::entity::prelude::*;

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Given by the database.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// By the clock of the node that made the change.
    pub at: DateTimeUtc,
    /// The user whose token it was; null for a command on a machine of the service.
    pub by_user: Option<i64>,
    /// That token.
    pub by_token: Option<i64>,
    /// The node that made the change.
    pub node: String,
    /// What was done, in one word.
    pub action: String,
    /// What it was done to, as `tokens/7`.
    pub object: String,
    /// What belongs to it, as a JSON object; never a secret.
    #[sea_orm(column_type = "JsonBinary")]
    pub detail: Json,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
