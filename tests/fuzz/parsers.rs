//! Events, batches and CloudEvents in this process, compared with what serde_json makes of the same bytes.

use bytes::Bytes;
use chrono::DateTime;
use gristmill::domain::batch::{BatchError, is_batch, read_batch};
use gristmill::domain::cloud_event::{self, ATTRIBUTES};
use gristmill::domain::event::validate;
use gristmill::domain::json::JsonText;
use gristmill::domain::normalize::normalize_event_payload;
use gristmill::domain::payload::PayloadLimits;
use gristmill::domain::submission::{NAME_CHARS_MAX, Submission, Unreadable};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::support::fuzz::{BATCHES, CLOUD_EVENTS, EVENTS, LINES, damaged, each};

/// Cases of each test in the short form: some seconds for all of them.
const CASES: u64 = 15_000;

const EVENTS_MAX: usize = 50;

/// What serde_json says of a body.
struct Judged {
    text: Option<String>,
    is_json: bool,
    /// `None` also for JSON of which no value is built: too deep for it, or with half a surrogate pair.
    value: Option<Value>,
}

impl Judged {
    fn of(body: &[u8]) -> Self {
        let text = std::str::from_utf8(body).ok().map(str::to_owned);
        let is_json = text.as_deref().is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        let value = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self { text, is_json, value }
    }

    fn is_blank(&self) -> bool {
        self.text.as_deref().is_some_and(|text| text.chars().all(|c| [' ', '\t', '\n', '\r'].contains(&c)))
    }

    fn is_object(&self) -> bool {
        let start = |text: &str| text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
        self.is_json && self.text.as_deref().is_some_and(start)
    }
}

