//! CloudEvents 1.0: an event in their JSON format becomes a submission.
//!
//! `type` is the event's name, `source` and `id` together its key, `time` its time, `data` its payload. Every attribute
//! is kept in the payload under [`ATTRIBUTES`]; data that is not an object is there under `data` or `data_base64`.

mod content;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

pub use self::content::{Content, Incidental};
use super::json::{JsonKind, JsonText, SPACE, check_syntax};
use super::rejection::{Flaw, RejectCode, Rejection};
use super::submission::{NAME_CHARS_MAX, Submission, Unreadable};
use super::timestamp;
use super::trace::TraceContext;

/// The payload's member that holds the attributes.
pub const ATTRIBUTES: &str = "ce_attributes";

/// The type that events from CloudEvents have: their own format knows only one name.
pub const EVENT_TYPE: &str = "cloudevent";

/// Base64 as most programs read it: bits after the last byte are ignored.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the CloudEvent in `text`; of repeated members the last wins.
pub fn read(_: &Bytes, text: &str) -> Result<Submission, Unreadable> {
    let start = text.trim_start_matches(SPACE);
    if start.is_empty() {
        return Err(Unreadable::Empty);
    }
    if !start.starts_with('{') {
        check_syntax(text).map_err(not_json)?;
        let detail = format!("the event is {}, expected an object", JsonKind::of(start).with_article());
        let flaw = Flaw::new(RejectCode::EventNotObject, "", detail);
        return Err(Unreadable::NotObject(Box::new(Rejection::of(flaw))));
    }
    let mut members: Members<'_> = serde_json::from_str(text).map_err(not_json)?;
    let data = members.remove("data");
    let base64 = members.remove("data_base64");
    // An attribute that is null counts as absent.
    members.retain(|_, value| JsonKind::of(value.get()) != JsonKind::Null);
    let mut flaws = Vec::new();
    let mut required = |name: &str| attribute(&members, name, &mut flaws);
    let version = required("specversion");
    let id = required("id");
    let source = required("source");
    let kind = required("type");
    if version.as_deref().is_some_and(|version| version != "1.0") {
        flaws.push(invalid("specversion", "is not \"1.0\""));
    }
    let timestamp = time(&members, &mut flaws);
    let trace = trace(&members);
    let data = data_of(data, base64, &mut flaws);
    let event_uid = source.zip(id).map(|(source, id)| uid(&source, &id));
    let payload = JsonText::parse(payload(data, &members)).map_err(not_json)?;
    let event_name = kind.map(|kind| name(kind, &mut flaws));
    Ok(Submission {
        event_name,
        event_type: Some(EVENT_TYPE.to_owned()),
        payload: Some(payload),
        user_id: None,
        event_uid,
        timestamp,
        flaws,
        unread: None,
        trace,
    })
}

fn not_json(error: serde_json::Error) -> Unreadable {
    Unreadable::NotJson(error.to_string())
}

fn invalid(name: &str, what: &str) -> Flaw {
    Flaw::new(RejectCode::InvalidField, format!("/{name}"), format!("{name} {what}"))
}

/// An attribute that every CloudEvent has: a non-empty string.
fn attribute(members: &Members<'_>, name: &str, flaws: &mut Vec<Flaw>) -> Option<String> {
    let value = members.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let value = value.filter(|text| !text.is_empty() && !text.contains('\0'));
    if value.is_none() {
        flaws.push(invalid(name, "is missing or no text, a CloudEvent has one"));
    }
    value
}

fn name(kind: String, flaws: &mut Vec<Flaw>) -> String {
    let Some((cut, _)) = kind.char_indices().nth(NAME_CHARS_MAX) else { return kind };
    let detail = format!("type is {} characters, limit {NAME_CHARS_MAX}", kind.chars().count());
    flaws.push(Flaw::new(RejectCode::FieldTooLong, "/type", detail));
    kind[..cut].to_owned()
}

fn time(members: &Members<'_>, flaws: &mut Vec<Flaw>) -> Option<chrono::DateTime<chrono::Utc>> {
    let text = members.get("time")?;
    let time = serde_json::from_str::<String>(text.get()).ok().and_then(|text| timestamp::parse(&text));
    if time.is_none() {
        flaws.push(invalid("time", "is not an RFC 3339 time such as \"2025-12-18T10:30:00Z\""));
    }
    time
}

/// What the extension for distributed tracing says about where the event began; invalid texts are ignored.
fn trace(members: &Members<'_>) -> Option<Arc<TraceContext>> {
    let text = |name: &str| serde_json::from_str::<String>(members.get(name)?.get()).ok();
    TraceContext::read(&text("traceparent")?, &text("tracestate").unwrap_or_default()).map(Arc::new)
}

/// `source` and `id` make an event unique. A source has no space in it; what is too long for a key is hashed.
fn uid(source: &str, id: &str) -> String {
    let uid = format!("{source} {id}");
    if uid.chars().count() <= NAME_CHARS_MAX {
        return uid;
    }
    format!("sha256:{}", hex::encode(Sha256::digest(uid)))
}

