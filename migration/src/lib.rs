//! Schema migrations for SQLite and PostgreSQL.
//!
//! The caller runs them inside one transaction and under a lock: SeaORM takes none.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod audit;
mod controls;
mod feed;
mod figures;
mod first;
mod jobs;
mod json_text;
mod key_clock;
mod pending;
mod received;
mod repeats;
mod replays;
mod sessions;
mod snapshots;
mod times;
mod traces;
mod vitals;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(first::First),
            Box::new(vitals::Vitals),
            Box::new(received::Received),
            Box::new(figures::Figures),
            Box::new(feed::Feed),
            Box::new(replays::Replays),
            Box::new(jobs::Jobs),
            Box::new(audit::Audit),
            Box::new(controls::Controls),
            Box::new(sessions::Sessions),
            Box::new(times::Times),
            Box::new(snapshots::Snapshots),
            Box::new(traces::Traces),
            Box::new(pending::Pending),
            Box::new(key_clock::KeyClock),
            Box::new(repeats::Repeats),
            Box::new(json_text::JsonText),
        ]
    }
}
