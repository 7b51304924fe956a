//! Errors of the store, classified once: what to do next (`Kind`) and what is known (`Outcome`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr, SqlxPostgresError, SqlxSqliteError};

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The database is away, busy or full: the same work may succeed later.
    Transient,
    /// Another transaction was in the way: the same work may succeed at once.
    Conflict,
    /// The database refuses this data, however often it is sent.
    Refused,
    /// Anything else: a mistake in the program or in the set-up.
    Bug,
}

impl Kind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Bug => "bug",
        }
    }
}

/// What is known about the work that ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
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
    pub kind: Kind,
    /// What is known about the work.
    pub outcome: Outcome,
    /// The operation, in the words given to `Store::run`.
    pub context: &'static str,
    /// What went wrong; it stands in the text, so it is no `source` that a report would print again.
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
    /// The work itself was given up.
    #[error("the database did not finish within {0:?}, given up")]
    Abandoned(Duration),
    /// The work panicked, or its runtime stopped.
    #[error("the work was lost: {0}")]
    Lost(String),
    /// The database or the options do not allow a safe start.
    #[error("{0}")]
    Setup(String),
    /// A file whose content cannot be trusted.
    #[error("{0}")]
    Damage(String),
    /// A file beside the database.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: Arc<io::Error>,
    },
}

/// Stands in `StoreError::context` until `Store::run` names the operation.
const NO_CONTEXT: &str = "";

fn prefix(context: &str) -> String {
    if context == NO_CONTEXT { String::new() } else { format!("{context}: ") }
}

impl StoreError {
    pub(super) fn new(kind: Kind, outcome: Outcome, cause: Cause) -> Self {
        Self { kind, outcome, context: NO_CONTEXT, cause }
    }

    /// A set-up that no retry mends.
    pub(super) fn setup(text: impl Into<String>) -> Self {
        Self::new(Kind::Bug, Outcome::NotStored, Cause::Setup(text.into()))
    }

    pub(super) fn damage(text: impl Into<String>) -> Self {
        Self::new(Kind::Bug, Outcome::NotStored, Cause::Damage(text.into()))
    }

    pub(super) fn file(path: impl Into<PathBuf>, error: io::Error) -> Self {
        let cause = Cause::File { path: path.into(), error: Arc::new(error) };
        Self::new(Kind::Transient, Outcome::NotStored, cause)
    }

    pub(super) fn in_context(mut self, context: &'static str) -> Self {
        if self.context == NO_CONTEXT {
            self.context = context;
        }
        self
    }

