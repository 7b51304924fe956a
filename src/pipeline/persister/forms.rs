//! What is left of a record that the database refuses, and records that hold nothing from a client.

use std::sync::Arc;

use crate::clock;
use crate::domain::dedupe::DedupeKey;
use crate::domain::event::Event;
use crate::domain::json::JsonText;
use crate::domain::normalize::normalize_event_payload;
use crate::domain::outcome::{Failure, NormalizedEvent, Outcome, Status};
use crate::domain::retry::RetryPolicy;
use crate::domain::submission::Submission;
use crate::store::Record;

/// What the event's row and its client get; the database's own words may hold data and go to the log only.
const REFUSED: &str = "the database refuses the event's data";

/// Name and type of an event that is tried and rolled back.
const PROBE: &str = "probe";

/// The user of such an event.
const NOBODY: i64 = 0;

/// How much of a record was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stripped {
    /// Its payload: the event ends as refused.
    Payload,
    /// Everything that its client sent.
    All,
}

/// Leaves out what the database may refuse, the payload first; `None` if nothing more can be left out. An invalid event
/// stays invalid, another one ends as refused.
pub(super) fn strip(record: &mut Record, policy: &RetryPolicy) -> Option<Stripped> {
    let is_invalid = record.outcome.status == Status::ValidationError;
    let refused = Failure::Refused(REFUSED.to_owned());
    let is_stripped = is_invalid || record.outcome.error_code == Some(refused.code());
    let submission = &mut Arc::make_mut(&mut record.event).submission;
    let what = if submission.payload.take().is_some() || !is_stripped {
        Stripped::Payload
    } else if record.lease.is_none() && *submission != Submission::default() {
        *submission = Submission::default();
        Stripped::All
    } else {
        return None;
    };
    if !is_invalid {
        record.outcome = Outcome::of(&record.event, Err(&refused), policy, clock::now());
    }
    record.failed_attempt = None;
    Some(what)
}

/// The row of an event that came without anything and was refused.
pub(super) fn bare(record: &Record, policy: &RetryPolicy) -> Record {
    let failure = Failure::Refused(REFUSED.to_owned());
    made_of(record, Submission::default(), policy, Err(&failure))
}

/// The row of an event as most are.
pub(super) fn ordinary(record: &Record, policy: &RetryPolicy) -> Record {
    let payload = JsonText::parse("{}").expect("an empty object is JSON");
    let now = clock::now();
    let normalized = NormalizedEvent { properties: normalize_event_payload(Some(&payload), now), normalized_at: now };
    let name = || Some(PROBE.to_owned());
    let submission =
        Submission { event_name: name(), event_type: name(), payload: Some(payload), ..Submission::default() };
    made_of(record, submission, policy, Ok(normalized))
}

/// A row that no client sent, with a key.
pub(super) fn probe(id: i64, policy: &RetryPolicy) -> Record {
    let submission = Submission { event_uid: Some(PROBE.to_owned()), ..Submission::default() };
    let key = DedupeKey::of(&submission, NOBODY, None);
    let now = clock::now();
    let event = Arc::new(Event::new(id, NOBODY, submission, key, now));
    let record = Record {
        outcome: Outcome::deferred(&event),
        event,
        failed_attempt: None,
        lease: None,
        is_acknowledged: false,
        started_at: now,
        finished_at: now,
    };
    ordinary(&record, policy)
}

/// A record with the id, the user and the lease of another one; no other event has its key, if it has one.
fn made_of(
    record: &Record,
    submission: Submission,
    policy: &RetryPolicy,
    result: Result<NormalizedEvent, &Failure>,
) -> Record {
    let mut made = Record { failed_attempt: None, ..record.clone() };
    let event = Arc::make_mut(&mut made.event);
    event.submission = submission;
    if let Some(key) = &mut event.key {
        key.text = event.task_id.to_string();
    }
    made.outcome = Outcome::of(&made.event, result, policy, clock::now());
    made
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { max_retries: 3, delay: Duration::from_secs(2), delay_max: Duration::from_secs(60), jitter: 0.0 };

    fn record(text: &str) -> Record {
        let submission = Submission::read(&text.to_owned().into()).expect("a readable event");
        let event = Arc::new(Event::new(1, 2, submission, None, clock::now()));
        let outcome = Outcome::deferred(&event);
        let started_at = event.received_at;
        let finished_at = event.received_at;
        Record { event, outcome, failed_attempt: None, lease: None, is_acknowledged: false, started_at, finished_at }
    }

    #[test]
    fn a_refused_event_loses_its_payload_first_and_then_the_rest() {
        let mut record = record(r#"{"event_name":"a","event_type":"b","payload":{}}"#);
        assert_eq!(strip(&mut record, &POLICY), Some(Stripped::Payload));
        assert_eq!((record.outcome.status, record.outcome.error_code), (Status::Failed, Some("refused")));
        assert!(record.event.payload().is_none() && record.event.submission.event_name.is_some());
        assert_eq!(strip(&mut record, &POLICY), Some(Stripped::All));
        assert_eq!(record.event.submission, Submission::default());
        assert_eq!(strip(&mut record, &POLICY), None, "nothing is left");
    }

    #[test]
    fn an_event_without_a_payload_is_first_marked_as_refused() {
        let mut record = record(r#"{"event_name":"a","event_type":"b"}"#);
        assert_eq!(strip(&mut record, &POLICY), Some(Stripped::Payload));
        assert_eq!(record.outcome.status, Status::Failed);
        assert_eq!(strip(&mut record, &POLICY), Some(Stripped::All));
    }

    #[test]
    fn an_invalid_event_stays_invalid() {
        let mut record = record(r#"{"event_name":"a","payload":{}}"#);
        record.outcome.status = Status::ValidationError;
        let stripped: Vec<_> = std::iter::from_fn(|| strip(&mut record, &POLICY)).collect();
        assert_eq!(stripped, [Stripped::Payload, Stripped::All]);
        assert_eq!(record.outcome.status, Status::ValidationError);
    }

    #[test]
    fn a_probe_has_nothing_of_the_client_and_a_key_of_its_own() {
        let mut record = record(r#"{"event_name":"a","event_type":"b","event_uid":"k","payload":{"page":"/"}}"#);
        let key = DedupeKey::of(&record.event.submission, 2, None);
        Arc::make_mut(&mut record.event).key = key;
        for probe in [bare(&record, &POLICY), ordinary(&record, &POLICY)] {
            let key = probe.event.key.as_ref().expect("it writes a key as well");
            assert_eq!((probe.event.id, probe.event.task_id), (record.event.id, record.event.task_id));
            assert_ne!(key.text, "k");
            assert_ne!(probe.event.submission.event_name.as_deref(), Some("a"));
        }
    }
}
