//! Bearer tokens: the hash is kept, the secret is not.

use sea_orm::entity::prelude::*;

/// A row of `api_tokens`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_tokens")]
pub struct Model {
    /// Given by the database.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The owner, a row of `users`.
    pub user_id: i64,
    /// The token that opened it, if it is a session of the dashboard.
    pub parent_id: Option<i64>,
    /// What the owner calls it.
    pub name: String,
    /// SHA-256 of the token's text, 32 bytes, unique.
    #[sea_orm(column_type = "Blob", unique)]
    pub hash: Vec<u8>,
    /// First characters of the token's text, for display.
    pub prefix: String,
    /// Scope names, separated by a space.
    #[sea_orm(column_type = "Text")]
    pub scopes: String,
    /// When the token was made.
    pub created_at: DateTimeUtc,
    /// From then on it is refused; never, when absent.
    pub expires_at: Option<DateTimeUtc>,
    /// Set once, when the token is revoked.
    pub revoked_at: Option<DateTimeUtc>,
    /// Written in batches, so it lags.
    pub last_used_at: Option<DateTimeUtc>,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
