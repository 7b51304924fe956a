//! One event as a client sent it: read from JSON text without building a value of the payload.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::json::{JsonKind, JsonText, SPACE, check_syntax, has_control, integer};
use super::rejection::{Flaw, RejectCode, Rejection};
use super::timestamp;
use super::trace::TraceContext;

/// Most characters of `event_name`, `event_type` and `event_uid`: the width of their columns.
pub const NAME_CHARS_MAX: usize = 255;

/// An event as it was submitted, its wrong fields remembered in `flaws`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submission {
    /// The event's name, cut to [`NAME_CHARS_MAX`]; `None` if absent, null or unreadable.
    pub event_name: Option<String>,
    /// The event's type, cut to [`NAME_CHARS_MAX`]; `None` if absent, null or unreadable.
    pub event_type: Option<String>,
    /// The payload's text; `None` if absent or null.
    pub payload: Option<JsonText>,
    /// The user that the event is for, if it names one.
    pub user_id: Option<i64>,
    /// The client's own key for the event.
    pub event_uid: Option<String>,
    /// When the event happened, by the client's account.
    pub timestamp: Option<DateTime<Utc>>,
    /// Fields with values that could not be taken as they are.
    pub flaws: Vec<Flaw>,
    /// SHA-256 of its fields as they were sent, if some could not be taken.
    pub unread: Option<[u8; 32]>,
    /// The trace that it is part of.
    pub trace: Option<Arc<TraceContext>>,
}

/// Why a body is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The body is empty or only white space.
    #[error("the body is empty, expected a JSON object")]
    Empty,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: invalid byte at offset {0}")]
    NotUtf8(usize),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is JSON, but not an object.
    #[error("{}", .0.error)]
    NotObject(Box<Rejection>),
}

impl Submission {
    /// Reads one event from `body`; unknown members are ignored, of repeated ones the last wins.
    pub fn read(body: &Bytes) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
        Self::read_part(body, text)
    }

    /// Reads one event from `text`, which must be a part of `body`.
    pub fn read_part(body: &Bytes, text: &str) -> Result<Self, Unreadable> {
        let start = text.trim_start_matches(SPACE);
        if start.is_empty() {
            return Err(Unreadable::Empty);
        }
        if !start.starts_with('{') {
            return Err(not_an_object(text, JsonKind::of(start)));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer
            .deserialize_map(EventMembersVisitor)
            .and_then(|members| deserializer.end().map(|()| members))
            .and_then(
                |members| if members.has_control_key { check_syntax(text).map(|()| members) } else { Ok(members) },
            )
            .map_err(|error| Unreadable::NotJson(error.to_string()))?;
        Ok(members.into_submission(body))
    }
}

fn not_an_object(text: &str, kind: JsonKind) -> Unreadable {
    match check_syntax(text) {
        Err(error) => Unreadable::NotJson(error.to_string()),
        Ok(()) => {
            let detail = format!("the event is {}, expected an object", kind.with_article());
            Unreadable::NotObject(Box::new(Rejection::of(Flaw::new(RejectCode::EventNotObject, "", detail))))
        }
    }
}

/// The known members of the event, as they appear in the text.
#[derive(Default)]
struct EventMembers<'a> {
    event_name: Option<&'a str>,
    event_type: Option<&'a str>,
    payload: Option<&'a str>,
    user_id: Option<&'a str>,
    event_uid: Option<&'a str>,
    timestamp: Option<&'a str>,
    /// Whether another member's key has a control character.
    has_control_key: bool,
}

impl EventMembers<'_> {
    fn into_submission(self, body: &Bytes) -> Submission {
        let mut flaws = Vec::new();
        let mut name = |field, value| flaws_of(read_name(field, value), &mut flaws).flatten();
        let event_name = name("event_name", self.event_name);
        let event_type = name("event_type", self.event_type);
        let event_uid = name("event_uid", self.event_uid);
        if event_uid.as_deref() == Some("") {
            flaws.push(invalid("event_uid", "is empty, expected 1 to 255 characters"));
        }
        let user_id = flaws_of(read_user_id(self.user_id), &mut flaws).flatten();
        let timestamp = flaws_of(read_timestamp(self.timestamp), &mut flaws).flatten();
        let payload = present(self.payload).map(|text| JsonText::slice_of(body, text));
        let unread = (!flaws.is_empty()).then(|| self.digest());
        Submission { event_name, event_type, payload, user_id, event_uid, timestamp, flaws, unread, trace: None }
    }

    fn digest(&self) -> [u8; 32] {
        let fields = [self.event_name, self.event_type, self.user_id, self.event_uid, self.timestamp];
        let add = |hash: Sha256, field: Option<&str>| hash.chain_update(field.unwrap_or_default()).chain_update([0]);
        fields.into_iter().fold(Sha256::new(), add).finalize().into()
    }
}

