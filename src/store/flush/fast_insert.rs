//! The first write of new events that were processed at once and have no key: the path of nearly all events, and the
//! shortest. Only what differs from row to row is passed; half of the columns follow from the others.
//!
//! Each database is called once. PostgreSQL gets one statement, which is its own transaction, or many rows by COPY; SQLite
//! gets a whole transaction in one text, because every hand-over to the thread of its connection costs more than a row.
//! A row that is there already makes all of the write fail, and the flush takes the long path, which distinguishes a
//! repetition from a collision.

use std::time::Instant;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{AssertSqlSafe, Executor, Sqlite, query_with};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement, Values};
use sea_query_sqlx::SqlxValues;

use super::super::open::Conn;
use super::super::{StoreError, StoreErrorKind, StoreOutcome};
use super::commit_gate::CommitGate;
use super::counts::Counted;
use super::record::{FlushHeader, Record, Written};
use super::{copy, postgres, sqlite};

/// Whether `records` can take the short path.
pub(super) fn is_first_write(records: &[Record], header: &FlushHeader) -> bool {
    header.is_first_write && records.len() <= sqlite::ROWS_MAX && records.iter().all(Record::is_plain)
}

/// Inserts all of `records`, or none: `None` if not all of them are new.
pub(super) async fn write(
    conn: &Conn,
    records: &[Record],
    header: &FlushHeader,
    gate: &CommitGate,
) -> Result<Option<Vec<Written>>, StoreError> {
    let written = vec![Written::Stored; records.len()];
    let flush = Counted::of(records, &written).values(header, Instant::now());
    let result = if conn.backend() == DatabaseBackend::Postgres && records.len() >= copy::ROWS_MIN {
        match copy::write(conn, records, header, flush, gate).await {
            Ok(false) => return Ok(None),
            result => result.map(drop),
        }
    } else if conn.backend() == DatabaseBackend::Postgres {
        let statement = postgres::insert_first(records, header, flush);
        gate.pass(conn)?;
        conn.write().execute_raw(statement).await.map(drop).map_err(StoreError::from)
    } else {
        let transaction = sqlite::insert_first(records, header, flush);
        let session = ScriptSession::on(conn).await?;
        gate.pass(conn)?;
        session.carry_out(transaction).await
    };
    match result {
        Ok(()) => Ok(Some(written)),
        Err(error) if matches!(error.kind, StoreErrorKind::Conflict | StoreErrorKind::Refused) => {
            if error.outcome == StoreOutcome::NotStored {
                gate.step_back();
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The writing connection of SQLite while it carries out the text of a whole transaction, of which the client knows
/// nothing. Dropped inside of one it is closed, which rolls it back.
struct ScriptSession {
    connection: PoolConnection<Sqlite>,
    is_inside: bool,
}

impl ScriptSession {
    async fn on(conn: &Conn) -> Result<Self, StoreError> {
        let connection = conn.write().pool().get_sqlite_connection_pool().acquire().await?;
        Ok(Self { connection, is_inside: false })
    }

    /// The text ends at the first of its statements that fails, and is rolled back.
    async fn carry_out(mut self, transaction: Statement) -> Result<(), StoreError> {
        let values = SqlxValues(transaction.values.unwrap_or_else(|| Values(Vec::new())));
        self.is_inside = true;
        let result = query_with(AssertSqlSafe(transaction.sql), values).execute(&mut *self.connection).await;
        // ROLLBACK fails where BEGIN did, or where the database has rolled back by itself; the connection is closed then.
        self.is_inside = result.is_err() && self.connection.execute("ROLLBACK").await.is_err();
        result.map(drop).map_err(StoreError::from)
    }
}

impl Drop for ScriptSession {
    fn drop(&mut self) {
        if self.is_inside {
            self.connection.close_on_drop();
        }
    }
}