    /// Whether the server could not be spoken to, or asks to be tried later: it may be there soon. A server that
    /// answers that there is no such database or user is there already.
    pub fn is_unreachable(&self) -> bool {
        let Cause::Database(error) = &self.cause else { return false };
        let Some(error) = driver_error(error) else { return matches!(error, DbErr::ConnectionAcquire(_)) };
        match postgres(error) {
            Some(error) => matches!(error.code().get(..2), Some("08" | "53" | "57")),
            None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)),
        }
    }

    /// Whether a SQLite file turned out to be damaged, or to be none.
    pub(super) fn is_damage(&self) -> bool {
        const CORRUPT: i32 = 11;
        const NOT_A_DATABASE: i32 = 26;
        matches!(self.cause, Cause::Damage(_)) || matches!(self.primary_code(), CORRUPT | NOT_A_DATABASE)
    }

    /// Whether SQLite waited in vain for a lock.
    pub(super) fn is_locked(&self) -> bool {
        const BUSY: i32 = 5;
        const PROTOCOL: i32 = 15;
        // A conflict of transactions has the same code.
        self.kind == Kind::Transient && matches!(self.primary_code(), BUSY | PROTOCOL)
    }

    /// SQLite's primary code; zero of any other error.
    fn primary_code(&self) -> i32 {
        let Cause::Database(error) = &self.cause else { return 0 };
        driver_error(error).and_then(sqlite_code).unwrap_or_default() & 0xff
    }

    /// Whether the same work may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Conflict)
    }

    /// The same error of work whose COMMIT was never sent.
    pub fn before_commit(mut self) -> Self {
        self.outcome = Outcome::NotStored;
        self
    }

    /// The error of a COMMIT.
    pub(super) fn of_commit(error: DbErr) -> Self {
        let mut error = Self::from(error);
        error.outcome = match &error.cause {
            Cause::Database(error) => commit_outcome(error),
            _ => Outcome::Unknown,
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

fn classify(error: &DbErr) -> (Kind, Outcome) {
    match error {
        DbErr::ConnectionAcquire(_) => (Kind::Transient, Outcome::NotStored),
        // Only while a connection is made or awaited: the work was not sent.
        DbErr::Conn(RuntimeErr::SqlxError(error)) => (classify_sqlx(error).0, Outcome::NotStored),
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => classify_sqlx(error),
        // An answer came and could not be read: the statement may have been carried out.
        DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => (Kind::Bug, Outcome::Unknown),
        _ => (Kind::Bug, Outcome::NotStored),
    }
}

fn classify_sqlx(error: &sqlx::Error) -> (Kind, Outcome) {
    use sqlx::Error as E;
    match error {
        E::Database(_) => classify_code(error),
        E::PoolTimedOut | E::PoolClosed | E::BeginFailed => (Kind::Transient, Outcome::NotStored),
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => (Kind::Transient, Outcome::Unknown),
        E::Encode(_) | E::InvalidArgument(_) => (Kind::Refused, Outcome::NotStored),
        E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) => (Kind::Bug, Outcome::Unknown),
        _ => (Kind::Bug, Outcome::NotStored),
    }
}

fn classify_code(error: &sqlx::Error) -> (Kind, Outcome) {
    if let Some(error) = postgres(error) {
        let outcome = if ended_session(error.code()) { Outcome::Unknown } else { Outcome::NotStored };
        return (sqlstate_kind(error.code(), error.message()), outcome);
    }
    let code = sqlite_code(error).unwrap_or_default();
    let outcome = if code & 0xff == SQLITE_IOERR { Outcome::Unknown } else { Outcome::NotStored };
    (sqlite_kind(code), outcome)
}

fn postgres(error: &sqlx::Error) -> Option<&SqlxPostgresError> {
    error.as_database_error()?.try_downcast_ref()
}

fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<SqlxSqliteError>()?;
    error.code()?.parse().ok()
}

