//! Errors of the store, classified once: what to do next (`Kind`) and what is known (`Outcome`).

mod at_connecting;
mod result_code;
mod sqlstate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use sea_orm::sqlx::{self, postgres::PgSeverity};
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlxPostgresError, SqlxSqliteError};

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The database is away: the same work may succeed later, and so may any other.
    Transient,
    /// Room, memory or time did not suffice, for this work or for any: it may succeed later.
    Exhausted,
    /// A lock was not granted in time, on what this work needs: it may succeed later.
    Locked,
    /// Another transaction was in the way: the same work may succeed at once.
    Conflict,
    /// The database refuses this data, however often it is sent.
    Refused,
    /// Anything else: a mistake in the program or in the set-up.
    Bug,
}

impl StoreErrorKind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Exhausted => "exhausted",
            Self::Locked => "locked",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Bug => "bug",
        }
    }
}

/// What is known about the work that ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Nothing of it is in the database, now or later.
    NotStored,
    /// It may be stored, or may become so: the answer was lost or not waited for.
    Unknown,
}

/// A failed operation of the store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}{cause}", prefix(context))]
pub struct StoreError {
    /// What can be done about it.
    pub kind: StoreErrorKind,
    /// What is known about the work.
    pub outcome: StoreOutcome,
    /// The operation, in the words given to `Store::run`.
    pub context: &'static str,
    /// What went wrong; it is part of the text, so it is not a `source` that a report would print again.
    pub cause: Cause,
}

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The database or its driver says so.
    #[error(transparent)]
    Database(DbErr),
    /// The caller's wait ran out; the work goes on.
    #[error("no answer from the database within {0:?}")]
    WaitOver(Duration),
    /// The database reported success, but rows are missing.
    #[error("the database left out {missing} of {of} rows of {table}: a trigger or a rule suppresses them")]
    Unwritten {
        /// Their table.
        table: &'static str,
        /// How many were left out.
        missing: usize,
        /// Of how many.
        of: usize,
    },
    /// The work itself was given up.
    #[error("the database did not finish within {0:?}, given up")]
    Abandoned(Duration),
    /// The work panicked, or its runtime stopped.
    #[error("the work was lost: {0}")]
    Lost(String),
    /// The database or the options do not allow a safe start.
    #[error("{0}")]
    Setup(String),
    /// The server cannot be written to; another one at the same address may come.
    #[error("{0}")]
    WrongServer(&'static str),
    /// A stored event that cannot be read.
    #[error("{0}")]
    Unreadable(UnreadableEvent),
    /// A file whose content cannot be trusted.
    #[error("{0}")]
    Damage(String),
    /// A file beside the database.
    #[error("{}: {error}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The system's error.
        error: Arc<io::Error>,
    },
}

/// Stands in `StoreError::context` until `Store::run` names the operation.
const NO_CONTEXT: &str = "";

