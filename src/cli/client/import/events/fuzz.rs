//! Damaged files: each line, element and row once and with its line number, and nothing sent that is not JSON.

use std::io::{BufReader, Cursor};
use std::sync::Arc;

use serde_json::Value;

use super::table::FIELDS;
use super::*;
use crate::fuzz::{BATCHES, EVENTS, LINES, damaged, each};

/// Cases of each test in the short form.
const CASES: u64 = 10_000;

const TABLES: [&[u8]; 3] = [
    b"event_name,event_type,page\nclick,e,/a\nclick,e,\"/b, \"\"c\"\"\"\n",
    b"user_id,event_type,event_name,event_uid,timestamp,x\r\n7,t,n,u,2025-12-18T10:30:00Z,1\r\n,t,n,,,\r\n",
    b"event_name;event_type\na;b\n\"event_name\",event_type\n\"a\nb\",c\n",
];

/// The events of a file, read through a small buffer, and whether it could be read to its end.
fn read(format: Format, file: &[u8]) -> (Vec<InputEvent>, bool) {
    let reader = Box::new(BufReader::with_capacity(7, Cursor::new(file.to_vec())));
    let source = InputFile { reader, format, identity: String::new(), position: Arc::default(), bytes: None };
    let (Ok(mut events), mut found) = (Events::of(source), Vec::new()) else { return (Vec::new(), false) };
    loop {
        match events.next() {
            Ok(Some(event)) => found.push(event),
            Ok(None) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}

fn shown(file: &[u8]) -> String {
    file.escape_ascii().to_string()
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

/// The file without what some programs write before UTF-8.
fn plain(file: &[u8]) -> &[u8] {
    file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file)
}

#[test]
fn a_damaged_file_of_lines_has_an_event_per_line() {
    let files = [&LINES[..], &LINES, &EVENTS].concat();
    each("files of lines", CASES, |dice| {
        let file = damaged(dice, &files);
        let (events, is_whole) = read(Format::Ndjson, &file);
        assert!(is_whole, "{}", shown(&file));
        let lines = (1..).zip(plain(&file).split(|byte| *byte == b'\n'));
        let lines: Vec<(u64, &[u8])> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
        let numbers: Vec<u64> = events.iter().map(|event| event.line).collect();
        assert_eq!(numbers, lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), "{}", shown(&file));
        for (event, (_, line)) in events.iter().zip(lines) {
            assert_eq!(event.flaw.is_none(), is_json(line), "line {} of {}", event.line, shown(&file));
            assert!(event.flaw.is_some() || event.text.as_bytes() == line.trim_ascii(), "{}", shown(&file));
        }
    });
}

#[test]
fn a_damaged_array_has_the_elements_that_serde_json_finds_or_breaks_off() {
    let files = [&BATCHES[1..2], &BATCHES[3..], &[b"[]", b"[{\"a\":[1,\"]\\\"\"]},\n 2.5e3 , null]\n"]].concat();
    each("arrays", CASES, |dice| {
        let file = damaged(dice, &files);
        let (events, is_whole) = read(Format::Json, &file);
        assert!(events.iter().all(|event| event.flaw.is_none() && is_json(event.text.as_bytes())), "{}", shown(&file));
        let elements = serde_json::from_slice::<Vec<&RawValue>>(plain(&file));
        assert_eq!(is_whole, elements.is_ok(), "{events:?} {elements:?} of {}", shown(&file));
        if let Ok(elements) = elements {
            let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
            assert_eq!(texts, elements.iter().map(|element| element.get()).collect::<Vec<_>>(), "{}", shown(&file));
        }
    });
}

#[test]
fn a_damaged_table_has_an_event_per_row() {
    each("tables", CASES, |dice| {
        let file = damaged(dice, &TABLES);
        let (events, is_whole) = read(Format::Csv, &file);
        for event in &events {
            assert!(event.flaw.is_some() || is_json(event.text.as_bytes()), "{event:?} of {}", shown(&file));
        }
        let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(plain(&file));
        let Ok(columns) = rows.headers().cloned() else { return };
        // A line of blanks is a row with one field.
        let lines = || file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let has_quotes = file.contains(&b'"') || file.contains(&b'\r');
        assert!(!is_whole || has_quotes || events.len() + 1 == lines(), "{events:?} of {}", shown(&file));
        for (event, row) in events.iter().zip(rows.byte_records()) {
            let row = row.expect("it was read before");
            let fits = row.len() == columns.len() && row.iter().all(|value| std::str::from_utf8(value).is_ok());
            assert_eq!(event.flaw.is_none(), fits, "{event:?} of {}", shown(&file));
            if fits {
                assert_row(&columns, &row, event, &file);
            }
        }
    });
}

/// Asserts that each value of the row is found in its event; of columns with one name the last counts.
fn assert_row(columns: &csv::StringRecord, row: &csv::ByteRecord, event: &InputEvent, file: &[u8]) {
    let sent: Value = serde_json::from_str(&event.text).expect("asserted before");
    for (place, column) in columns.iter().enumerate() {
        let value = String::from_utf8_lossy(&row[place]);
        let is_field = FIELDS.contains(&column);
        if columns.iter().skip(place + 1).any(|later| later == column) || (is_field && value.is_empty()) {
            continue;
        }
        let found = if is_field { &sent[column] } else { &sent["payload"][column] };
        let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        let is_same = text == value || value.parse::<i64>().is_ok_and(|number| found.as_i64() == Some(number));
        assert!(is_same, "{column} of {event:?} in {}", shown(file));
    }
}
