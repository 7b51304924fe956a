//! An event on its way through the line, and the checks that it must pass.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::dedupe::DedupeKey;
use super::json::JsonText;
use super::payload::{PayloadLimits, can_be_kept, validate_payload_shape};
use super::rejection::{Flaw, RejectCode, Rejection};
use super::submission::Submission;

/// The reference's sentence for an event without name or type.
pub const MISSING_FIELDS: &str = "Missing event_name or event_type";

/// An event with its identity, before or between attempts to process it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's number, known before its row exists.
    pub id: i64,
    /// The event's identity beside its number; distinguishes a repeated write from a collision.
    pub task_id: Uuid,
    /// The user that the event is for.
    pub user_id: i64,
    /// What was submitted.
    pub submission: Submission,
    /// Under which key the event may exist only once.
    pub key: Option<DedupeKey>,
    /// When the event was taken in.
    pub received_at: DateTime<Utc>,
    /// Failed attempts so far.
    pub attempts: u32,
    /// How many of them ended in a panic or a death of their process.
    pub crashes: u32,
    /// How often an operator has had the event processed anew.
    pub generation: u32,
}

impl Event {
    /// A new event, never tried before.
    pub fn new(
        id: i64,
        user_id: i64,
        submission: Submission,
        key: Option<DedupeKey>,
        received_at: DateTime<Utc>,
    ) -> Self {
        let task_id = Uuid::now_v7();
        Self { id, task_id, user_id, submission, key, received_at, attempts: 0, crashes: 0, generation: 0 }
    }

    /// Drops the payload if no database can hold it; for an event that was refused.
    pub fn drop_payload_that_cannot_be_kept(&mut self, limits: &PayloadLimits) {
        let payload = &mut self.submission.payload;
        if payload.as_ref().is_some_and(|payload| !can_be_kept(payload, limits)) {
            *payload = None;
        }
    }

    /// The id of the trace that the event is part of, as text.
    pub fn trace_id(&self) -> Option<String> {
        self.submission.trace.as_ref().map(|trace| trace.trace_id_text())
    }

    /// The payload as received, if there is one.
    pub fn payload(&self) -> Option<&JsonText> {
        self.submission.payload.as_ref()
    }
}

/// The checks of the Validator, in the reference's order: the payload's shape, then the fields.
pub fn validate(submission: &Submission, limits: &PayloadLimits) -> Result<(), Rejection> {
    validate_payload_shape(submission.payload.as_ref(), limits)
        .map_err(|rejection| rejection.and(submission.flaws.iter().cloned()))?;
    validate_required_fields(submission)
}

/// Checks that name and type are there and not blank, and that no field had to be left unread.
pub fn validate_required_fields(submission: &Submission) -> Result<(), Rejection> {
    let missing = missing_fields(submission);
    match (missing.split_first(), submission.flaws.split_first()) {
        (Some((first, others)), _) => {
            let others = others.iter().chain(&submission.flaws).cloned();
            Err(Rejection::with_error(first.clone(), MISSING_FIELDS).and(others))
        }
        (None, Some((first, others))) => Err(Rejection::of(first.clone()).and(others.iter().cloned())),
        (None, None) => Ok(()),
    }
}

/// A flaw per required field that is absent, null or blank; one of the wrong type is a flaw already.
fn missing_fields(submission: &Submission) -> Vec<Flaw> {
    let is_read_wrong = |pointer: &str| submission.flaws.iter().any(|flaw| flaw.pointer == pointer);
    [("event_name", &submission.event_name), ("event_type", &submission.event_type)]
        .into_iter()
        .filter(|(_, value)| value.as_deref().is_none_or(|value| value.trim().is_empty()))
        .map(|(field, value)| (field, format!("/{field}"), value))
        .filter(|(_, pointer, _)| !is_read_wrong(pointer))
        .map(|(field, pointer, value)| {
            let what = if value.is_some() { "blank" } else { "missing" };
            let detail = format!("{field} is {what}, expected 1 to 255 characters");
            Flaw::new(RejectCode::MissingField, pointer, detail)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };

    fn check(text: &'static str) -> Result<(), Rejection> {
        validate(&Submission::read(&Bytes::from_static(text.as_bytes())).expect("a readable event"), &LIMITS)
    }

    #[test]
    fn a_whole_event_is_valid_with_any_kind_of_payload_that_is_allowed() {
        for text in [
            r#"{"event_name":"a","event_type":"b","payload":{}}"#,
            r#"{"event_name":"a","event_type":"b","payload":null}"#,
            r#"{"event_name":"a","event_type":"b"}"#,
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_missing_name_or_type_has_the_references_sentence_and_every_flaw() {
        for (text, flaws) in [
            (r#"{"event_type":"b"}"#, vec!["event_name is missing, expected 1 to 255 characters"]),
            (r#"{"event_name":"","event_type":"b"}"#, vec!["event_name is blank, expected 1 to 255 characters"]),
            (r#"{"event_name":"a","event_type":" \u3000"}"#, vec!["event_type is blank, expected 1 to 255 characters"]),
            (
                r#"{"event_name":null}"#,
                vec![
                    "event_name is missing, expected 1 to 255 characters",
                    "event_type is missing, expected 1 to 255 characters",
                ],
            ),
            (
                r#"{"event_name":1}"#,
                vec![
                    "event_type is missing, expected 1 to 255 characters",
                    "event_name is a number, expected a string",
                ],
            ),
        ] {
            let rejection = check(text).expect_err("must be refused");
            assert_eq!(
                (rejection.code(), rejection.error.as_str()),
                (RejectCode::MissingField, MISSING_FIELDS),
                "{text}"
            );
            assert_eq!(rejection.flaws().map(|flaw| flaw.detail.as_str()).collect::<Vec<_>>(), flaws, "{text}");
        }
    }

    #[test]
    fn the_payload_is_judged_before_the_fields() {
        let rejection = check(r#"{"payload":[],"user_id":"x"}"#).expect_err("must be refused");
        assert_eq!(rejection.code(), RejectCode::PayloadNotObject);
        assert_eq!(rejection.others.len(), 1);
    }

    #[test]
    fn a_refused_payload_that_cannot_be_stored_is_dropped() {
        let text = r#"{"event_name":"a","event_type":"b","payload":{"a":"\u0000"}}"#;
        let submission = Submission::read(&Bytes::from_static(text.as_bytes())).expect("a readable event");
        let at = DateTime::from_timestamp(0, 0).expect("the epoch");
        let mut event = Event::new(1, 1, submission, None, at);
        event.drop_payload_that_cannot_be_kept(&LIMITS);
        assert_eq!(event.payload(), None);
    }
}
