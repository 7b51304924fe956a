//! Facts about the database itself, such as its `identity`.

use sea_orm::entity::prelude::*;

/// A row of `meta`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "meta")]
pub struct Model {
    /// Name of the fact.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The fact.
    #[sea_orm(column_type = "Text")]
    pub value: String,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
