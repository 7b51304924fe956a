//! Schema migrations for SQLite and PostgreSQL.
//!
//! The caller runs them inside one transaction and under a lock: SeaORM takes none.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod first;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(first::First)]
    }
}
