//! A check of a database: whether its figures, its rows and its files bear each other out.
//!
//! It reads in one transaction, so that a running server does not disturb it, and changes nothing. It goes through
//! whole tables.

use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::retention::Removed;
use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// What was checked, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked.
    pub what: &'static str,
    /// What is wrong, in a sentence each; nothing if all is well.
    pub wrong: Vec<String>,
}

/// The statuses whose events all have rows, until they are removed for their age.
const COUNTED: [Status; 4] = [Status::Processed, Status::ValidationError, Status::Failed, Status::Cancelled];

/// Tables with rows that belong to an event.
const BELONGING: [&str; 4] = ["attempts", "replays", "dedupe_keys", "repeats"];

/// Most complaints of SQLite.
const COMPLAINTS_MAX: u32 = 20;

impl Store {
    /// Checks everything.
    pub async fn check_up(&self, wait: Duration) -> Result<Vec<CheckResult>, StoreError> {
        self.run("check the database", wait, |conn| async move {
            let tx = conn.read().begin().await?;
            if conn.backend() == DbBackend::Postgres {
                tx.execute_unprepared("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
            }
            let results = vec![
                CheckResult { what: "balance", wrong: balance(&tx).await? },
                CheckResult { what: "orphans", wrong: orphans(&tx).await? },
                CheckResult { what: "identity", wrong: identity(&tx).await? },
                CheckResult { what: "files", wrong: files(&tx).await? },
            ];
            tx.rollback().await?;
            Ok(results)
        })
        .await
    }
}

/// Statistics have every event that has a row, and every one that was removed.
async fn balance(tx: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let removed = text(tx, "SELECT removed_total FROM retention").await?.unwrap_or_default();
    let removed: Removed = serde_json::from_str(&removed).map_err(|error| DbErr::Json(error.to_string()))?;
    let mut wrong = Vec::new();
    for status in COUNTED.map(Status::as_str) {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM({status}), 0) AS BIGINT) FROM (SELECT {status} FROM flushes \
             UNION ALL SELECT {status} FROM flush_minutes) AS counted"
        );
        let counted = number(tx, &sql).await?;
        let rows = number(tx, &format!("SELECT COUNT(*) FROM events WHERE status = '{status}'")).await?;
        let gone = removed.get(status).copied().map_or(0, |gone| i64::try_from(gone).unwrap_or(i64::MAX));
        if counted != rows + gone {
            wrong.push(format!(
                "statistics count {counted} events as {status}, and there are {rows}, beside {gone} that were removed"
            ));
        }
    }
    Ok(wrong)
}

async fn orphans(tx: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let mut wrong = Vec::new();
    for table in BELONGING {
        let sql = format!(
            "SELECT COUNT(*) FROM {table} WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.id = {table}.event_id)"
        );
        let orphans = number(tx, &sql).await?;
        if orphans > 0 {
            wrong.push(format!("{orphans} rows of {table} belong to no event"));
        }
    }
    Ok(wrong)
}

/// The database has one, and no event has an id that was not spent: it would be given again.
async fn identity(tx: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let mut wrong = Vec::new();
    let identity = text(tx, "SELECT value FROM meta WHERE key = 'identity'").await?;
    if identity.as_ref().is_none_or(|text| text.parse::<Uuid>().is_err()) {
        wrong.push(format!("the identity is {identity:?}, expected a uuid"));
    }
    let highest = number(tx, "SELECT COALESCE((SELECT id FROM events ORDER BY id DESC LIMIT 1), 0)").await?;
    let spent = number(tx, "SELECT COALESCE(MAX(last_id), 0) FROM id_blocks").await?;
    if highest > spent {
        wrong.push(format!("there is an event {highest}, and ids were reserved up to {spent} only"));
    }
    Ok(wrong)
}

/// SQLite reads every page; PostgreSQL says which indexes it could not build.
async fn files(tx: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let backend = tx.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT 'the index ' || indexrelid::regclass::text || ' is not valid' FROM pg_index WHERE NOT indisvalid"
                .to_owned()
        }
        _ => format!("PRAGMA quick_check({COMPLAINTS_MAX})"),
    };
    let rows = tx.query_all_raw(Statement::from_string(backend, sql)).await?;
    let texts: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    Ok(texts.into_iter().filter(|text| text != "ok").collect())
}

async fn number(tx: &DatabaseTransaction, sql: &str) -> Result<i64, DbErr> {
    let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

async fn text(tx: &DatabaseTransaction, sql: &str) -> Result<Option<String>, DbErr> {
    let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}