/// A value that was read, perhaps only in part, and what is wrong with it.
struct FieldRead<T>(Option<T>, Option<Flaw>);

fn flaws_of<T>(read: FieldRead<T>, flaws: &mut Vec<Flaw>) -> Option<T> {
    flaws.extend(read.1);
    read.0
}

fn invalid(field: &str, what: &str) -> Flaw {
    Flaw::new(RejectCode::InvalidField, format!("/{field}"), format!("{field} {what}"))
}

/// `null` counts as absent.
fn present(value: Option<&str>) -> Option<&str> {
    value.filter(|text| JsonKind::of(text) != JsonKind::Null)
}

fn read_name(field: &str, value: Option<&str>) -> FieldRead<Option<String>> {
    let Some(text) = present(value) else { return FieldRead(None, None) };
    if JsonKind::of(text) != JsonKind::String {
        let what = format!("is {}, expected a string", JsonKind::of(text).with_article());
        return FieldRead(None, Some(invalid(field, &what)));
    }
    let Ok(name) = serde_json::from_str::<String>(text) else {
        return FieldRead(None, Some(invalid(field, "has a lone surrogate escape, which is not a character")));
    };
    if name.contains('\0') {
        return FieldRead(None, Some(invalid(field, "has the character \\u0000, which a database cannot hold")));
    }
    match name.char_indices().nth(NAME_CHARS_MAX) {
        None => FieldRead(Some(Some(name)), None),
        Some((cut, _)) => {
            let chars = name.chars().count();
            let detail = format!("{field} is {chars} characters, limit {NAME_CHARS_MAX}");
            let flaw = Flaw::new(RejectCode::FieldTooLong, format!("/{field}"), detail);
            FieldRead(Some(Some(name[..cut].to_owned())), Some(flaw))
        }
    }
}

fn read_user_id(value: Option<&str>) -> FieldRead<Option<i64>> {
    match present(value).map(integer) {
        None => FieldRead(None, None),
        Some(Some(user_id)) => FieldRead(Some(Some(user_id)), None),
        Some(None) => FieldRead(None, Some(invalid("user_id", "is not a 64-bit integer"))),
    }
}

fn read_timestamp(value: Option<&str>) -> FieldRead<Option<DateTime<Utc>>> {
    let Some(text) = present(value) else { return FieldRead(None, None) };
    match serde_json::from_str::<String>(text).ok().and_then(|text| timestamp::parse(&text)) {
        Some(time) => FieldRead(Some(Some(time)), None),
        None => {
            let what = "is not an RFC 3339 time such as \"2025-12-18T10:30:00Z\"";
            FieldRead(None, Some(invalid("timestamp", what)))
        }
    }
}

/// Keys are compared as bytes: a lone surrogate in the key of an unknown member is ignored.
enum KnownMember {
    EventName,
    EventType,
    Payload,
    UserId,
    EventUid,
    Timestamp,
    Unknown { has_control: bool },
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = KnownMember;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KnownMember, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = KnownMember;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<KnownMember, E> {
        Ok(match key {
            b"event_name" => KnownMember::EventName,
            b"event_type" => KnownMember::EventType,
            b"payload" => KnownMember::Payload,
            b"user_id" => KnownMember::UserId,
            b"event_uid" => KnownMember::EventUid,
            b"timestamp" => KnownMember::Timestamp,
            other => KnownMember::Unknown { has_control: has_control(other) },
        })
    }
}

struct EventMembersVisitor;

