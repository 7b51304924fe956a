//! Fresh databases for tests, and a look into them past the service.

use std::path::Path;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{postgres, run};

/// Which of the two databases a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own in a private cluster.
    Postgres,
}

/// An empty database that belongs to one test.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    url: String,
}

impl Database {
    /// A SQLite file that does not exist yet, in an existing folder.
    pub fn sqlite() -> Self {
        Self::sqlite_in(&run::folder("sqlite"))
    }

    /// A SQLite file that does not exist yet, in this folder.
    pub fn sqlite_in(folder: &Path) -> Self {
        let file = folder.join("gristmill.db");
        Self { kind: Kind::Sqlite, url: format!("sqlite://{}", file.display()) }
    }

    /// An existing SQLite file.
    pub fn sqlite_at(file: &std::path::Path) -> Self {
        Self { kind: Kind::Sqlite, url: format!("sqlite://{}", file.display()) }
    }

    /// An empty database in the run's shared cluster.
    pub fn postgres() -> Self {
        Self::at(postgres::fresh_database())
    }

    /// The PostgreSQL database behind this URL, for tests with a cluster of their own.
    pub fn at(url: String) -> Self {
        Self { kind: Kind::Postgres, url }
    }

    /// Which database this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The URL for `database.url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first column of every row, which the query has to give as text and never null.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.with_connection(async |connection| {
            let rows = connection.query_all_raw(self.statement(sql)).await?;
            rows.iter().map(|row| row.try_get_by_index(0)).collect()
        })
    }

    /// Runs one statement that gives no rows; the number of rows it changed.
    pub fn execute(&self, sql: &str) -> u64 {
        self.with_connection(async |connection| Ok(connection.execute_raw(self.statement(sql)).await?.rows_affected()))
    }

    fn statement(&self, sql: &str) -> Statement {
        let backend = match self.kind {
            Kind::Sqlite => DbBackend::Sqlite,
            Kind::Postgres => DbBackend::Postgres,
        };
        Statement::from_string(backend, sql)
    }

    /// One connection for one look: nothing of it may outlive the call and hold a lock.
    fn with_connection<T>(
        &self,
        look: impl AsyncFnOnce(&sea_orm::DatabaseConnection) -> Result<T, sea_orm::DbErr>,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let result = runtime.block_on(async {
            let mode = if self.kind == Kind::Sqlite { "?mode=rwc" } else { "" };
            let mut options = sea_orm::ConnectOptions::new(format!("{}{mode}", self.url));
            options.max_connections(1).sqlx_logging(false);
            let connection = sea_orm::Database::connect(options).await?;
            let result = look(&connection).await;
            connection.close().await?;
            result
        });
        result.unwrap_or_else(|error| panic!("{}: {error}", self.url))
    }
}
