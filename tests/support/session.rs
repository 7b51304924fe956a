//! A session of the database beside the service, with a transaction that stays open.

use sea_orm::{ConnectOptions, ConnectionTrait, Database as Connector, DatabaseConnection, DbErr};

use super::database::{Database, Kind};
use super::wait::{SOON, wait_for};

/// An open transaction with its locks, until it is ended or dropped.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    connection: DatabaseConnection,
}

impl Session {
    /// Begins a transaction that writes, and runs `sql` in it.
    pub fn begin(database: &Database, sql: &str) -> Self {
        Self::try_begin(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Begins a transaction that writes; fails at once where another one of SQLite's is open.
    pub fn try_begin(database: &Database, sql: &str) -> Result<Self, DbErr> {
        let begin = match database.kind() {
            Kind::Sqlite => "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN",
        };
        Self::begin_with(database, begin, sql)
    }

    /// Begins a transaction that only reads, and runs `sql` in it.
    pub fn read(database: &Database, sql: &str) -> Self {
        Self::begin_with(database, "BEGIN", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn begin_with(database: &Database, begin: &str, sql: &str) -> Result<Self, DbErr> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let mode = if database.kind() == Kind::Sqlite { "?mode=rw" } else { "" };
        let mut options = ConnectOptions::new(format!("{}{mode}", database.url()));
        options.max_connections(1).sqlx_logging(false);
        let connection = runtime.block_on(async {
            let connection = Connector::connect(options).await?;
            connection.execute_unprepared(begin).await?;
            connection.execute_unprepared(sql).await?;
            Ok::<_, DbErr>(connection)
        })?;
        Ok(Self { runtime, connection })
    }

    /// Begins a transaction in which nobody else writes an event; under load SQLite lets it in after some tries.
    pub fn lock_events(database: &Database) -> Self {
        let lock = match database.kind() {
            Kind::Sqlite => "SELECT 1",
            Kind::Postgres => "LOCK TABLE events IN ACCESS EXCLUSIVE MODE",
        };
        let locked = || Self::try_begin(database, lock).ok();
        wait_for("the lock", SOON, locked, || format!("{:?}", Self::try_begin(database, lock).err()))
    }

    /// Ends the transaction.
    pub fn commit(self) {
        let ended = self.runtime.block_on(self.connection.execute_unprepared("COMMIT"));
        ended.expect("the transaction can be committed");
    }
}