fn all(bodies: &[&[&'static [u8]]]) -> Vec<&'static [u8]> {
    bodies.concat()
}

fn shown(body: &[u8]) -> String {
    body.escape_ascii().to_string()
}

/// Asserts that `error` is the one that fits the body; `is_taken` says whether there was none.
fn assert_fits(error: Option<&Unreadable>, judged: &Judged, body: &[u8]) {
    let expected = match error {
        None => judged.is_object(),
        Some(Unreadable::NotUtf8(at)) => std::str::from_utf8(body).err().map(|error| error.valid_up_to()) == Some(*at),
        Some(Unreadable::Empty) => judged.is_blank(),
        Some(Unreadable::NotJson(_)) => judged.text.is_some() && !judged.is_json && !judged.is_blank(),
        Some(Unreadable::NotObject(_)) => judged.is_json && !judged.is_object(),
    };
    assert!(expected, "{error:?} for {}", shown(body));
}

/// The payload as a value; `None` if none can be built of it.
fn value_of(payload: Option<&JsonText>) -> Option<Value> {
    payload.map_or(Some(Value::Null), |payload| serde_json::from_str(payload.as_str()).ok())
}

/// Asserts that what is taken is what was sent, and that a valid payload comes out of the normalisation unchanged.
fn assert_kept(submission: &Submission, sent: &Value, body: &[u8]) {
    let names = [
        ("event_name", &submission.event_name),
        ("event_type", &submission.event_type),
        ("event_uid", &submission.event_uid),
    ];
    for (field, taken) in names {
        let text = sent[field].as_str().filter(|text| !text.contains('\0'));
        let cut = text.map(|text| text.chars().take(NAME_CHARS_MAX).collect::<String>());
        assert_eq!(*taken, cut, "{field} of {}", shown(body));
    }
    // Minus zero is an integer here and a float there.
    let user = sent["user_id"].as_i64().or(submission.user_id.filter(|user| *user == 0 && sent["user_id"] == -0.0));
    assert_eq!(submission.user_id, user, "{}", shown(body));
    let time = sent["timestamp"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    assert!(submission.timestamp.is_none() || time.is_some(), "{}", shown(body));
    assert_eq!(value_of(submission.payload.as_ref()).as_ref(), Some(&sent["payload"]), "{}", shown(body));
}

fn assert_normalized(submission: &Submission, body: &[u8]) {
    let limits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };
    if validate(submission, &limits).is_err() {
        return;
    }
    let properties = normalize_event_payload(submission.payload.as_ref(), DateTime::UNIX_EPOCH);
    let properties: Value = serde_json::from_str(&properties)
        .unwrap_or_else(|error| panic!("properties that are no JSON ({error}) of {}: {properties}", shown(body)));
    assert_eq!(Some(&properties["original"]), value_of(submission.payload.as_ref()).as_ref(), "{}", shown(body));
}

#[test]
fn a_damaged_event_is_read_as_serde_json_reads_it() {
    let bodies = all(&[&EVENTS, &BATCHES, &LINES]);
    each("events", CASES, |dice| {
        let body = Bytes::from(damaged(dice, &bodies));
        let read = Submission::read(&body);
        let judged = Judged::of(&body);
        assert_fits(read.as_ref().err(), &judged, &body);
        if let Ok(submission) = read {
            assert_normalized(&submission, &body);
            judged.value.iter().for_each(|sent| assert_kept(&submission, sent, &body));
        }
    });
}

#[test]
fn a_damaged_batch_has_the_events_that_serde_json_finds() {
    let bodies = all(&[&BATCHES, &BATCHES, &EVENTS, &LINES]);
    each("batches", CASES, |dice| {
        let body = Bytes::from(damaged(dice, &bodies));
        let read = read_batch(&body, EVENTS_MAX);
        let judged = Judged::of(&body);
        let Some(sent) = &judged.value else {
            // What is no value may still be JSON; what is no JSON is no batch.
            assert!(judged.is_json || matches!(read, Err(BatchError::Unreadable(_))), "{read:?} of {}", shown(&body));
            return;
        };
        let list = sent.as_array().or_else(|| sent["events"].as_array());
        let looks_like_one = sent.is_array() || sent.get("events").is_some();
        assert_eq!(is_batch(&body), looks_like_one && !judged.is_blank(), "{}", shown(&body));
        match (read, list) {
            (Ok(texts), Some(list)) => {
                let values: Vec<Value> =
                    texts.iter().map(|text| serde_json::from_str(text).expect("a part of JSON")).collect();
                assert_eq!(&values, list, "{}", shown(&body));
                for text in texts {
                    if let Ok(submission) = Submission::read_part(&body, text) {
                        assert_normalized(&submission, &body);
                    }
                }
            }
            (Err(BatchError::Empty { .. }), Some(list)) => assert!(list.is_empty(), "{}", shown(&body)),
            (Err(BatchError::TooMany { events, .. }), Some(list)) => {
                assert!(events == list.len() && events > EVENTS_MAX, "{}", shown(&body));
            }
            (Err(BatchError::NotAList(_)), None) => {}
            (read, _) => panic!("{read:?} of {}", shown(&body)),
        }
    });
}

#[test]
fn a_damaged_cloud_event_keeps_its_data_and_every_attribute() {
    let bodies = all(&[&CLOUD_EVENTS, &CLOUD_EVENTS, &EVENTS]);
    each("CloudEvents", CASES, |dice| {
        let body = Bytes::from(damaged(dice, &bodies));
        let judged = Judged::of(&body);
        let Some(text) = judged.text.as_deref() else { return };
        let read = cloud_event::read(&body, text);
        // An attribute's name is text, half a surrogate pair is none: serde_json says so only when it builds a value.
        if judged.value.is_some() || !judged.is_json {
            assert_fits(read.as_ref().err(), &judged, &body);
        }
        let (Ok(submission), Some(sent)) = (read, judged.value) else { return };
        assert_normalized(&submission, &body);
        let Some(Value::Object(mut payload)) = value_of(submission.payload.as_ref()) else {
            panic!("a payload that is no object of {}", shown(&body))
        };
        let mut attributes = sent.as_object().expect("asserted above").clone();
        let data = attributes.remove("data");
        let base64 = attributes.remove("data_base64").filter(|text| !text.is_null());
        attributes.retain(|_, value| !value.is_null());
        assert_eq!(payload.remove(ATTRIBUTES), Some(attributes.into()), "{}", shown(&body));
        if let Some(base64) = base64 {
            assert_eq!(payload.get("data_base64"), Some(&base64), "{}", shown(&body));
        } else if let Some(data) = data {
            let kept = if data.is_object() && data.get(ATTRIBUTES).is_none() {
                payload.into()
            } else {
                payload["data"].clone()
            };
            assert_eq!(kept, data, "{}", shown(&body));
        }
    });
}
