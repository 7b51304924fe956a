//! Every format, whole and broken.

use std::io::Cursor;
use std::sync::Arc;

use super::*;

fn events(format: Format, text: &[u8]) -> Events {
    // A small buffer: events span it.
    let reader = Box::new(std::io::BufReader::with_capacity(3, Cursor::new(text.to_vec())));
    let source = Source { reader, format, identity: String::new(), position: Arc::default(), bytes: None };
    Events::of(source).expect("the beginning can be read")
}

/// Line, text and code of an event.
type Found = (u64, String, Option<&'static str>);

/// Each event, and the error that ended the reading.
fn read(format: Format, text: &[u8]) -> (Vec<Found>, Option<String>) {
    let (mut events, mut found) = (events(format, text), Vec::new());
    loop {
        match events.next() {
            Ok(Some(event)) => found.push((event.line, event.text, event.flaw.map(|(code, _)| code))),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

#[test]
fn a_bad_line_is_one_bad_event() {
    let (found, error) = read(Format::Ndjson, b"{\"a\":1}\r\n\n  \n{\"b\":\n\xff\n[2]");
    let expected = [
        (1, "{\"a\":1}", None),
        (4, "{\"b\":", Some("invalid_json")),
        (5, "\u{fffd}\n", Some("invalid_json")),
        (6, "[2]", None),
    ];
    assert_eq!(found, expected.map(|(line, text, code)| (line, text.to_owned(), code)));
    assert_eq!(error, None);
}

#[test]
fn an_array_is_cut_at_its_own_commas_only() {
    let text = "\u{feff} [\n {\"a\": [1, {\"]\": \"},\\\"]\"}]},\n7 ,\n\"x,\" ]\n";
    let (found, error) = read(Format::Json, text.as_bytes());
    let expected = [(2, "{\"a\": [1, {\"]\": \"},\\\"]\"}]}"), (3, "7"), (4, "\"x,\"")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned(), None)));
    assert_eq!(error, None);
    assert_eq!(read(Format::Json, b" [ ] "), (Vec::new(), None));
}

#[test]
fn a_broken_array_ends_the_reading_where_it_breaks() {
    for (text, events, error) in [
        ("{}", 0, "no JSON array"),
        ("", 0, "no JSON array"),
        ("[1,", 1, "before the array does"),
        ("[1,]", 1, "not JSON"),
        ("[1\n2]", 0, "line 1: the event is not JSON"),
        ("[1] 2", 1, "behind the array's end"),
    ] {
        let (found, told) = read(Format::Json, text.as_bytes());
        let told = told.unwrap_or_else(|| panic!("{text} was read"));
        assert!(found.len() == events && told.contains(error), "{text}: {found:?} {told}");
    }
}

#[test]
fn columns_that_are_no_field_go_into_the_payload_as_texts() {
    let text = "event_name,user_id,event_type,page,event_uid\n\"a, \"\"b\"\"\",7,t,\"/\n1\",\nc,+7,t,,u\nd,e\n";
    let (found, error) = read(Format::Csv, text.as_bytes());
    let expected = [
        (2, r#"{"event_name":"a, \"b\"","event_type":"t","payload":{"page":"/\n1"},"user_id":7}"#, None),
        (4, r#"{"event_name":"c","event_type":"t","event_uid":"u","payload":{"page":""},"user_id":"+7"}"#, None),
        (5, "d,e", Some("invalid_row")),
    ];
    assert_eq!(found, expected.map(|(line, text, code)| (line, text.to_owned(), code)));
    assert_eq!(error, None);
}
