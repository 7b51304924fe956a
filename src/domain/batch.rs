//! The events of a batch: found in its JSON text without building a value of any of them.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{JsonKind, SPACE, check_syntax, has_control};
use super::submission::Unreadable;

/// Why a body is not a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The body is not JSON.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The body is JSON, but neither a list nor an object with a list under `events`.
    #[error("{0}, expected an array of events, or an object with one under \"events\"")]
    NotAList(String),
    /// The list is empty.
    #[error("the batch has no events, expected 1 to {max}")]
    Empty {
        /// Most events of a batch.
        max: usize,
    },
    /// The list is too long.
    #[error("the batch has {events} events, limit {max}")]
    TooMany {
        /// How many it has.
        events: usize,
        /// Most events of a batch.
        max: usize,
    },
}

/// Whether `body` looks like a batch rather than one event: an array, or an object with the member `events`.
pub fn is_batch(body: &[u8]) -> bool {
    match body.trim_ascii_start().first() {
        Some(b'[') => true,
        Some(b'{') => std::str::from_utf8(body).is_ok_and(|text| matches!(member(text), Ok(Some(_)))),
        _ => false,
    }
}

/// The text of each event of the batch in `body`, at least one and at most `max`, as slices of it.
pub fn read_batch(body: &Bytes, max: usize) -> Result<Vec<&str>, BatchError> {
    let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    let start = text.trim_start_matches(SPACE);
    if start.is_empty() {
        return Err(Unreadable::Empty.into());
    }
    let list = match JsonKind::of(start) {
        JsonKind::Array => text,
        JsonKind::Object => listed(text)?,
        other => {
            check_syntax(text).map_err(not_json)?;
            return Err(BatchError::NotAList(format!("the batch is {}", other.with_article())));
        }
    };
    let found = ListedEvents { texts: Vec::new(), events: 0, max };
    let mut deserializer = serde_json::Deserializer::from_str(list);
    let found =
        deserializer.deserialize_seq(found).and_then(|found| deserializer.end().map(|()| found)).map_err(not_json)?;
    match found.events {
        0 => Err(BatchError::Empty { max }),
        events if events > max => Err(BatchError::TooMany { events, max }),
        _ => Ok(found.texts),
    }
}

/// The list under `events` in the object `text`; of repeated ones the last wins.
fn listed(text: &str) -> Result<&str, BatchError> {
    match member(text)? {
        Some(list) if JsonKind::of(list) == JsonKind::Array => Ok(list),
        Some(other) => Err(BatchError::NotAList(format!("\"events\" is {}", JsonKind::of(other).with_article()))),
        None => Err(BatchError::NotAList("the batch is an object without \"events\"".to_owned())),
    }
}

fn member(text: &str) -> Result<Option<&str>, BatchError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(EventsVisitor).and_then(|read| deserializer.end().map(|()| read));
    let read = read.map_err(not_json)?;
    if read.has_control_key {
        check_syntax(text).map_err(not_json)?;
    }
    Ok(read.events)
}

fn not_json(error: serde_json::Error) -> BatchError {
    Unreadable::NotJson(error.to_string()).into()
}

/// What is read of an object.
struct EventsMember<'a> {
    events: Option<&'a str>,
    has_control_key: bool,
}

struct EventsVisitor;

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = EventsMember<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = EventsMember { events: None, has_control_key: false };
        while let Some(key) = map.next_key::<MemberKey>()? {
            let value = map.next_value::<&'de RawValue>()?.get();
            read.has_control_key |= key.has_control;
            if key.is_events {
                read.events = Some(value);
            }
        }
        Ok(read)
    }
}

/// Compared as bytes: a lone surrogate in another key is ignored.
struct MemberKey {
    is_events: bool,
    has_control: bool,
}

impl<'de> serde::Deserialize<'de> for MemberKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(MemberKeyVisitor)
    }
}

struct MemberKeyVisitor;

impl Visitor<'_> for MemberKeyVisitor {
    type Value = MemberKey;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<MemberKey, E> {
        Ok(MemberKey { is_events: key == b"events", has_control: has_control(key) })
    }
}

/// The list's elements; those above the limit are counted, not kept.
struct ListedEvents<'a> {
    texts: Vec<&'a str>,
    events: usize,
    max: usize,
}

impl<'de> Visitor<'de> for ListedEvents<'de> {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Self, A::Error> {
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            self.events += 1;
            if self.events <= self.max {
                self.texts.push(element.get());
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Vec<String>, String> {
        let body = Bytes::from_static(text.as_bytes());
        let texts = read_batch(&body, 3).map_err(|error| error.to_string())?;
        Ok(texts.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_batch_is_an_array_or_an_object_with_one_and_its_events_are_slices() {
        for text in [r#"[{"a":1}, 2 ,"x"]"#, r#" {"events": [{"a":1},2,"x"],"other":{}} "#] {
            assert_eq!(read(text).expect("a batch"), [r#"{"a":1}"#, "2", "\"x\""], "{text}");
        }
        assert_eq!(read(r#"{"events":[1],"\ud800":1,"events":[2]}"#).expect("a batch"), ["2"], "the last wins");
    }

    #[test]
    fn what_is_not_a_batch_is_refused_with_its_figures() {
        for (text, error) in [
            ("", "the body is empty, expected a JSON object"),
            ("[]", "the batch has no events, expected 1 to 3"),
            (r#"{"events":[]}"#, "the batch has no events, expected 1 to 3"),
            ("[1,2,3,4,5]", "the batch has 5 events, limit 3"),
            ("1", "the batch is a number, expected an array of events, or an object with one under \"events\""),
            (
                r#"{"events":{}}"#,
                "\"events\" is an object, expected an array of events, or an object with one under \"events\"",
            ),
            (
                r#"{"event_name":"a"}"#,
                "the batch is an object without \"events\", expected an array of events, or an object with one under \"events\"",
            ),
        ] {
            assert_eq!(read(text), Err(error.to_owned()), "{text}");
        }
        for text in
            ["[1,2", "[1,]", "{\"events\":[1}", "[1]x", "nope", "{\"events\":[1]}{}", "{\"\t\":1,\"events\":[1]}"]
        {
            assert!(read(text).expect_err("no JSON").starts_with("the body is not JSON"), "{text}");
        }
    }
}
