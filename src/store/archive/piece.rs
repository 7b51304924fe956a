//! A piece of what is removed: written into the archive, and then compared with what the database removed.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::archive_file::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, Value};

use super::columns::ArchivedLine;
use super::file::{self, Checksum, FileKey};
use super::{Access, Archive, ArchivedFile, ArchivedTable};
use crate::store::dialect::present;
use crate::store::{Cause, Store, StoreError, StoreErrorKind, StoreOutcome};
use crate::telemetry::facts;

/// Rows that go, of one table.
#[derive(Clone, Debug)]
pub(in crate::store) struct GoingRows {
    pub table: ArchivedTable,
    pub condition: String,
    pub values: Vec<Value>,
}

/// Of a piece, what the archive has.
#[derive(Debug)]
pub(in crate::store) struct ArchivedPiece {
    lines: Vec<String>,
    /// Each file before and after.
    files: Vec<(Option<ArchivedFile>, ArchivedFile)>,
}

impl GoingRows {
    /// Reads or removes them. A row that cannot be read is an error, with `Access::Read` its number and why instead.
    pub async fn rows(
        &self,
        connection: &impl ConnectionTrait,
        access: Access,
    ) -> Result<Vec<ArchivedLine>, StoreError> {
        let backend = connection.get_database_backend();
        let statement = self.table.statement(backend, access, &self.condition, self.values.clone());
        let mut rows = Vec::new();
        for row in connection.query_all_raw(statement).await? {
            match self.table.line(&row) {
                Ok(line) => rows.push(line),
                Err(error) if access == Access::Read => {
                    let id = row.try_get_by_index::<i64>(0).unwrap_or_default();
                    facts::row_not_archived(self.table.name(), id, &error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rows)
    }
}

impl Archive {
    /// Writes rows into the files that they belong to.
    pub(in crate::store) async fn write(
        &self,
        store: &Store,
        rows: Vec<ArchivedLine>,
        wait: Duration,
    ) -> Result<ArchivedPiece, StoreError> {
        let mut lines = Vec::with_capacity(rows.len());
        let mut by_file: BTreeMap<FileKey, Vec<String>> = BTreeMap::new();
        // What belongs to an event comes after it, and goes into its file.
        let mut files_of_events = BTreeMap::new();
        for row in rows {
            let key = match row.table {
                ArchivedTable::Attempts | ArchivedTable::Replays => {
                    row.text_of("event_id").and_then(|id| files_of_events.get(id).cloned())
                }
                _ => None,
            };
            let key = key.unwrap_or_else(|| key_of(&row));
            if let Some(id) = row.text_of("id").filter(|_| row.table == ArchivedTable::Events) {
                files_of_events.insert(id.to_owned(), key.clone());
            }
            let line = row.render()?;
            lines.push(line.clone());
            by_file.entry(key).or_default().push(line);
        }
        let mut files = Vec::with_capacity(by_file.len());
        for (key, lines) in by_file {
            files.push(self.append(store, key, lines, wait).await?);
        }
        lines.sort_unstable();
        Ok(ArchivedPiece { lines, files })
    }

    async fn append(
        &self,
        store: &Store,
        key: FileKey,
        lines: Vec<String>,
        wait: Duration,
    ) -> Result<(Option<ArchivedFile>, ArchivedFile), StoreError> {
        let (path, known) = self.part(store, &key, wait).await?;
        let at = self.folder.join(&path);
        let offset = known.as_ref().map_or(0, |file| file.bytes.unsigned_abs());
        let mut checksum = known.as_ref().map(|file| Checksum::parse(&file.checksum)).unwrap_or_default();
        lines.iter().for_each(|line| checksum.add(line));
        let rows = known.as_ref().map_or(0, |file| file.rows) + i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let written_to = at.clone();
        let written = tokio::task::spawn_blocking(move || file::append(&written_to, offset, &lines)).await;
        let end = written.map_err(|error| StoreError::setup(error.to_string()))?;
        let end = end.map_err(|error| StoreError::file(at, error))?;
        let file = ArchivedFile {
            path,
            day: key.day,
            holds: key.holds.to_owned(),
            event_type: key.event_type,
            rows,
            bytes: i64::try_from(end).unwrap_or(i64::MAX),
            checksum: checksum.render(),
            // Replaced when it is committed.
            written_at: known.as_ref().map(|file| file.written_at).unwrap_or_default(),
        };
        Ok((known, file))
    }

    /// The part to go on with: one that was taken away, or cut off, is left as it is.
    async fn part(
        &self,
        store: &Store,
        key: &FileKey,
        wait: Duration,
    ) -> Result<(String, Option<ArchivedFile>), StoreError> {
        for part in 1.. {
            let path = key.path(&self.writer, part);
            let sought = path.clone();
            let known = store.run("look for a file of the archive", wait, |conn| async move {
                Ok(Entity::find_by_id(sought).one(conn.read()).await?)
            });
            match known.await? {
                Some(file) if !file::is_whole(&self.folder.join(&path), file.bytes.unsigned_abs()) => {}
                known => return Ok((path, known)),
            }
        }
        Err(StoreError::setup("a file of the archive has too many parts"))
    }
}

impl ArchivedPiece {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Compares what was removed with what was written, and makes what was written true.
    pub async fn confirm(self, tx: &DatabaseTransaction, removed: &[ArchivedLine]) -> Result<(), StoreError> {
        let mut lines = removed.iter().map(ArchivedLine::render).collect::<Result<Vec<_>, _>>()?;
        lines.sort_unstable();
        if lines != self.lines {
            return Err(changed("rows"));
        }
        for (before, after) in self.files {
            let Some(before) = before else {
                let row = ActiveModel { written_at: Set(present(tx).await?), ..ActiveModel::from(after).reset_all() };
                Entity::insert(row).exec_without_returning(tx).await?;
                continue;
            };
            let row = ActiveModel {
                rows: Set(after.rows),
                bytes: Set(after.bytes),
                checksum: Set(after.checksum),
                written_at: Set(present(tx).await?),
                ..Default::default()
            };
            let updated = Entity::update_many()
                .set(row)
                .filter(Column::Path.eq(before.path))
                .filter(Column::Bytes.eq(before.bytes))
                .exec(tx)
                .await?;
            if updated.rows_affected != 1 {
                return Err(changed("a file"));
            }
        }
        Ok(())
    }
}

/// What is tried again as a whole.
fn changed(what: &str) -> StoreError {
    let cause = Cause::Setup(format!("{what} changed between being archived and being removed"));
    StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, cause)
}

/// The file of a row that stands for itself.
fn key_of(row: &ArchivedLine) -> FileKey {
    let time = match row.table {
        ArchivedTable::Events => "received_at",
        ArchivedTable::Attempts => "ended_at",
        ArchivedTable::Replays | ArchivedTable::Audit => "at",
        ArchivedTable::Jobs => "created_at",
    };
    let day = row.text(time).and_then(|time| time.get(..10).map(str::to_owned));
    FileKey {
        day: day.unwrap_or_else(|| "0000-00-00".to_owned()),
        holds: row.table.name(),
        event_type: row.text("event_type").filter(|_| row.table == ArchivedTable::Events),
    }
}
