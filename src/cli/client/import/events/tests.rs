//! Every format, whole and broken.

use std::io::Cursor;
use std::sync::Arc;

use super::*;

fn events(format: Format, text: &[u8]) -> Events {
    // A small buffer: events span it.
    let reader = Box::new(std::io::BufReader::with_capacity(3, Cursor::new(text.to_vec())));
    let source = InputFile { reader, format, identity: String::new(), position: Arc::default(), bytes: None };
    Events::of(source).expect("the beginning can be read")
}

/// Line, text and code of an event.
type Found = (u64, String, Option<&'static str>);

/// Each event, and the error that ended the reading.
fn read(format: Format, text: &[u8]) -> (Vec<Found>, Option<String>) {
    let mut events = events(format, text);
    let mut found = Vec::new();
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
        ("{}", 0, "not a JSON array"),
        ("", 0, "not a JSON array"),
        ("[1,", 1, "before the array does"),
        ("[1,]", 1, "not JSON"),
        ("[1\n2]", 0, "line 1: the event is not JSON"),
        ("[1] 2", 1, "behind the array's end"),
    ] {
        let (found, reason) = read(Format::Json, text.as_bytes());
        let reason = reason.unwrap_or_else(|| panic!("{text} was read"));
        assert!(found.len() == events && reason.contains(error), "{text}: {found:?} {reason}");
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

#[test]
fn a_table_that_would_be_guessed_at_ends_behind_its_last_good_row() {
    const HEAD: &str = "event_name,event_type,x\n";
    for (rows, good, error) in [
        ("a,b,1\nc,d,\"2\ne,f,3\ng,h,4\n", 1, "line 3: a quote is opened that is never closed"),
        ("a,b,1\n\"c\nc\",d,\"2\ne,f,3", 1, "line 4: a quote is opened that is never closed"),
        ("a,b,\"", 0, "line 2: a quote is opened that is never closed"),
        ("a,b,\"\"\"", 0, "line 2: a quote is opened that is never closed"),
        ("a,b,1\nc,d,\"2\ne,f,\"3\"\n", 1, "line 4: text follows a closing quote, opened in line 3"),
        ("a,b,\"1\"x\nc,d,2\n", 0, "line 2: text follows a closing quote, opened in line 2"),
        ("a,b,1\r\nc,d,2\r\n\"e,f", 2, "line 4: a quote is opened that is never closed"),
    ] {
        let (found, reason) = read(Format::Csv, format!("{HEAD}{rows}").as_bytes());
        assert_eq!((found.len(), reason.as_deref()), (good, Some(error)), "{rows:?}: {found:?}");
    }
    for rows in ["a,b,\"1\"\"\"\n", "a,b,\"1\" \r\n", "a,\"b\",", "a,b,5\" nail\n", "a,b, \"1\"\n", "a,b,\"\""] {
        let (found, reason) = read(Format::Csv, format!("{HEAD}{rows}").as_bytes());
        assert_eq!((found.len(), reason), (1, None), "{rows:?}: {found:?}");
    }
    let long = format!("{HEAD}a,b,1\nc,d,\"{}", "2\n".repeat(EVENT_BYTES_MAX / 2 + 1));
    let (found, reason) = read(Format::Csv, long.as_bytes());
    assert!(
        found.len() == 1 && reason.is_some_and(|reason| reason.starts_with("line 3: the row is over")),
        "{found:?}"
    );
}

#[test]
fn a_column_that_is_there_twice_is_an_error() {
    let reader = Box::new(Cursor::new(b"event_name,event_type,x,x\na,b,1,2\n".to_vec()));
    let source =
        InputFile { reader, format: Format::Csv, identity: String::new(), position: Arc::default(), bytes: None };
    let error = Events::of(source).err().expect("must be refused");
    assert!(error.to_string().contains("more than one column \"x\""), "{error}");
}