/// What an event carries.
enum Data<'a> {
    Json(&'a str),
    Base64(&'a str),
}

/// The data, which is in one of two members.
fn data_of<'a>(data: Option<&'a RawValue>, base64: Option<&'a RawValue>, flaws: &mut Vec<Flaw>) -> Option<Data<'a>> {
    let is_there = |value: &&RawValue| JsonKind::of(value.get()) != JsonKind::Null;
    let Some(base64) = base64.filter(is_there) else { return data.map(|data| Data::Json(data.get())) };
    if data.as_ref().is_some_and(is_there) {
        flaws.push(invalid("data_base64", "stands beside data, a CloudEvent has one of them"));
    }
    let bytes = serde_json::from_str::<String>(base64.get()).ok().and_then(|text| BASE64.decode(text).ok());
    if bytes.is_none() {
        flaws.push(invalid("data_base64", "is not valid base64"));
    }
    Some(Data::Base64(base64.get()))
}

/// The data's own members beside the attributes; data that has a member of their name goes under `data`.
fn payload(data: Option<Data<'_>>, members: &Members<'_>) -> String {
    let attributes: Vec<String> = members.iter().map(|(name, value)| member(name, value.get())).collect();
    let attributes = member(ATTRIBUTES, &format!("{{{}}}", attributes.join(",")));
    let data = match data {
        Some(Data::Json(object)) if can_be_opened(object) => object[1..object.len() - 1].trim_ascii().to_owned(),
        Some(Data::Json(value)) => member("data", value),
        Some(Data::Base64(text)) => member("data_base64", text),
        None => String::new(),
    };
    if data.is_empty() { format!("{{{attributes}}}") } else { format!("{{{data},{attributes}}}") }
}

fn can_be_opened(data: &str) -> bool {
    let is_free = |members: Members<'_>| !members.contains_key(ATTRIBUTES);
    JsonKind::of(data) == JsonKind::Object && serde_json::from_str(data).is_ok_and(is_free)
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(text: &str) -> Submission {
        read(&Bytes::new(), text).expect("a readable event")
    }

    #[test]
    fn the_attributes_become_the_fields_and_all_are_kept() {
        let event = submission(
            r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"A234-1234-1234",
            "time":"2018-04-05T17:31:00Z","comexampleextension1":"value","comexampleothervalue":5,
            "datacontenttype":"application/json","data":{"b" : 1.10}}"#,
        );
        assert_eq!(event.flaws, []);
        assert_eq!(event.event_name.as_deref(), Some("com.example.someevent"));
        assert_eq!(event.event_uid.as_deref(), Some("/mycontext A234-1234-1234"));
        assert_eq!(event.timestamp.map(timestamp::render).as_deref(), Some("2018-04-05T17:31:00.000000Z"));
        let payload = event.payload.expect("a payload");
        assert!(payload.as_str().starts_with(r#"{"b" : 1.10,"ce_attributes":{"#), "{payload:?}");
        assert!(payload.as_str().contains(r#""comexampleothervalue":5"#), "{payload:?}");
    }

    #[test]
    fn data_of_every_kind_is_kept() {
        for (data, start) in [
            (r#","data":{}"#, r#"{"ce_attributes":"#),
            (r#","data":"text""#, r#"{"data":"text","ce_attributes":"#),
            (r#","data":[1]"#, r#"{"data":[1],"ce_attributes":"#),
            (r#","data":null"#, r#"{"data":null,"ce_attributes":"#),
            (r#","data_base64":"AAE=""#, r#"{"data_base64":"AAE=","ce_attributes":"#),
            ("", r#"{"ce_attributes":"#),
        ] {
            let event = submission(&format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1"{data}}}"#));
            let payload = event.payload.expect("a payload");
            assert!(payload.as_str().starts_with(start), "{payload:?}");
        }
    }

    #[test]
    fn what_a_cloud_event_must_have_is_named() {
        let event = submission(r#"{"specversion":"0.3","source":"","id":1,"time":"now"}"#);
        let flaws: Vec<&str> = event.flaws.iter().map(|flaw| flaw.pointer.as_str()).collect();
        assert_eq!(flaws, ["/id", "/source", "/type", "/specversion", "/time"]);
        assert!(matches!(read(&Bytes::new(), "[]"), Err(Unreadable::NotObject(_))));
        assert!(matches!(read(&Bytes::new(), "{"), Err(Unreadable::NotJson(_))));
    }

    #[test]
    fn the_trace_of_an_event_is_read_and_a_wrong_one_ignored() {
        let of = |more: &str| submission(&format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1"{more}}}"#));
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = of(&format!(r#","traceparent":"{parent}","tracestate":"a=1""#));
        assert_eq!(event.trace.map(|trace| trace.text()), Some(format!("{parent} a=1")));
        for wrong in ["", r#","traceparent":"x""#, r#","traceparent":1"#, r#","tracestate":"a=1""#] {
            let event = of(wrong);
            assert_eq!((event.trace, event.flaws), (None, Vec::new()), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_is_too_long_is_hashed() {
        let long = "x".repeat(300);
        assert_eq!(uid("s", &long).len(), 71);
        assert_ne!(uid("s", &long), uid("t", &long));
    }
}
