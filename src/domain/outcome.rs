//! What became of an attempt, and the state that an event's row takes from it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::event::Event;
use super::rejection::Rejection;
use super::retry::RetryPolicy;

/// The code of an event that lost its key to another one after it was acknowledged.
const EVENT_UID_CONFLICT: &str = "event_uid_conflict";

/// The code of an event that the database refuses.
const REFUSED: &str = "refused";

/// The code of a stored event that cannot be read.
pub const UNREADABLE: &str = "event_unreadable";

/// Most characters of `events.processing_error`.
pub const PROCESSING_ERROR_CHARS_MAX: usize = 255;

/// The state of an event's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waiting for its first attempt or for a retry.
    Pending,
    /// Done: valid, normalised and stored.
    Processed,
    /// The same event as another one, by its key.
    Duplicate,
    /// Refused for what it is; never retried.
    ValidationError,
    /// Given up after its last retry, or refused by the database.
    Failed,
    /// Called off by an operator.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Processed, Self::Duplicate, Self::ValidationError, Self::Failed, Self::Cancelled];

    /// The status as it appears in answers and in `events.status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processed => "processed",
            Self::Duplicate => "duplicate",
            Self::ValidationError => "validation_error",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status called `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the event is at rest: only an operator's replay changes it.
    pub fn is_final(self) -> bool {
        self != Self::Pending
    }
}

/// Why an attempt did not end in a processed event.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The event is invalid: final.
    Reject(Rejection),
    /// Something around the event failed: it is retried.
    Transient(Transient),
    /// The database refuses this event's data: final.
    Refused(String),
    /// What is stored of the event cannot be read: final, until an operator mends it.
    Unreadable(String),
    /// Every attempt was used up, the last one by the death of its node: final.
    Spent,
}

impl Failure {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reject(rejection) => rejection.code().as_str(),
            Self::Transient(failure) => failure.code.as_str(),
            Self::Refused(_) => REFUSED,
            Self::Unreadable(_) => UNREADABLE,
            Self::Spent => TransientCode::WorkerLost.as_str(),
        }
    }
}

/// A failure that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transient {
    /// The stable code of the cause.
    pub code: TransientCode,
    /// The stage in which it happened.
    pub stage: &'static str,
    /// What happened, for people.
    pub reason: String,
}

/// The causes of a transient failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransientCode {
    /// The work on the event panicked.
    StagePanic,
    /// The actor or the node that worked on the event died.
    WorkerLost,
    /// The attempt took longer than the soft limit.
    SoftTimeout,
    /// The attempt took longer than the hard limit: its actor was replaced while at work on it.
    HardTimeout,
    /// The event's user could not be looked up.
    LookupFailed,
    /// A fault rule caused it.
    Injected,
}

impl TransientCode {
    /// Every code.
    pub const ALL: [Self; 6] =
        [Self::StagePanic, Self::WorkerLost, Self::SoftTimeout, Self::HardTimeout, Self::LookupFailed, Self::Injected];

    /// The code as it appears in `attempts.error_code` and `events.error_code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StagePanic => "stage_panic",
            Self::WorkerLost => "worker_lost",
            Self::SoftTimeout => "soft_timeout",
            Self::HardTimeout => "hard_timeout",
            Self::LookupFailed => "lookup_failed",
            Self::Injected => "injected",
        }
    }

    /// Whether the event itself may have caused the failure: only such failures count towards `poison`.
    pub fn is_crash(self) -> bool {
        matches!(self, Self::StagePanic | Self::WorkerLost)
    }
}

/// What a successful attempt made of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizedEvent {
    /// The properties as JSON text.
    pub properties: String,
    /// When they were made.
    pub normalized_at: DateTime<Utc>,
}

/// The state that an event's row takes after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The new status.
    pub status: Status,
    /// The normalised properties of a processed event, as JSON text.
    pub properties: Option<String>,
    /// When the event was processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// Why it was not, at most [`PROCESSING_ERROR_CHARS_MAX`] characters.
    pub processing_error: Option<String>,
    /// The stable code of that reason.
    pub error_code: Option<&'static str>,
    /// Attempts charged so far, this one included.
    pub attempts: u32,
    /// How many of them were panics or deaths.
    pub crashes: u32,
    /// How long until the next attempt, if there is one.
    pub retry_in: Option<Duration>,
    /// The event that it repeats.
    pub duplicate_of: Option<i64>,
}

