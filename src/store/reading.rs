//! Reading stored events row by row: one that cannot be read stops no other, and what is read at once is bounded by its
//! bytes as the database writes them out.
//!
//! Guarantees: of the requested events, those from the first one on are returned, each as a whole or with what is wrong
//! with it; at least the first is. What is held in memory is at most twice the room given, and one row.
//! Not guaranteed: that all are given. Rows that are large as they are stored may take PostgreSQL seconds to write out,
//! or to find that it cannot: such a row is read by a statement of its own, and after a while the rest is left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Utc};
use sea_orm::sqlx::{Decode, Postgres, Row, ValueRef};
use sea_orm::{DbBackend, QueryResult, Statement, TryGetable};
use serde_json::value::RawValue;

use super::StoreError;
use super::error::UnreadableEvent;
use super::filters::{Filter, Filters, name};
use super::open::Store;
use super::search::RowSource;
use crate::domain::outcome::Status;

/// Bytes of a value as it is stored, above which it is not written out beside others. What a write would have to be refused
/// for by its length takes more, so that no statement for many rows meets two of them.
const STORED_MAX: usize = 8 * 1_024;

/// Bytes of a value that is read beside others however little room there is.
const VALUE_MIN: usize = 4 * 1_024;

/// How long a statement for many rows goes on to write out values; the rest is read apart.
const WRITING_MAX: Duration = Duration::from_millis(250);

/// How long rows are read apart before the rest is left to the next reading.
const APART_MAX: Duration = Duration::from_secs(1);

/// How much longer than for other operations a caller should wait for a reading.
pub(super) const PATIENCE: u32 = 3;

/// What is read of an event: columns, the first of them `id`, and then columns of JSON.
pub(super) trait Readable: Sized + Send {
    /// The columns before those of JSON, in groups.
    const COLUMNS: &'static [&'static [&'static str]];
    /// The columns of JSON.
    const JSON: &'static [&'static str];

    /// Reads the cells in the order of the columns.
    fn read(cells: &mut Cells<'_>) -> Self;
}

/// An event that was read.
pub(super) struct ReadEvent<T> {
    pub id: i64,
    /// What could be read; what could not is empty.
    pub value: T,
    /// What is wrong, if not all could be read.
    pub flaw: Option<String>,
}

impl<T> ReadEvent<T> {
    /// The event, if all of it could be read.
    pub fn readable(self) -> Result<T, UnreadableEvent> {
        let Self { id, value, flaw } = self;
        flaw.map_or(Ok(value), |reason| Err(UnreadableEvent { id, reason }))
    }
}

/// How far a reading came.
pub(super) struct ReadProgress<T> {
    /// The events that are there, in the order in which they were requested.
    pub events: Vec<ReadEvent<T>>,
    /// How many of the requested ones were looked at, from the first one on.
    pub looked_at: usize,
}

/// What is known of an event at once.
pub(super) enum QuickRead<T> {
    /// The event, if it is there.
    Done(Option<ReadEvent<T>>),
    /// That it has to be read by [`read_one`].
    TakesLong,
}

/// How many bytes of JSON may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBudget {
    /// Of all events together; the one that passes it is still read.
    pub all: usize,
    /// Of one value; a longer one counts as one that cannot be read.
    pub one: usize,
}

impl Store {
    /// The room for reading events with `bytes` of JSON in all.
    pub(super) fn room_for(&self, bytes: usize) -> ReadBudget {
        ReadBudget { all: bytes, one: self.options().json_bytes_max }
    }
}

/// A row, before it is known whether it has to be read apart.
struct FoundRow<T> {
    read: ReadEvent<T>,
    is_put_off: bool,
    bytes: usize,
}

/// What bounds a statement.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    stored_max: usize,
    bytes_max: usize,
    writing_max: Duration,
}

/// Reads those of the events `ids` that match.
pub(super) async fn read<T: Readable>(
    source: &impl RowSource,
    ids: &[i64],
    filters: &Filters,
    room: ReadBudget,
) -> Result<ReadProgress<T>, StoreError> {
    if ids.is_empty() {
        return Ok(ReadProgress { events: Vec::new(), looked_at: 0 });
    }
    // A row has its payload, or the properties that hold it: one value.
    let mut found = find(source, ids, filters, room.of_each(ids.len())).await?;
    let mut events = Vec::new();
    let mut bytes = 0;
    let began = Instant::now();
    for (place, id) in ids.iter().enumerate() {
        if place > 0 && bytes >= room.all {
            return Ok(ReadProgress { events, looked_at: place });
        }
        let Some(mut event) = found.remove(id) else { continue };
        if event.is_put_off {
            if place > 0 && began.elapsed() >= APART_MAX {
                return Ok(ReadProgress { events, looked_at: place });
            }
            // It may have ceased to match.
            let Some(alone) = find(source, &[*id], filters, room.of_one()).await?.remove(id) else { continue };
            event = alone;
        }
        bytes += event.bytes;
        events.push(event.read);
    }
    Ok(ReadProgress { events, looked_at: ids.len() })
}