fn commit_outcome(error: &DbErr) -> Outcome {
    match driver_error(error) {
        Some(error @ sqlx::Error::Database(_)) => classify_code(error).1,
        _ => Outcome::Unknown,
    }
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// States after which the session is gone: its last statement may have been carried out.
fn ended_session(sqlstate: &str) -> bool {
    matches!(sqlstate.get(..2), Some("08" | "58" | "XX")) || sqlstate.starts_with("57P") || sqlstate == "40003"
}

fn sqlstate_kind(code: &str, message: &str) -> Kind {
    match code {
        "40003" => return Kind::Transient,
        "23505" | "42P05" | "55P03" => return Kind::Conflict,
        // Plans are made again after a change of the schema; other uses of the code are ours.
        "0A000" if message.contains("cached plan") => return Kind::Conflict,
        "25006" | "25P03" | "3D000" | "55006" => return Kind::Transient,
        _ => {}
    }
    match code.get(..2) {
        // Lost or refused connections (28: a password being changed), resources, shutdown and timeouts, disks.
        Some("08" | "28" | "53" | "57" | "58") => Kind::Transient,
        // 26: a prepared statement that another session of a pooler has.
        Some("26" | "40") => Kind::Conflict,
        // P0: raised by a trigger of the operator's own.
        Some("22" | "23" | "54" | "P0") => Kind::Refused,
        _ => Kind::Bug,
    }
}

const SQLITE_IOERR: i32 = 10;

/// <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
fn sqlite_kind(code: i32) -> Kind {
    const BUSY_SNAPSHOT: i32 = 517;
    const UNIQUE: [i32; 3] = [1555, 2067, 2579];
    match code {
        BUSY_SNAPSHOT => return Kind::Conflict,
        code if UNIQUE.contains(&code) => return Kind::Conflict,
        _ => {}
    }
    match code & 0xff {
        // PERM, ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
        3..=10 | 13..=15 => Kind::Transient,
        // SCHEMA
        17 => Kind::Conflict,
        // TOOBIG, CONSTRAINT, MISMATCH
        18..=20 => Kind::Refused,
        _ => Kind::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Bug, Conflict, Refused, Transient};

    #[test]
    fn each_sqlstate_has_its_kind() {
        let table = [
            ("08006", Transient),
            ("28P01", Transient),
            ("53100", Transient),
            ("53300", Transient),
            ("57014", Transient),
            ("57P01", Transient),
            ("57P03", Transient),
            ("58030", Transient),
            ("25006", Transient),
            ("25P03", Transient),
            ("40003", Transient),
            ("40001", Conflict),
            ("40P01", Conflict),
            ("55P03", Conflict),
            ("23505", Conflict),
            ("22P05", Refused),
            ("22003", Refused),
            ("23502", Refused),
            ("23514", Refused),
            ("P0001", Refused),
            ("26000", Conflict),
            ("42P05", Conflict),
            ("54000", Refused),
            ("54001", Refused),
            ("0A000", Bug),
            ("25P02", Bug),
            ("42P01", Bug),
            ("XX000", Bug),
        ];
        for (code, kind) in table {
            assert_eq!(sqlstate_kind(code, ""), kind, "{code}");
        }
        let plan = "cached plan must not change result type";
        assert_eq!(sqlstate_kind("0A000", plan), Conflict);
    }

    #[test]
    fn each_sqlite_code_has_its_kind() {
        let table = [
            (5, Transient),
            (261, Transient),
            (6, Transient),
            (8, Transient),
            (1032, Transient),
            (10, Transient),
            (1034, Transient),
            (13, Transient),
            (14, Transient),
            (517, Conflict),
            (17, Conflict),
            (1555, Conflict),
            (2067, Conflict),
            (2579, Conflict),
            (18, Refused),
            (275, Refused),
            (787, Refused),
            (1299, Refused),
            (20, Refused),
            (1, Bug),
            (11, Bug),
            (26, Bug),
        ];
        for (code, kind) in table {
            assert_eq!(sqlite_kind(code), kind, "{code}");
        }
    }

    #[test]
    fn only_a_state_that_ends_the_session_leaves_the_outcome_open() {
        for code in ["08006", "57P01", "58030", "XX000", "40003"] {
            assert!(ended_session(code), "{code}");
        }
        for code in ["40001", "57014", "53100", "23505"] {
            assert!(!ended_session(code), "{code}");
        }
    }

    #[test]
    fn a_lost_answer_to_a_statement_is_unknown_and_to_a_connect_is_not_stored() {
        let lost = || RuntimeErr::SqlxError(sqlx::Error::Io(io::ErrorKind::BrokenPipe.into()).into());
        assert_eq!(StoreError::from(DbErr::Exec(lost())).outcome, Outcome::Unknown);
        assert_eq!(StoreError::from(DbErr::Conn(lost())).outcome, Outcome::NotStored);
        assert_eq!(StoreError::of_commit(DbErr::Conn(lost())).outcome, Outcome::Unknown);
        let inside = StoreError::from(DbErr::Exec(lost())).before_commit();
        assert_eq!(inside.outcome, Outcome::NotStored);
    }

    #[test]
    fn the_text_names_the_operation_and_the_cause() {
        let cause = Cause::WaitOver(Duration::from_secs(2));
        let error = StoreError::new(Transient, Outcome::Unknown, cause).in_context("insert flush");
        assert_eq!(error.to_string(), "insert flush: no answer from the database within 2s");
    }
}
