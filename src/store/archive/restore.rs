//! Rows of the archive, back in the database under their ids.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::archive_file::{Column, Entity};
use entity::retention;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::columns::ArchivedLine;
use super::{ArchivedFile, ArchivedTable, file};
use crate::store::audit::{self, Action, Principal};
use crate::store::retention::{Removed, parse};
use crate::store::{Store, StoreError, StoreOutcome};

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoredRows {
    /// In the database again.
    pub restored: u64,
    /// There already, or of an event that is not.
    pub left_out: u64,
}

impl Store {
    /// The files of the archive, as far as they are true, by day and path.
    pub async fn archived_files(&self, wait: Duration) -> Result<Vec<ArchivedFile>, StoreError> {
        self.run("read the files of the archive", wait, |conn| async move {
            let files = Entity::find().order_by_asc(Column::Day).order_by_asc(Column::Path);
            Ok(files.all(conn.read()).await?)
        })
        .await
    }

    /// Brings the rows of these lines back, the next ones of a file of events, and no longer counts them as removed.
    pub async fn restore_rows(
        &self,
        file: ArchivedFile,
        lines: Vec<String>,
        wait: Duration,
    ) -> Result<RestoredRows, StoreError> {
        self.transaction("restoring of rows", wait, move |tx| {
            Box::pin(async move {
                let rows = i64::try_from(lines.len()).unwrap_or(i64::MAX);
                // Each line once, whoever else is at it.
                let taken = Entity::update_many()
                    .col_expr(Column::Restored, Expr::value(file.restored + rows))
                    .filter(Column::Path.eq(file.path))
                    .filter(Column::Restored.eq(file.restored))
                    .exec(tx)
                    .await?;
                if taken.rows_affected != 1 {
                    return Err(StoreError::setup("another command brings this file back"));
                }
                let mut outcome = RestoredRows::default();
                let mut back = Removed::new();
                for line in &lines {
                    let row = ArchivedLine::parse(line)?;
                    if !row.insert(tx).await? {
                        outcome.left_out += 1;
                        continue;
                    }
                    outcome.restored += 1;
                    if row.table == ArchivedTable::Events {
                        *back.entry(row.text("status").unwrap_or_default()).or_default() += 1;
                    }
                }
                uncount(tx, back).await?;
                Ok(outcome)
            })
        })
        .await
    }

    /// Forgets a file whose rows are all back, and gives it another name; false if it has grown since it was read.
    pub async fn forget_archived_file(
        &self,
        file: ArchivedFile,
        at: PathBuf,
        node: String,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        let renamed = Arc::new(Mutex::new(None));
        let names = renamed.clone();
        let forgetting = self.transaction("forgetting of a file of the archive", wait, move |tx| {
            Box::pin(async move {
                let forgotten = Entity::delete_many()
                    .filter(Column::Path.eq(file.path.clone()))
                    .filter(Column::Bytes.eq(file.bytes))
                    .filter(Column::Restored.eq(file.rows))
                    .exec(tx)
                    .await?;
                if forgotten.rows_affected == 0 {
                    return Ok(false);
                }
                let detail = json!({"rows": file.rows});
                audit::note(tx, &Principal::command(node), Action::RowsRestored, file.path, detail).await?;
                // Before the row is gone for others: who finds no row finds no file.
                let aside = file::set_aside(&at).map_err(|error| StoreError::file(at, error))?;
                *names.lock().unwrap_or_else(PoisonError::into_inner) = aside;
                Ok(true)
            })
        });
        let forgotten = forgetting.await;
        let names = renamed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Err(error), Some((at, aside))) = (&forgotten, names)
            && error.outcome == StoreOutcome::NotStored
        {
            // If it fails, the rows are back anyhow, and the next try needs no file.
            let _ = std::fs::rename(aside, at);
        }
        forgotten
    }
}

/// Counts events no longer as removed.
async fn uncount(tx: &DatabaseTransaction, back: Removed) -> Result<(), StoreError> {
    let run = retention::Entity::find().lock_exclusive().one(tx).await?;
    let mut removed = run.map(|run| parse(&run.removed_total)).unwrap_or_default();
    for (what, count) in back {
        let left = removed.entry(what).or_default();
        *left = left.saturating_sub(count);
    }
    removed.retain(|_, count| *count > 0);
    let left = Expr::value(json!(removed).to_string());
    retention::Entity::update_many().col_expr(retention::Column::RemovedTotal, left).exec(tx).await?;
    Ok(())
}