fn prefix(context: &str) -> String {
    if context == NO_CONTEXT { String::new() } else { format!("{context}: ") }
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind, outcome: StoreOutcome, cause: Cause) -> Self {
        Self { kind, outcome, context: NO_CONTEXT, cause }
    }

    /// A set-up that no retry mends.
    pub(super) fn setup(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Bug, StoreOutcome::NotStored, Cause::Setup(text.into()))
    }

    /// A server that has to be replaced by another.
    pub(super) fn wrong_server(text: &'static str) -> Self {
        Self::new(StoreErrorKind::Transient, StoreOutcome::NotStored, Cause::WrongServer(text))
    }

    pub(super) fn damage(text: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Bug, StoreOutcome::NotStored, Cause::Damage(text.into()))
    }

    pub(super) fn file(path: impl Into<PathBuf>, error: io::Error) -> Self {
        let cause = Cause::File { path: path.into(), error: Arc::new(error) };
        Self::new(StoreErrorKind::Transient, StoreOutcome::NotStored, cause)
    }

    /// A statement that ended without an error and left rows out: all of its transaction has to be rolled back.
    pub(super) fn unwritten(table: &'static str, missing: usize, of: usize) -> Self {
        Self::new(StoreErrorKind::Refused, StoreOutcome::NotStored, Cause::Unwritten { table, missing, of })
    }

    /// An error unless as many rows of `table` were written as were to be.
    pub(super) fn unless_written(table: &'static str, written: u64, of: usize) -> Result<(), Self> {
        let missing = of.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
        if missing == 0 { Ok(()) } else { Err(Self::unwritten(table, missing, of)) }
    }

    pub(super) fn in_context(mut self, context: &'static str) -> Self {
        if self.context == NO_CONTEXT {
            self.context = context;
        }
        self
    }

    /// Whether the server could not be reached, or wants to be tried later: it may be there soon. A server that
    /// answers that there is no such database or user is there already.
    pub fn is_unreachable(&self) -> bool {
        match self.of_driver() {
            Some(error) => match postgres(error) {
                Some(error) => at_connecting::may_pass(error.code(), error.message()),
                None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)),
            },
            None => self.is_without_connection() || matches!(self.cause, Cause::WrongServer(_)),
        }
    }

    /// Whether the pool had no connection to give.
    pub(super) fn is_without_connection(&self) -> bool {
        matches!(self.cause, Cause::Database(DbErr::ConnectionAcquire(_)))
    }

    /// Whether the pool had no connection to give in time.
    pub(super) fn is_late_connection(&self) -> bool {
        matches!(self.cause, Cause::Database(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)))
    }

    /// Whether the server takes no writes.
    pub(super) fn is_read_only(&self) -> bool {
        self.of_driver().and_then(postgres).is_some_and(|error| sqlstate::is_read_only(error.code()))
    }

    /// What happened, in words that anybody may read: a database's own words may hold data, and go to the log.
    pub fn outline(&self) -> String {
        let cause = match (&self.cause, self.of_driver()) {
            (Cause::Database(_), Some(error)) => match (postgres(error), sqlite_code(error)) {
                (Some(error), _) => format!("SQLSTATE {}", error.code()),
                (None, Some(code)) => format!("SQLite's code {code}"),
                (None, None) => "the connection to the database failed".to_owned(),
            },
            (Cause::Database(_), None) => "no connection to the database".to_owned(),
            (cause, _) => cause.to_string(),
        };
        format!("{}{cause}", prefix(self.context))
    }

    /// The driver's error about a statement or a connection.
    fn of_driver(&self) -> Option<&sqlx::Error> {
        match &self.cause {
            Cause::Database(
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error))
                | DbErr::Conn(RuntimeErr::SqlxError(error)),
            ) => Some(error),
            _ => None,
        }
    }

    /// Whether a SQLite file turned out to be damaged, or not to be a database.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self.cause, Cause::Damage(_))
            || self.of_driver().and_then(sqlite_code).is_some_and(result_code::is_damage)
    }

    /// Whether SQLite waited in vain for a lock.
    pub(super) fn is_locked(&self) -> bool {
        self.kind == StoreErrorKind::Locked && self.of_driver().and_then(sqlite_code).is_some()
    }

    /// Whether the same work may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Transient | StoreErrorKind::Exhausted | StoreErrorKind::Locked | StoreErrorKind::Conflict
        )
    }

    /// The same error of work whose COMMIT was never sent.
    pub fn before_commit(mut self) -> Self {
        self.outcome = StoreOutcome::NotStored;
        self
    }

    /// The same error of statements that give way to every row with one of our own keys: it was another constraint.
    pub(super) fn of_foreign_constraint(mut self) -> Self {
        let database = self.of_driver().and_then(sqlx::Error::as_database_error);
        if database.is_some_and(|error| error.is_unique_violation()) {
            self.kind = StoreErrorKind::Refused;
        }
        self
    }

    /// The error of a COMMIT.
    pub(super) fn of_commit(error: DbErr) -> Self {
        let mut error = Self::from(error);
        error.outcome = match error.of_driver() {
            Some(driver @ sqlx::Error::Database(_)) => classify_code(driver).1,
            _ => StoreOutcome::Unknown,
        };
        error
    }
}

