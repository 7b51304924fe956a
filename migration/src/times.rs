//! How long events took, counted by classes, so that percentiles can be told of any sum of flushes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds a column for each class.
pub(crate) struct Times;

impl MigrationName for Times {
    fn name(&self) -> &str {
        "m20261129_000010_times"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Times {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["flushes", "flush_minutes"] {
            for digits in 6..=29 {
                // Null is none: it takes no room in a row, and most flushes have few classes. Older rows have none at all.
                let sql = format!("ALTER TABLE {table} ADD COLUMN took{digits} INTEGER");
                manager.get_connection().execute_unprepared(&sql).await?;
            }
        }
        Ok(())
    }
}