impl<'de> Visitor<'de> for EventMembersVisitor {
    type Value = EventMembers<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EventMembers<'de>, A::Error> {
        let mut members = EventMembers::default();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let value = Some(map.next_value::<&'de RawValue>()?.get());
            match key {
                KnownMember::EventName => members.event_name = value,
                KnownMember::EventType => members.event_type = value,
                KnownMember::Payload => members.payload = value,
                KnownMember::UserId => members.user_id = value,
                KnownMember::EventUid => members.event_uid = value,
                KnownMember::Timestamp => members.timestamp = value,
                KnownMember::Unknown { has_control } => members.has_control_key |= has_control,
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn read(text: &str) -> Result<Submission, Unreadable> {
        Submission::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn flaws(text: &str) -> Vec<(&'static str, String)> {
        let flaws = read(text).expect("a readable event").flaws;
        flaws.into_iter().map(|flaw| (flaw.code.as_str(), flaw.detail)).collect()
    }

    #[test]
    fn an_event_is_read_with_its_payload_as_received() {
        let event = read(
            r#" {"event_name":"page_view","event_type":"engagement","payload": {"b" : 1.10,"a":9007199254740993 },
            "user_id":7,"event_uid":"u-1","timestamp":"2025-12-18T10:30:00+01:00","id":3,"status":"processed"} "#,
        )
        .expect("a readable event");
        assert_eq!(event.event_name.as_deref(), Some("page_view"));
        assert_eq!(event.event_type.as_deref(), Some("engagement"));
        assert_eq!(event.payload.expect("a payload").as_str(), r#"{"b" : 1.10,"a":9007199254740993 }"#);
        assert_eq!((event.user_id, event.event_uid.as_deref()), (Some(7), Some("u-1")));
        assert_eq!(event.timestamp.map(timestamp::render).as_deref(), Some("2025-12-18T09:30:00.000000Z"));
        assert_eq!(event.flaws, []);
    }

    #[test]
    fn of_repeated_members_the_last_wins_also_through_escapes() {
        let event = read(r#"{"event_name":"a","payload":{"x":1},"event_n\u0061me":"b","payload":null}"#);
        let event = event.expect("a readable event");
        assert_eq!(event.event_name.as_deref(), Some("b"));
        assert_eq!(event.payload, None);
    }

    #[test]
    fn invalid_json_is_distinguished_from_other_json_values() {
        for text in [
            "{",
            "{\"\n\":1}",
            "{\"\\u0000\u{1}\":1}",
            "{}{}",
            "{}x",
            "{\"a\":1,}",
            "{'a':1}",
            "[1,2",
            "{\"a\":01}",
            "{\"a\":\"\\x\"}",
            "NaN",
            "\u{feff}{}",
        ] {
            assert!(matches!(read(text), Err(Unreadable::NotJson(_))), "{text}");
        }
        for text in ["[1,2]", "\"s\"", "1", "null", " true "] {
            assert!(matches!(read(text), Err(Unreadable::NotObject(_))), "{text}");
        }
        assert_eq!(read(" \n"), Err(Unreadable::Empty));
        let invalid = Submission::read(&Bytes::from_static(b"{\"a\":\"\xff\"}"));
        assert_eq!(invalid, Err(Unreadable::NotUtf8(6)));
        assert!(matches!(read(&"[".repeat(100_000)), Err(Unreadable::NotJson(_))));
        assert!(matches!(read(&format!("{{\"payload\":{}", "[".repeat(100_000))), Err(Unreadable::NotJson(_))));
    }

    #[test]
    fn wrong_fields_are_all_remembered_with_their_figures() {
        let found = flaws(r#"{"event_name":1,"event_type":[],"user_id":1.5,"event_uid":"","timestamp":"yesterday"}"#);
        let details: Vec<&str> = found.iter().map(|(_, detail)| detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "event_name is a number, expected a string",
                "event_type is an array, expected a string",
                "event_uid is empty, expected 1 to 255 characters",
                "user_id is not a 64-bit integer",
                "timestamp is not an RFC 3339 time such as \"2025-12-18T10:30:00Z\"",
            ]
        );
        assert!(found.iter().all(|(code, _)| *code == "invalid_field"));
    }

    #[test]
    fn a_long_name_is_cut_on_a_character_and_refused() {
        let event = |chars: usize| format!(r#"{{"event_name":"{}"}}"#, "é".repeat(chars));
        assert_eq!(flaws(&event(255)), []);
        let read = read(&event(256)).expect("a readable event");
        assert_eq!(read.event_name.expect("kept in part").chars().count(), 255);
        assert_eq!(read.flaws[0].detail, "event_name is 256 characters, limit 255");
    }

    #[test]
    fn names_that_a_database_cannot_hold_are_refused() {
        assert_eq!(flaws(r#"{"event_name":"a\u0000"}"#)[0].0, "invalid_field");
        assert_eq!(flaws(r#"{"event_name":"\ud800"}"#)[0].0, "invalid_field");
        assert_eq!(flaws(r#"{"\ud800":1,"\u0001":2,"event_name":"a"}"#), []);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_agrees_with_serde_about_what_is_json(text in "[\\[{}\\]\",:a\\\\0 -9eE.\\n]{0,24}") {
            let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            let refused = matches!(read(&text), Err(Unreadable::NotJson(_) | Unreadable::Empty));
            prop_assert_eq!(is_json, !refused);
        }

        #[test]
        fn a_body_cut_anywhere_is_not_json(cut in 0_usize..60) {
            let body = r#"{"event_name":"a","event_type":"b","payload":{"c":[1,"d"]}}"#;
            prop_assume!(cut < body.len());
            prop_assert!(matches!(read(&body[..cut]), Err(Unreadable::NotJson(_) | Unreadable::Empty)));
        }
    }
}
