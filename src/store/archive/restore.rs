//! Rows of the archive, back in the database under their ids.

use std::time::Duration;

use entity::archive_file::{Column, Entity};
use entity::retention;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::columns::ArchivedLine;
use super::{ArchivedFile, ArchivedTable};
use crate::store::audit::{self, Action, Principal};
use crate::store::retention::{Removed, parse};
use crate::store::{Store, StoreError};

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

    /// Brings the rows of these lines back, from a file that holds rows of this table, and no longer counts them as removed.
    pub async fn restore_rows(
        &self,
        holds: String,
        lines: Vec<String>,
        wait: Duration,
    ) -> Result<RestoredRows, StoreError> {
        self.transaction("restoring of rows", wait, move |tx| {
            Box::pin(async move {
                let mut outcome = RestoredRows::default();
                let mut back = Removed::new();
                for line in &lines {
                    let row = ArchivedLine::parse(line)?;
                    if !row.insert(tx).await? {
                        outcome.left_out += 1;
                        continue;
                    }
                    outcome.restored += 1;
                    // What hangs on events was never counted for itself.
                    if row.table.name() == holds {
                        let status = row.text("status").filter(|_| row.table == ArchivedTable::Events);
                        *back.entry(status.unwrap_or_else(|| holds.clone())).or_default() += 1;
                    }
                }
                let run = retention::Entity::find().lock_exclusive().one(tx).await?;
                let mut removed = run.map(|run| parse(&run.removed_total)).unwrap_or_default();
                for (what, count) in back {
                    let left = removed.entry(what).or_default();
                    *left = left.saturating_sub(count);
                }
                removed.retain(|_, count| *count > 0);
                let left = Expr::value(json!(removed).to_string());
                retention::Entity::update_many().col_expr(retention::Column::RemovedTotal, left).exec(tx).await?;
                Ok(outcome)
            })
        })
        .await
    }

    /// Forgets a file whose rows are all back; false if it has grown since it was read.
    pub async fn forget_archived_file(
        &self,
        file: ArchivedFile,
        node: String,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        self.transaction("forgetting of a file of the archive", wait, move |tx| {
            Box::pin(async move {
                let forgotten = Entity::delete_many()
                    .filter(Column::Path.eq(file.path.clone()))
                    .filter(Column::Bytes.eq(file.bytes))
                    .exec(tx)
                    .await?;
                if forgotten.rows_affected == 0 {
                    return Ok(false);
                }
                let detail = json!({"rows": file.rows});
                audit::note(tx, &Principal::command(node), Action::RowsRestored, file.path, detail).await?;
                Ok(true)
            })
        })
        .await
    }
}