impl Outcome {
    /// The transition that `result` brings to `event` at `now`.
    pub fn of(
        event: &Event,
        result: Result<NormalizedEvent, &Failure>,
        policy: &RetryPolicy,
        now: DateTime<Utc>,
    ) -> Self {
        let attempts = event.attempts + 1;
        let base = Self { attempts, ..Self::blank(event, Status::Pending) };
        match result {
            Ok(normalized) => Self {
                status: Status::Processed,
                properties: Some(normalized.properties),
                processed_at: Some(now.max(event.received_at)),
                ..base
            },
            Err(Failure::Reject(rejection)) => {
                base.failed(Status::ValidationError, &rejection.error, rejection.code().as_str())
            }
            Err(Failure::Refused(reason)) => {
                base.failed(Status::Failed, &format!("Processing error: {reason}"), REFUSED)
            }
            Err(Failure::Unreadable(reason)) => {
                let error = format!("Processing error: the stored event cannot be read: {reason}");
                base.failed(Status::Failed, &error, UNREADABLE)
            }
            Err(Failure::Spent) => Self::spent(event, policy),
            Err(Failure::Transient(failure)) => base.after_transient(failure, policy),
        }
    }

    /// The state of an event that is stored now and tried later, charged with nothing.
    pub fn deferred(event: &Event) -> Self {
        Self { retry_in: Some(Duration::ZERO), ..Self::blank(event, Status::Pending) }
    }

    /// The state of an acknowledged event when its key turned out to be held by the same event under the id `first`.
    pub fn duplicate(event: &Event, first: i64) -> Self {
        let attempts = event.attempts + 1;
        Self { attempts, duplicate_of: Some(first), ..Self::blank(event, Status::Duplicate) }
    }

    /// The state of an acknowledged event when its key turned out to be held by the event `first` with other content.
    pub fn key_conflict(event: &Event, first: i64) -> Self {
        let error = format!("Processing error: the key is held by event {first} with other content");
        let base = Self { attempts: event.attempts + 1, ..Self::blank(event, Status::Failed) };
        base.failed(Status::Failed, &error, EVENT_UID_CONFLICT)
    }

    /// The state of an event after its last attempt was charged by the node that took it over.
    fn spent(event: &Event, policy: &RetryPolicy) -> Self {
        let code = exhausted(event.crashes, policy);
        Self::blank(event, Status::Failed).failed(
            Status::Failed,
            "Processing error: the node died at work on the event",
            code,
        )
    }

    fn blank(event: &Event, status: Status) -> Self {
        Self {
            status,
            properties: None,
            processed_at: None,
            processing_error: None,
            error_code: None,
            attempts: event.attempts,
            crashes: event.crashes,
            retry_in: None,
            duplicate_of: None,
        }
    }

    fn failed(self, status: Status, error: &str, code: &'static str) -> Self {
        Self { status, processing_error: Some(cut(error)), error_code: Some(code), ..self }
    }

    fn after_transient(self, failure: &Transient, policy: &RetryPolicy) -> Self {
        let crashes = self.crashes + u32::from(failure.code.is_crash());
        let error = format!("Processing error: {}", failure.reason);
        let attempts = self.attempts;
        let base = Self { crashes, ..self };
        match policy.delay_after(attempts) {
            Some(delay) => {
                Self { retry_in: Some(delay), ..base.failed(Status::Pending, &error, failure.code.as_str()) }
            }
            None => base.failed(Status::Failed, &error, exhausted(crashes, policy)),
        }
    }
}

/// The code of an event without attempts left. Only panics and deaths make it poison, one for each retry: the
/// attempt that gave it its row may have failed in another way.
fn exhausted(crashes: u32, policy: &RetryPolicy) -> &'static str {
    if crashes >= policy.max_retries.max(1) { "poison" } else { "retries_exhausted" }
}

