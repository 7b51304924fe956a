//! A piece of what is removed: written into the archive, and then compared with what the database removed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use entity::archive_file::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryResult,
    Value,
};

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

/// Rows that were read.
#[derive(Debug, Default)]
pub(in crate::store) struct ReadRows {
    pub lines: Vec<ArchivedLine>,
    /// First columns of the rows that cannot be read: they stay.
    pub unreadable: Vec<i64>,
}

/// Of a piece, what the archive has.
#[derive(Debug)]
pub(in crate::store) struct ArchivedPiece {
    lines: Vec<String>,
    /// Each file before and after.
    files: Vec<(Option<ArchivedFile>, ArchivedFile)>,
}

/// How to take a piece back out of the archive.
#[derive(Debug, Default)]
pub(in crate::store) struct Withdrawal(Vec<(PathBuf, Option<u64>, u64)>);

impl GoingRows {
    /// Reads them.
    pub async fn read(&self, connection: &impl ConnectionTrait) -> Result<ReadRows, StoreError> {
        let mut rows = ReadRows::default();
        for row in self.rows(connection, Access::Read).await? {
            match self.table.line(&row) {
                Ok(line) => rows.lines.push(line),
                Err(error) => {
                    let id = row.try_get_by_index(0)?;
                    facts::row_not_archived(self.table.name(), id, &error);
                    rows.unreadable.push(id);
                }
            }
        }
        Ok(rows)
    }

    /// Removes them.
    pub async fn remove(&self, tx: &DatabaseTransaction) -> Result<Vec<ArchivedLine>, StoreError> {
        let rows = self.rows(tx, Access::Remove).await?;
        Ok(rows.iter().map(|row| self.table.line(row)).collect::<Result<_, _>>()?)
    }

    async fn rows(&self, connection: &impl ConnectionTrait, access: Access) -> Result<Vec<QueryResult>, DbErr> {
        let backend = connection.get_database_backend();
        let statement = self.table.statement(backend, access, &self.condition, self.values.clone());
        connection.query_all_raw(statement).await
    }
}

impl Archive {
    /// Writes rows into the files that they belong to; what hangs on an event right behind it.
    pub(in crate::store) async fn write(
        &self,
        store: &Store,
        rows: Vec<ArchivedLine>,
        wait: Duration,
    ) -> Result<ArchivedPiece, StoreError> {
        let is_hanging = |row: &ArchivedLine| matches!(row.table, ArchivedTable::Attempts | ArchivedTable::Replays);
        let has_events = rows.iter().any(|row| row.table == ArchivedTable::Events);
        let (hanging, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| has_events && is_hanging(row));
        let mut of_events: HashMap<String, Vec<String>> = HashMap::new();
        for row in hanging {
            let event_id = row.text_of("event_id").unwrap_or_default().to_owned();
            of_events.entry(event_id).or_default().push(row.render()?);
        }
        let mut lines = Vec::with_capacity(rows.len());
        let mut by_file: BTreeMap<FileKey, Vec<String>> = BTreeMap::new();
        for row in rows {
            let file = by_file.entry(key_of(&row)).or_default();
            let hanging = row.text_of("id").and_then(|id| of_events.remove(id)).unwrap_or_default();
            for line in std::iter::once(row.render()?).chain(hanging) {
                lines.push(line.clone());
                file.push(line);
            }
        }
        let mut piece = ArchivedPiece { lines, files: Vec::with_capacity(by_file.len()) };
        piece.lines.sort_unstable();
        for (key, lines) in by_file {
            match self.append(store, key, lines, wait).await {
                Ok(file) => piece.files.push(file),
                Err(error) => {
                    self.withdrawal(&piece).carry_out();
                    return Err(error);
                }
            }
        }
        Ok(piece)
    }

    /// How to take the piece back.
    pub(in crate::store) fn withdrawal(&self, piece: &ArchivedPiece) -> Withdrawal {
        let bytes = |file: &ArchivedFile| file.bytes.unsigned_abs();
        let files = piece.files.iter();
        Withdrawal(
            files
                .map(|(before, after)| (self.folder.join(&after.path), before.as_ref().map(bytes), bytes(after)))
                .collect(),
        )
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
        let offset = known.as_ref().map(|file| file.bytes.unsigned_abs());
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
            restored: known.as_ref().map_or(0, |file| file.restored),
            // Replaced when it is committed.
            written_at: known.as_ref().map(|file| file.written_at).unwrap_or_default(),
        };
        Ok((known, file))
    }

    /// The part to go on with: one that was taken away or cut off, or that ends otherwise than known, is left as it is.
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
            let known = known.await?;
            if file::length(&self.folder.join(&path)) == known.as_ref().map(|file| file.bytes.unsigned_abs()) {
                return Ok((path, known));
            }
        }
        Err(StoreError::setup("a file of the archive has too many parts"))
    }
}

impl Withdrawal {
    /// Takes back what certainly is not true, because its rows are still there.
    pub fn carry_out(self) {
        for (path, offset, end) in self.0 {
            // Else it stays as it is, and the next piece goes into another part.
            let _ = file::withdraw(&path, offset, end);
        }
    }

    /// The same, if the removal of its rows ended so that none is gone; where that is open, what was written stays.
    pub fn unless_removed<T>(self, removal: &Result<Option<T>, StoreError>) {
        let is_certain = match removal {
            Ok(removed) => removed.is_none(),
            Err(error) => error.outcome == StoreOutcome::NotStored,
        };
        if is_certain {
            self.carry_out();
        }
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
