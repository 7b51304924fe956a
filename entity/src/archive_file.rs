//! Files of the archive: how much of each is true.

use sea_orm::entity::prelude::*;

/// A row of `archive_files`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "archive_files")]
pub struct Model {
    /// The file, within the folder of the archive.
    #[sea_orm(primary_key, auto_increment = false)]
    pub path: String,
    /// The day of its rows, by UTC: when events were received, when other rows came about.
    pub day: String,
    /// The table of its rows; attempts and notes of replays stand beside their events.
    pub holds: String,
    /// The type of its events; absent where they have none, and for other rows.
    pub event_type: Option<String>,
    /// Rows up to where it is true.
    pub rows: i64,
    /// Bytes up to where it is true; what follows was never committed.
    pub bytes: i64,
    /// The sum of the SHA-256 of its lines, in hexadecimal digits.
    pub checksum: String,
    /// Rows, from the first on, that were brought back.
    pub restored: i64,
    /// When rows were last added, by the database's clock.
    pub written_at: DateTimeUtc,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