/// Reads one event if that takes no long.
pub(super) async fn read_quickly<T: Readable>(
    source: &impl RowSource,
    id: i64,
    filters: &Filters,
    room: ReadBudget,
) -> Result<QuickRead<T>, StoreError> {
    let bounds = Bounds { bytes_max: room.one, ..room.of_each(1) };
    Ok(match find(source, &[id], filters, bounds).await?.remove(&id) {
        Some(found) if found.is_put_off => QuickRead::TakesLong,
        found => QuickRead::Done(found.map(|found| found.read)),
    })
}

/// Reads one event, however long it takes.
pub(super) async fn read_one<T: Readable>(
    source: &impl RowSource,
    id: i64,
    filters: &Filters,
    room: ReadBudget,
) -> Result<Option<ReadEvent<T>>, StoreError> {
    Ok(find(source, &[id], filters, room.of_one()).await?.remove(&id).map(|found| found.read))
}

impl ReadBudget {
    fn of_each(self, values: usize) -> Bounds {
        let bytes_max = (self.all / values).max(VALUE_MIN).min(self.one);
        Bounds { stored_max: STORED_MAX, bytes_max, writing_max: WRITING_MAX }
    }

    /// For so many values, none of which is read apart.
    pub fn of_some(self, values: usize) -> Bounds {
        Bounds { stored_max: usize::MAX, ..self.of_each(values) }
    }

    fn of_one(self) -> Bounds {
        Bounds { stored_max: usize::MAX, bytes_max: self.one, writing_max: Duration::from_secs(3_600) }
    }
}

async fn find<T: Readable>(
    source: &impl RowSource,
    ids: &[i64],
    filters: &Filters,
    bounds: Bounds,
) -> Result<HashMap<i64, FoundRow<T>>, StoreError> {
    let rows = source.rows(statement::<T>(source.backend(), ids, filters, bounds)).await?;
    let is_alone = bounds.stored_max == usize::MAX;
    let found = |row: &QueryResult| {
        let mut cells = Cells::of(row, T::COLUMNS, T::JSON, bounds.bytes_max);
        let value = T::read(&mut cells);
        let Cells { flaw, too_long, is_late, bytes, .. } = cells;
        let is_put_off = is_late || (too_long.is_some() && !is_alone);
        let id = row.try_get_by_index(0)?;
        Ok((id, FoundRow { read: ReadEvent { id, value, flaw: flaw.or(too_long) }, is_put_off, bytes }))
    };
    rows.iter().map(found).collect()
}

fn statement<T: Readable>(backend: DbBackend, ids: &[i64], filters: &Filters, bounds: Bounds) -> Statement {
    let mut filter = Filter::new(backend);
    name(&mut filter, ids, filters);
    let mut columns: Vec<String> = T::COLUMNS.concat().into_iter().map(str::to_owned).collect();
    columns.extend(T::JSON.iter().map(|column| bounds.json_sql(backend, column)));
    filter.select(&columns.join(", "), "events", "")
}

impl Bounds {
    /// The column's text, or a mark that begins with `!` in its place.
    pub fn json_sql(self, backend: DbBackend, column: &str) -> String {
        let number = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        let bytes_max = number(self.bytes_max);
        match backend {
            DbBackend::Postgres => format!(
                "json_text({column}, {}, {bytes_max}, interval '{} milliseconds')",
                number(self.stored_max),
                self.writing_max.as_millis()
            ),
            _ => format!(
                "CASE WHEN octet_length({column}) > {bytes_max} THEN '!bytes ' || octet_length({column}) ELSE {column} END"
            ),
        }
    }
}

/// The cells of a row, read one after the other. One that cannot be read is empty, and the first of these is reported.
pub(super) struct Cells<'r> {
    row: &'r QueryResult,
    columns: &'static [&'static [&'static str]],
    json: &'static [&'static str],
    next: usize,
    bytes_max: usize,
    flaw: Option<String>,
    too_long: Option<String>,
    is_late: bool,
    bytes: usize,
}

impl<'r> Cells<'r> {
    fn of(
        row: &'r QueryResult,
        columns: &'static [&'static [&'static str]],
        json: &'static [&'static str],
        bytes_max: usize,
    ) -> Self {
        Self { row, columns, json, next: 0, bytes_max, flaw: None, too_long: None, is_late: false, bytes: 0 }
    }

