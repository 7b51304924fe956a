//! Searches among events that change nothing: by indexes only, in one round trip.

use sea_orm::sqlx::{AssertSqlSafe, SqlSafeStr, query_with};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;

use super::StoreError;
use super::open::Conn;
use super::plans::indexes_only_sql;

impl Conn {
    /// The rows of a statement that searches among events and changes nothing, by indexes only.
    pub(super) async fn search(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(self.read().query_all_raw(statement).await?);
        }
        // With the driver itself, which begins and sets in one round trip.
        let pool = self.read().pool().get_postgres_connection_pool();
        let begin = match self.read().prelude() {
            Some(prelude) => {
                AssertSqlSafe(format!("BEGIN READ ONLY; {prelude}; {}", indexes_only_sql!())).into_sql_str()
            }
            None => concat!("BEGIN READ ONLY; ", indexes_only_sql!()).into_sql_str(),
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

/// What answers a statement that searches among events.
pub(super) trait RowSource: Sync {
    fn backend(&self) -> DbBackend;

    fn rows(&self, statement: Statement) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send;
}

impl RowSource for Conn {
    fn backend(&self) -> DbBackend {
        Self::backend(self)
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        self.search(statement).await
    }
}

impl RowSource for DatabaseTransaction {
    fn backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        Ok(self.query_all_raw(statement).await?)
    }
}
