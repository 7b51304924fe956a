//! Boots of nodes and their heartbeats. A name is reused after a restart, a boot id never.

use sea_orm::entity::prelude::*;

/// A row of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "nodes")]
pub struct Model {
    /// Random, made at each start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub boot_id: Uuid,
    /// From the configuration.
    pub name: String,
    /// Id of the data folder that this boot locks.
    pub folder: Uuid,
    /// By the database's clock.
    pub started_at: DateTimeUtc,
    /// Grows while the node lives.
    pub heartbeat: i64,
    /// By the database's clock; for people, liveness is judged by `heartbeat`.
    pub heartbeat_at: DateTimeUtc,
    /// Set when the boot ended, or when a later boot locked its folder.
    pub stopped_at: Option<DateTimeUtc>,
    /// Events that it had claimed, as of its last heartbeat.
    pub claims: i64,
    /// Events in the spool of its folder, as of its last heartbeat.
    pub spool_events: i64,
    /// Their bytes.
    pub spool_bytes: i64,
    /// The generation of the controls that it has applied.
    pub control_generation: i64,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
