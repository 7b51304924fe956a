//! How an event is written in the spool: one JSON object, its payload as the text that was received.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use crate::domain::dedupe::{DedupeKey, Namespace};
use crate::domain::event::Event;
use crate::domain::json::JsonText;
use crate::domain::submission::Submission;
use crate::domain::timestamp;
use crate::domain::trace::TraceContext;

/// Grows with every change that an older program would read wrongly.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct SpooledEvent<'a> {
    version: u8,
    id: i64,
    task_id: Cow<'a, str>,
    user_id: i64,
    event_name: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    event_uid: Option<Cow<'a, str>>,
    timestamp: Option<String>,
    received_at: String,
    key: Option<SpooledKey<'a>>,
    /// Neither written nor missed where there is none: records of programs without traces are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<Cow<'a, RawValue>>,
}

#[derive(Serialize, Deserialize)]
struct SpooledKey<'a> {
    namespace: i16,
    text: Cow<'a, str>,
    content_hash: [u8; 32],
}

/// The text of an event that no stage has refused; its attempts are not charged and not kept.
pub(super) fn write(event: &Event) -> Result<String, StoreError> {
    let submission = &event.submission;
    let payload = event.payload().map(|payload| serde_json::from_str::<&RawValue>(payload.as_str())).transpose();
    let written = SpooledEvent {
        version: VERSION,
        id: event.id,
        task_id: event.task_id.to_string().into(),
        user_id: event.user_id,
        event_name: submission.event_name.as_deref().map(Cow::Borrowed),
        event_type: submission.event_type.as_deref().map(Cow::Borrowed),
        event_uid: submission.event_uid.as_deref().map(Cow::Borrowed),
        timestamp: submission.timestamp.map(timestamp::render),
        received_at: timestamp::render(event.received_at),
        key: event.key.as_ref().map(|key| SpooledKey {
            namespace: key.namespace.code(),
            text: Cow::Borrowed(&key.text),
            content_hash: key.content_hash,
        }),
        trace: submission.trace.as_ref().map(|trace| trace.text().into()),
        payload: payload.map_err(|error| wrong(&error.to_string()))?.map(Cow::Borrowed),
    };
    serde_json::to_string(&written).map_err(|error| wrong(&error.to_string()))
}

/// The event that was written as `text`.
pub(super) fn read(text: &str) -> Result<Event, StoreError> {
    let written: SpooledEvent<'_> = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    if written.version != VERSION {
        return Err(wrong(&format!("version {} is not {VERSION}", written.version)));
    }
    let time = |text: &str| timestamp::parse(text).ok_or_else(|| wrong("a timestamp is invalid"));
    let payload = written.payload.map(|payload| JsonText::parse(payload.get())).transpose();
    let submission = Submission {
        event_name: written.event_name.map(Cow::into_owned),
        event_type: written.event_type.map(Cow::into_owned),
        event_uid: written.event_uid.map(Cow::into_owned),
        payload: payload.map_err(|error| wrong(&error.to_string()))?,
        user_id: None,
        timestamp: written.timestamp.as_deref().map(time).transpose()?,
        flaws: Vec::new(),
        unread: None,
        trace: written.trace.as_deref().and_then(TraceContext::of_text).map(Arc::new),
    };
    let key = written.key.map(|key| read_key(key, written.user_id)).transpose()?;
    let received_at = time(&written.received_at)?;
    let task_id: Uuid = written.task_id.parse().map_err(|_| wrong("task_id is not a UUID"))?;
    Ok(Event { task_id, ..Event::new(written.id, written.user_id, submission, key, received_at) })
}

fn read_key(key: SpooledKey<'_>, user_id: i64) -> Result<DedupeKey, StoreError> {
    let namespace = Namespace::of_code(key.namespace).ok_or_else(|| wrong("the key is of no namespace"))?;
    Ok(DedupeKey { user_id, namespace, text: key.text.into_owned(), content_hash: key.content_hash })
}

fn wrong(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Bug,
        StoreOutcome::NotStored,
        Cause::Setup(format!("an event of the spool is unreadable: {what}")),
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;

    fn event(text: &'static str) -> Event {
        let submission = Submission::read(&Bytes::from_static(text.as_bytes())).expect("a readable event");
        let key = DedupeKey::of(&submission, 3, Some("header"));
        let received_at = DateTime::from_timestamp_micros(1_766_053_800_123_456).expect("a valid time");
        Event::new(7, 3, submission, key, received_at)
    }

    #[test]
    fn an_event_comes_back_as_it_was_its_payload_to_the_letter() {
        for text in [
            r#"{"event_name":"a","event_type":"b"}"#,
            r#"{"event_name":"a\n\"","event_type":"b","event_uid":"u","timestamp":"2025-12-18T10:30:00Z","payload":{}}"#,
            "{\"event_name\":\"a\",\"event_type\":\"b\",\"payload\":{ \"b\" : 1.10,\n\"a\":9007199254740993,\"a\":-0 }}",
            r#"{"event_name":"a","event_type":"b","payload":{"$serde_json::private::RawValue":"{}"}}"#,
        ] {
            let mut event = event(text);
            let written = write(&event).expect("it can be written");
            assert_eq!(read(&written).expect("it can be read"), event, "{written}");
            let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1";
            event.submission.trace = TraceContext::of_text(trace).map(Arc::new);
            let written = write(&event).expect("it can be written");
            assert!(written.contains(trace), "{written}");
            assert_eq!(read(&written).expect("it can be read"), event, "{written}");
        }
    }

    #[test]
    fn a_record_of_a_program_that_knew_no_traces_is_read() {
        let text = concat!(
            r#"{"version":1,"id":7,"task_id":"01a20992-e639-70cb-bcf5-669d9b93a217","user_id":3,"event_name":"a","#,
            r#""event_type":"b","event_uid":null,"timestamp":null,"received_at":"2025-12-18T10:30:00.123456Z","#,
            r#""key":null,"payload":{"a": 1}}"#,
        );
        let event = read(text).expect("it can be read");
        assert_eq!((event.id, event.trace_id()), (7, None));
        assert_eq!(write(&event).expect("it can be written"), text, "an older program reads it, too");
    }

    #[test]
    fn text_that_is_damaged_or_of_a_later_version_is_refused() {
        let written = write(&event(r#"{"event_name":"a","event_type":"b"}"#)).expect("it can be written");
        for text in [written.replace("\"version\":1", "\"version\":2"), written.replace("2025", "x"), "{}".to_owned()] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}