    /// The cells of a row of these columns, to report which of them cannot be read.
    pub fn named(row: &'r QueryResult, names: &'static [&'static str]) -> Self {
        Self::of(row, &[], names, 0)
    }

    /// The cells of a row whose columns need no names.
    pub fn plain(row: &'r QueryResult) -> Self {
        Self::of(row, &[], &[], 0)
    }

    /// What is wrong, if not all could be read.
    pub fn flaw(self) -> Option<String> {
        let late = self.is_late.then(|| "it takes too long to be read".to_owned());
        self.flaw.or(self.too_long).or(late)
    }

    /// Whether all cells could be read so far.
    pub fn are_well(&self) -> bool {
        self.flaw.is_none()
    }

    /// The next cell.
    pub fn get<T: TryGetable + Default>(&mut self) -> T {
        let at = self.step();
        let got = self.row.try_get_by_index(at).ok();
        self.or_flaw(at, got)
    }

    /// The next cell, a count.
    pub fn count(&mut self) -> u32 {
        let at = self.step();
        let count = self.row.try_get_by_index::<i32>(at).ok();
        self.or_flaw(at, count.and_then(|count| u32::try_from(count).ok()))
    }

    /// The next cell, a state.
    pub fn status(&mut self) -> Status {
        let at = self.step();
        let text: Option<String> = self.row.try_get_by_index(at).ok();
        let status = text.and_then(|text| Status::parse(&text));
        self.or_flaw(at, status.map(Some)).unwrap_or(Status::Failed)
    }

    /// The next cell, a time.
    pub fn time(&mut self) -> DateTime<Utc> {
        let at = self.step();
        let time = time(self.row, at).flatten();
        self.or_flaw(at, time)
    }

    /// The next cell, a time or none.
    pub fn time_or_none(&mut self) -> Option<DateTime<Utc>> {
        let at = self.step();
        let time = time(self.row, at);
        self.or_flaw(at, time)
    }

    /// The next cell, a time, or none if it cannot be read either.
    pub fn time_if_readable(&mut self) -> Option<DateTime<Utc>> {
        time(self.row, self.step()).flatten()
    }

    /// The next cell, JSON or none.
    pub fn json<T>(&mut self, parse: impl FnOnce(String) -> Result<T, serde_json::Error>) -> Option<T> {
        let at = self.next;
        let text = self.get::<Option<String>>()?;
        if let Some(mark) = text.strip_prefix('!') {
            self.note_mark(at, mark);
            return None;
        }
        self.bytes += text.len();
        let parsed = parse(text).ok();
        self.or_flaw(at, parsed.map(Some))
    }

    /// The next cell, JSON as it is answered.
    pub fn raw_json(&mut self) -> Option<Box<RawValue>> {
        self.json(RawValue::from_string)
    }

    /// Counts bytes that were made of a cell and are held beside it.
    pub fn hold(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    fn step(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn note_mark(&mut self, at: usize, mark: &str) {
        let name = self.name(at);
        match mark.split_once(' ') {
            Some(("bytes", bytes)) => {
                let text = format!("its {name} is {bytes} bytes as text, limit {}", self.bytes_max);
                self.too_long.get_or_insert(text);
            }
            Some(("error", state)) => {
                let text = format!("the database cannot write out its {name} (SQLSTATE {state})");
                self.flaw.get_or_insert(text);
            }
            _ => self.is_late = true,
        }
    }

    fn or_flaw<T: Default>(&mut self, at: usize, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            let text = format!("its {} cannot be read", self.name(at));
            self.flaw.get_or_insert(text);
            T::default()
        })
    }

    fn name(&self, at: usize) -> &'static str {
        self.columns.concat().iter().chain(self.json).nth(at).copied().unwrap_or_default()
    }
}

/// The time in a column, `None` inside if it is null. `None` if it cannot be read, or lies outside of the years 1 to 9999:
/// PostgreSQL's `infinity` would make the driver panic.
pub(super) fn time(row: &QueryResult, at: usize) -> Option<Option<DateTime<Utc>>> {
    /// Microseconds from 1970 to 2000, from which PostgreSQL counts.
    const EPOCH: i64 = 946_684_800_000_000;
    let time = match row.try_as_pg_row() {
        None => row.try_get_by_index(at).ok()?,
        Some(row) => {
            let value = row.try_get_raw(at).ok()?;
            let is_null = value.is_null();
            let micros = (!is_null).then(|| <i64 as Decode<Postgres>>::decode(value)).transpose().ok()?;
            match micros {
                None => None,
                Some(micros) => Some(DateTime::from_timestamp_micros(micros.checked_add(EPOCH)?)?),
            }
        }
    };
    time.is_none_or(|time: DateTime<Utc>| (1..=9999).contains(&time.year())).then_some(time)
}