/// The first [`PROCESSING_ERROR_CHARS_MAX`] characters of `text`.
pub fn cut(text: &str) -> String {
    text.chars().take(PROCESSING_ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rejection::{Flaw, RejectCode};
    use super::super::submission::Submission;
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        delay: Duration::from_secs(2),
        delay_max: Duration::from_secs(3_600),
        jitter: 0.0,
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a valid time")
    }

    fn event(attempts: u32, crashes: u32) -> Event {
        Event { attempts, crashes, ..Event::new(1, 1, Submission::default(), None, at(100)) }
    }

    fn panicked() -> Failure {
        let reason = "validator panicked".to_owned();
        Failure::Transient(Transient { code: TransientCode::StagePanic, stage: "validator", reason })
    }

    #[test]
    fn success_is_processed_with_its_properties_and_never_before_it_was_received() {
        let normalized = || NormalizedEvent { properties: "{}".to_owned(), normalized_at: at(101) };
        let outcome = Outcome::of(&event(0, 0), Ok(normalized()), &POLICY, at(102));
        assert_eq!((outcome.status, outcome.processed_at, outcome.attempts), (Status::Processed, Some(at(102)), 1));
        assert_eq!(outcome.properties.as_deref(), Some("{}"));
        assert_eq!((outcome.processing_error, outcome.error_code), (None, None));
        let outcome = Outcome::of(&event(0, 0), Ok(normalized()), &POLICY, at(50));
        assert_eq!(outcome.processed_at, Some(at(100)), "the clock went back");
    }

    #[test]
    fn a_rejection_is_final_at_once() {
        let failure = Failure::Reject(Rejection::of(Flaw::new(RejectCode::InvalidField, "/user_id", "bad")));
        let outcome = Outcome::of(&event(0, 0), Err(&failure), &POLICY, at(102));
        assert_eq!((outcome.status, outcome.retry_in), (Status::ValidationError, None));
        assert_eq!(outcome.error_code, Some("invalid_field"));
    }

    #[test]
    fn a_transient_failure_is_retried_three_times_and_then_given_up() {
        let failure = Failure::Transient(Transient {
            code: TransientCode::LookupFailed,
            stage: "validator",
            reason: "no answer".to_owned(),
        });
        let outcomes: Vec<_> = (0..4)
            .map(|attempts| Outcome::of(&event(attempts, 0), Err(&failure), &POLICY, at(102)))
            .map(|outcome| (outcome.status, outcome.retry_in.map(|delay| delay.as_secs()), outcome.error_code))
            .collect();
        assert_eq!(
            outcomes,
            [
                (Status::Pending, Some(2), Some("lookup_failed")),
                (Status::Pending, Some(4), Some("lookup_failed")),
                (Status::Pending, Some(8), Some("lookup_failed")),
                (Status::Failed, None, Some("retries_exhausted")),
            ]
        );
    }

    #[test]
    fn an_event_that_crashed_every_attempt_is_poison() {
        let outcome = Outcome::of(&event(3, 3), Err(&panicked()), &POLICY, at(102));
        assert_eq!((outcome.status, outcome.error_code, outcome.crashes), (Status::Failed, Some("poison"), 4));
        let outcome = Outcome::of(&event(3, 1), Err(&panicked()), &POLICY, at(102));
        assert_eq!(outcome.error_code, Some("retries_exhausted"));
        let outcome = Outcome::of(&event(4, 4), Err(&Failure::Spent), &POLICY, at(102));
        assert_eq!((outcome.attempts, outcome.error_code), (4, Some("poison")), "charged by who took it over");
        let outcome = Outcome::of(&event(4, 1), Err(&Failure::Spent), &POLICY, at(102));
        assert_eq!(outcome.error_code, Some("retries_exhausted"));
    }

    #[test]
    fn an_acknowledged_event_that_lost_its_key_ends_as_duplicate_or_failed() {
        let duplicate = Outcome::duplicate(&event(0, 0), 7);
        assert_eq!(
            (duplicate.status, duplicate.duplicate_of, duplicate.error_code),
            (Status::Duplicate, Some(7), None)
        );
        let conflict = Outcome::key_conflict(&event(0, 0), 7);
        assert_eq!((conflict.status, conflict.error_code), (Status::Failed, Some("event_uid_conflict")));
        assert!(conflict.processing_error.is_some_and(|error| error.contains("event 7")));
    }

    #[test]
    fn an_error_text_is_cut_on_a_character_boundary() {
        let failure = Failure::Refused("🌾".repeat(300));
        let outcome = Outcome::of(&event(0, 0), Err(&failure), &POLICY, at(102));
        let error = outcome.processing_error.expect("an error");
        assert_eq!(error.chars().count(), PROCESSING_ERROR_CHARS_MAX);
        assert!(error.starts_with("Processing error: 🌾"));
    }

    #[test]
    fn every_status_is_read_back_from_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
    }
}
