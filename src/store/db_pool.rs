//! A pool as statements see it: each is its own transaction, begun as the way to the database needs it.

use sea_orm::entity::prelude::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use super::error::StoreError;

/// A pool of connections.
#[derive(Clone, Debug)]
pub struct DbPool {
    pool: DatabaseConnection,
    /// What each transaction begins with, where sessions are shared with others behind a pooler. A single statement needs
    /// a transaction there, too: between the steps of the driver it would change the session.
    prelude: Option<String>,
}

impl DbPool {
    pub(super) fn new(pool: DatabaseConnection, prelude: Option<String>) -> Self {
        Self { pool, prelude }
    }

    /// The pool itself, for its figures and for what no statement is.
    pub(super) fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// What a transaction begins with, beyond BEGIN.
    pub(super) fn prelude(&self) -> Option<&str> {
        self.prelude.as_deref()
    }

    /// Begins a transaction that only reads.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin_as(None).await
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: a later upgrade could not wait.
    pub(super) async fn begin_writing(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin_as(Some(SqliteTransactionMode::Immediate)).await
    }

    async fn begin_as(&self, mode: Option<SqliteTransactionMode>) -> Result<DatabaseTransaction, DbErr> {
        let mode = mode.filter(|_| self.get_database_backend() == DbBackend::Sqlite);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        let tx = self.pool.begin_with_options(options).await?;
        if let Some(prelude) = &self.prelude {
            tx.execute_unprepared(prelude).await?;
        }
        Ok(tx)
    }

    /// A transaction for one statement, if it needs one.
    async fn begin_shared(&self) -> Result<Option<DatabaseTransaction>, DbErr> {
        if self.prelude.is_some() { self.begin().await.map(Some) } else { Ok(None) }
    }
}

impl From<DatabaseConnection> for DbPool {
    fn from(pool: DatabaseConnection) -> Self {
        Self { pool, prelude: None }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for DbPool {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Some(tx) = self.begin_shared().await? else { return self.pool.execute_raw(statement).await };
        let result = tx.execute_raw(statement).await?;
        tx.commit().await.map(|()| result)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let Some(tx) = self.begin_shared().await? else { return self.pool.execute_unprepared(sql).await };
        let result = tx.execute_unprepared(sql).await?;
        tx.commit().await.map(|()| result)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(tx) = self.begin_shared().await? else { return self.pool.query_one_raw(statement).await };
        let row = tx.query_one_raw(statement).await?;
        tx.commit().await.map(|()| row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(tx) = self.begin_shared().await? else { return self.pool.query_all_raw(statement).await };
        let rows = tx.query_all_raw(statement).await?;
        tx.commit().await.map(|()| rows)
    }
}

pub(super) async fn begin(link: &DbPool) -> Result<DatabaseTransaction, StoreError> {
    link.begin_writing().await.map_err(|error| StoreError::from(error).before_commit())
}

/// Commits; an error shows whether the outcome is known.
pub async fn commit(tx: DatabaseTransaction) -> Result<(), StoreError> {
    tx.commit().await.map_err(StoreError::of_commit)
}
