//! Plans that do not depend on statistics: every search among events goes by an index that was chosen here.
//!
//! Statistics are of another time than the table: autovacuum never analyzes the parent of a partitioned table, and what a
//! backlog is made of was pending nowhere a minute ago. So PostgreSQL's planner is left nothing but indexes, for as long
//! as a transaction lasts, because a pooler may give the next one to another client's session; and on SQLite there are
//! no statistics at all.
//!
//! What remains is which index: a statement shows the columns of the wanted one, and hides other conditions with
//! [`hidden`].

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};

/// A plan that was made for an empty table and kept would be as bad as one by statistics; and what has no other plan than
/// one that is off looks so expensive that it would be compiled first.
macro_rules! indexes_only_sql {
    () => {
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
         SET LOCAL enable_incremental_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
         SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off"
    };
}

pub(super) use indexes_only_sql;

/// Leaves the transaction nothing but walks along indexes, and joins that look each row up.
pub(super) async fn indexes_only(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(indexes_only_sql!()).await?;
    }
    Ok(())
}

/// A condition that no index is chosen for.
pub(super) fn hidden(condition: &str) -> String {
    format!("CASE WHEN {condition} THEN TRUE ELSE FALSE END")
}

/// Forgets what `ANALYZE` has found in a SQLite file. The tables of statistics stay, empty: a connection reads them when it
/// opens, and again only when they are made anew.
pub(super) async fn forget_statistics(write: &DatabaseConnection) -> Result<(), DbErr> {
    let sql = "ANALYZE sqlite_schema; DELETE FROM sqlite_stat1; DELETE FROM sqlite_stat4; ANALYZE sqlite_schema";
    write.execute_unprepared(sql).await.map(drop)
}
