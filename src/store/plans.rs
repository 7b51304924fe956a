//! Plans that do not depend on statistics: every search among events goes by an index that was chosen here.
//!
//! Statistics are of another time than the table: autovacuum never analyzes the parent of a partitioned table, and what a
//! backlog is made of was pending nowhere a minute ago. So PostgreSQL's planner is left nothing but indexes, for as long
//! as a transaction lasts, because a pooler may give the next one to somebody else's session; and on SQLite there are no
//! statistics at all.
//!
//! What remains is which index: a statement shows the columns of the one that is meant, and hides other conditions with
//! [`hidden`].

use sea_orm::sqlx::{AssertSqlSafe, SqlSafeStr, query_with};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Values,
};
use sea_query_sqlx::SqlxValues;

use super::StoreError;
use super::open::Conn;

/// A plan that was made for an empty table and kept would be as bad as one by statistics; and what has no other plan than
/// one that is off looks so expensive that it would be compiled first.
macro_rules! indexes_only {
    () => {
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
         SET LOCAL enable_incremental_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
         SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off"
    };
}

/// Leaves the transaction nothing but walks along indexes, and joins that look each row up.
pub(super) async fn indexes_only(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(indexes_only!()).await?;
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

impl Conn {
    /// The rows of a statement that searches among events and changes nothing, by indexes only.
    pub(super) async fn search(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(self.read().query_all_raw(statement).await?);
        }
        // With the driver itself, which begins and sets in one round trip.
        let pool = self.read().pool().get_postgres_connection_pool();
        let begin = match self.read().prelude() {
            Some(prelude) => AssertSqlSafe(format!("BEGIN READ ONLY; {prelude}; {}", indexes_only!())).into_sql_str(),
            None => concat!("BEGIN READ ONLY; ", indexes_only!()).into_sql_str(),
        };
        let mut tx = pool.begin_with(begin).await?;
        let values = SqlxValues(statement.values.unwrap_or_else(|| Values(Vec::new())));
        let rows = query_with(AssertSqlSafe(statement.sql), values).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }

    /// The one row of such a statement, if there is one.
    pub(super) async fn search_one(&self, statement: Statement) -> Result<Option<QueryResult>, StoreError> {
        Ok(self.search(statement).await?.pop())
    }
}
