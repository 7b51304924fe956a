//! The events of a file, one after another: memory holds one of them, however many there are.

mod table;

use std::io::{BufRead, Read};

use anyhow::bail;
use serde_json::value::RawValue;

use self::table::CsvEvents;
use super::source::InputFile;
use crate::cli::args::client::Format;
use crate::domain::json::SPACE;

/// Longest text of an event that is read; far beyond what a server takes.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// What some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event, or what stands instead of one.
#[derive(Debug, PartialEq)]
pub(super) struct InputEvent {
    /// Its line in the file, from 1.
    pub(super) line: u64,
    /// Its JSON; or, if it is not JSON, what was read.
    pub(super) text: String,
    /// Why it cannot be sent: a code and a sentence.
    pub(super) flaw: Option<(&'static str, String)>,
}

/// The events that are left.
pub(super) enum Events {
    Lines { reader: Box<dyn BufRead + Send>, line: u64 },
    Array(Array),
    Table(Box<CsvEvents>),
}

/// The elements of an array, found without a value of any of them.
pub(super) struct Array {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    place: ArrayState,
}

#[derive(PartialEq)]
enum ArrayState {
    Before,
    Inside,
    Behind,
}

impl Events {
    pub(super) fn of(source: InputFile) -> anyhow::Result<Self> {
        let mut reader = source.reader;
        let format = source.format;
        if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(match format {
            Format::Ndjson => Self::Lines { reader, line: 0 },
            Format::Json => Self::Array(Array { reader, line: 1, place: ArrayState::Before }),
            Format::Csv => Self::Table(Box::new(CsvEvents::of(reader)?)),
        })
    }

    /// The next event; an error if nothing behind this position can be read.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<InputEvent>> {
        match self {
            Self::Lines { reader, line } => next_line(reader, line),
            Self::Array(array) => array.next(),
            Self::Table(table) => table.next(),
        }
    }
}

/// The next line that is not blank.
fn next_line(reader: &mut Box<dyn BufRead + Send>, line: &mut u64) -> anyhow::Result<Option<InputEvent>> {
    loop {
        let mut bytes = Vec::new();
        if reader.by_ref().take(EVENT_BYTES_MAX as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        *line += 1;
        if bytes.len() == EVENT_BYTES_MAX && !bytes.ends_with(b"\n") {
            reader.skip_until(b'\n')?;
            let error = format!("the line is over {EVENT_BYTES_MAX} bytes");
            let flaw = Some(("body_too_large", error));
            return Ok(Some(InputEvent { line: *line, text: String::new(), flaw }));
        }
        if !bytes.trim_ascii().is_empty() {
            return Ok(Some(read_json(*line, &bytes)));
        }
    }
}

fn read_json(line: u64, bytes: &[u8]) -> InputEvent {
    let (text, flaw) = match std::str::from_utf8(bytes) {
        Err(error) => {
            let flaw = format!("the event is not UTF-8: invalid byte at offset {}", error.valid_up_to());
            (String::from_utf8_lossy(bytes).into_owned(), Some(flaw))
        }
        Ok(text) => {
            let text = text.trim_matches(SPACE);
            let flaw = serde_json::from_str::<&RawValue>(text).err();
            (text.to_owned(), flaw.map(|error| format!("the event is not JSON: {error}")))
        }
    };
    InputEvent { line, text, flaw: flaw.map(|flaw| ("invalid_json", flaw)) }
}

impl Array {
    fn next(&mut self) -> anyhow::Result<Option<InputEvent>> {
        if self.place == ArrayState::Before {
            if self.skip_space()? != Some(b'[') {
                bail!("the file is not a JSON array: `[` is not its first character; --format ndjson reads lines");
            }
            self.reader.consume(1);
            self.place = ArrayState::Inside;
            if self.skip_space()? == Some(b']') {
                self.reader.consume(1);
                self.place = ArrayState::Behind;
            }
        }
        if self.place == ArrayState::Behind {
            if self.skip_space()?.is_some() {
                bail!("something stands behind the array's end in line {}", self.line);
            }
            return Ok(None);
        }
        self.skip_space()?;
        let line = self.line;
        let event = read_json(line, &self.element()?);
        // Behind an element that is broken nobody knows where the next one begins.
        match event.flaw {
            Some((_, flaw)) => bail!("line {line}: {flaw}; nothing from here on is sent"),
            None => Ok(Some(event)),
        }
    }

    /// The bytes up to the comma or bracket that ends the element, which is read too.
    fn element(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut element = Vec::new();
        let mut depth = 0_usize;
        let mut in_text = false;
        let mut is_escaped = false;
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                bail!("the file ends in line {} before the array does", self.line);
            }
            let mut end = None;
            for (at, byte) in bytes.iter().enumerate() {
                self.line += u64::from(*byte == b'\n');
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' if in_text => is_escaped = true,
                    b'"' => in_text = !in_text,
                    _ if in_text => {}
                    b'[' | b'{' => depth += 1,
                    b',' | b']' if depth == 0 => {
                        end = Some((at, *byte));
                        break;
                    }
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            let taken = end.map_or(bytes.len(), |(at, _)| at);
            element.extend_from_slice(&bytes[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if let Some((_, byte)) = end {
                self.place = if byte == b']' { ArrayState::Behind } else { ArrayState::Inside };
                return Ok(element);
            }
            if element.len() > EVENT_BYTES_MAX {
                bail!("the event before line {} is over {EVENT_BYTES_MAX} bytes", self.line);
            }
        }
    }

    /// The next byte that is not white space, which is not read yet.
    fn skip_space(&mut self) -> anyhow::Result<Option<u8>> {
        loop {
            let bytes = self.reader.fill_buf()?;
            let Some(first) = bytes.first().copied() else { return Ok(None) };
            if !SPACE.contains(&first.into()) {
                return Ok(Some(first));
            }
            self.line += u64::from(first == b'\n');
            self.reader.consume(1);
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
