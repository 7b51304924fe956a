//! The rows of a CSV file (RFC 4180).

use std::io::{self, BufRead, Read};

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use super::{EVENT_BYTES_MAX, InputEvent};

/// Columns that are fields of the event; all others go into the payload.
pub(super) const FIELDS: [&str; 5] = ["event_name", "event_type", "event_uid", "timestamp", "user_id"];

/// The rows that are left.
pub(in super::super) struct CsvEvents {
    reader: csv::Reader<Strict<Box<dyn BufRead + Send>>>,
    columns: csv::StringRecord,
    row: csv::ByteRecord,
}

impl CsvEvents {
    pub(super) fn of(reader: Box<dyn BufRead + Send>) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(Strict::new(reader));
        let columns = reader.headers().context("the header line cannot be read")?.clone();
        for field in &FIELDS[..2] {
            if !columns.iter().any(|column| column == *field) {
                bail!("the header line has no column {field}");
            }
        }
        for (place, column) in columns.iter().enumerate() {
            if columns.iter().skip(place + 1).any(|later| later == column) {
                bail!("the header line has more than one column {column:?}: all but one of their values would be lost");
            }
        }
        Ok(Self { reader, columns, row: csv::ByteRecord::new() })
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<InputEvent>> {
        if !self.reader.read_byte_record(&mut self.row)? {
            return Ok(None);
        }
        let line = self.row.position().map_or(0, csv::Position::line);
        let values = self.row.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
        let flaw = match &values {
            Err(_) => "the row is not UTF-8".to_owned(),
            Ok(values) if values.len() == self.columns.len() => {
                return Ok(Some(InputEvent { line, text: event_of(&self.columns, values), flaw: None }));
            }
            Ok(values) => format!("the row has {} fields, expected {}", values.len(), self.columns.len()),
        };
        let row: Vec<_> = self.row.iter().map(String::from_utf8_lossy).collect();
        Ok(Some(InputEvent { line, text: row.join(","), flaw: Some(("invalid_row", flaw)) }))
    }
}

/// The event of a row; an empty field of the event is one that is not there.
fn event_of(columns: &csv::StringRecord, values: &[&str]) -> String {
    let mut event = Map::new();
    let mut payload = Map::new();
    for (column, value) in columns.iter().zip(values) {
        let text = || Value::from(*value);
        match column {
            "user_id" if !value.is_empty() => {
                // `+7` is not a number in JSON, so the server is the one to refuse it.
                let number = value.parse::<i64>().ok().filter(|_| !value.starts_with('+'));
                event.insert(column.to_owned(), number.map_or_else(text, Value::from));
            }
            field if FIELDS.contains(&field) && value.is_empty() => {}
            field if FIELDS.contains(&field) => {
                event.insert(field.to_owned(), text());
            }
            other => {
                payload.insert(other.to_owned(), text());
            }
        }
    }
    event.insert("payload".to_owned(), payload.into());
    Value::from(event).to_string()
}

/// Ends with an error, behind the last good row, where the parser would go on and take many rows for one: at a quote that
/// is never closed, at text behind one that is, and at a row that is too long.
struct Strict<R> {
    file: R,
    place: CsvState,
    line: u64,
    /// The line in which the quote was opened that was seen last.
    quoted_in: u64,
    /// The line in which the present row begins, and its bytes so far.
    row_in: u64,
    row_bytes: usize,
    /// What is wrong behind the rows that were passed on.
    flaw: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum CsvState {
    FieldBegins,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field, which closes it, unless another one follows.
    Closed,
    /// Blanks behind a closed field.
    Blank,
}

impl<R> Strict<R> {
    fn new(file: R) -> Self {
        Self { file, place: CsvState::FieldBegins, line: 1, quoted_in: 1, row_in: 1, row_bytes: 0, flaw: None }
    }

    /// Takes the next byte, or says what is wrong with it.
    fn take(&mut self, byte: u8) -> Result<(), String> {
        let place = match (self.place, byte) {
            (CsvState::Quoted, b'"') => CsvState::Closed,
            (CsvState::Quoted, _) | (CsvState::Closed, b'"') => CsvState::Quoted,
            (_, b',' | b'\n' | b'\r') => CsvState::FieldBegins,
            (CsvState::FieldBegins, b'"') => {
                self.quoted_in = self.line;
                CsvState::Quoted
            }
            (CsvState::FieldBegins | CsvState::Plain, _) => CsvState::Plain,
            (CsvState::Closed | CsvState::Blank, b' ' | b'\t') => CsvState::Blank,
            (CsvState::Closed | CsvState::Blank, _) => {
                return Err(format!(
                    "line {}: text follows a closing quote, opened in line {}",
                    self.line, self.quoted_in
                ));
            }
        };
        self.place = place;
        self.line += u64::from(byte == b'\n');
        self.row_bytes += 1;
        if place == CsvState::FieldBegins && byte != b',' {
            (self.row_in, self.row_bytes) = (self.line, 0);
        }
        if self.row_bytes > EVENT_BYTES_MAX {
            let row = self.row_in;
            return Err(format!("line {row}: the row is over {EVENT_BYTES_MAX} bytes; a quote may not be closed"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Strict<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bad = |flaw| io::Error::new(io::ErrorKind::InvalidData, flaw);
        if let Some(flaw) = self.flaw.take() {
            return Err(bad(flaw));
        }
        let read = self.file.read(buffer)?;
        if read == 0 && self.place == CsvState::Quoted {
            return Err(bad(format!("line {}: a quote is opened that is never closed", self.quoted_in)));
        }
        let mut rows_end = 0;
        for (at, byte) in buffer[..read].iter().enumerate() {
            if let Err(flaw) = self.take(*byte) {
                self.flaw = Some(flaw);
                return if rows_end > 0 { Ok(rows_end) } else { self.read(buffer) };
            }
            if self.row_bytes == 0 {
                rows_end = at + 1;
            }
        }
        Ok(read)
    }
}