impl From<DbErr> for StoreError {
    /// Right for a statement of its own; inside a transaction, `before_commit` knows more.
    fn from(error: DbErr) -> Self {
        let (kind, outcome) = classify(&error);
        Self::new(kind, outcome, Cause::Database(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::from(DbErr::Query(RuntimeErr::SqlxError(error.into())))
    }
}

fn classify(error: &DbErr) -> (StoreErrorKind, StoreOutcome) {
    match error {
        DbErr::ConnectionAcquire(_) => (StoreErrorKind::Transient, StoreOutcome::NotStored),
        // Only while a connection is made or awaited: the work was not sent.
        DbErr::Conn(RuntimeErr::SqlxError(error)) => (classify_sqlx(error).0, StoreOutcome::NotStored),
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => classify_sqlx(error),
        // An answer came and could not be read: the statement may have been carried out.
        DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => (StoreErrorKind::Bug, StoreOutcome::Unknown),
        _ => (StoreErrorKind::Bug, StoreOutcome::NotStored),
    }
}

fn classify_sqlx(error: &sqlx::Error) -> (StoreErrorKind, StoreOutcome) {
    use sqlx::Error as E;
    match error {
        E::Database(_) => classify_code(error),
        E::PoolTimedOut | E::PoolClosed | E::BeginFailed => (StoreErrorKind::Transient, StoreOutcome::NotStored),
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => (StoreErrorKind::Transient, StoreOutcome::Unknown),
        E::Encode(_) | E::InvalidArgument(_) => (StoreErrorKind::Refused, StoreOutcome::NotStored),
        E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) => (StoreErrorKind::Bug, StoreOutcome::Unknown),
        _ => (StoreErrorKind::Bug, StoreOutcome::NotStored),
    }
}

fn classify_code(error: &sqlx::Error) -> (StoreErrorKind, StoreOutcome) {
    let (kind, is_open) = match postgres(error) {
        Some(error) => {
            let is_over = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
            (sqlstate::kind(error.code(), error.routine()), is_over || sqlstate::leaves_open(error.code()))
        }
        None => {
            let code = sqlite_code(error).unwrap_or_default();
            (result_code::kind(code), result_code::leaves_open(code))
        }
    };
    (kind, if is_open { StoreOutcome::Unknown } else { StoreOutcome::NotStored })
}

fn postgres(error: &sqlx::Error) -> Option<&SqlxPostgresError> {
    error.as_database_error()?.try_downcast_ref()
}

fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<SqlxSqliteError>()?;
    error.code()?.parse().ok()
}

/// An event that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableEvent {
    /// Its number.
    pub id: i64,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl fmt::Display for UnreadableEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} cannot be read: {}", self.id, self.reason)
    }
}

impl From<UnreadableEvent> for StoreError {
    fn from(event: UnreadableEvent) -> Self {
        Self::new(StoreErrorKind::Bug, StoreOutcome::NotStored, Cause::Unreadable(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_to_a_statement_is_unknown_and_to_a_connect_is_not_stored() {
        let lost = || RuntimeErr::SqlxError(sqlx::Error::Io(io::ErrorKind::BrokenPipe.into()).into());
        assert_eq!(StoreError::from(DbErr::Exec(lost())).outcome, StoreOutcome::Unknown);
        assert_eq!(StoreError::from(DbErr::Conn(lost())).outcome, StoreOutcome::NotStored);
        assert_eq!(StoreError::of_commit(DbErr::Conn(lost())).outcome, StoreOutcome::Unknown);
        let inside = StoreError::from(DbErr::Exec(lost())).before_commit();
        assert_eq!(inside.outcome, StoreOutcome::NotStored);
    }

    #[test]
    fn the_text_names_the_operation_and_the_cause() {
        let cause = Cause::WaitOver(Duration::from_secs(2));
        let error = StoreError::new(StoreErrorKind::Transient, StoreOutcome::Unknown, cause).in_context("insert flush");
        assert_eq!(error.to_string(), "insert flush: no answer from the database within 2s");
        assert_eq!(error.outline(), error.to_string());
        let lost = StoreError::from(sqlx::Error::Io(io::Error::other("secret")));
        assert_eq!(lost.outline(), "the connection to the database failed");
    }
}
