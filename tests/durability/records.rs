//! Events and outcomes as the Persister hands them to the store.

use std::sync::Arc;
use std::time::Duration;

use gristmill::clock;
use gristmill::domain::dedupe::DedupeKey;
use gristmill::domain::event::Event;
use gristmill::domain::normalize::normalize_event_payload;
use gristmill::domain::outcome::{Failure, NormalizedEvent, Outcome, Transient, TransientCode};
use gristmill::domain::retry::RetryPolicy;
use gristmill::domain::submission::Submission;
use gristmill::store::{
    ClaimOrder, ClaimTarget, Claimed, FailedAttempt, FlushError, FlushHeader, Record, Store, Written,
};
use sea_orm::prelude::Uuid;

use super::WAIT;

pub const POLICY: RetryPolicy =
    RetryPolicy { max_retries: 3, delay: Duration::from_secs(2), delay_max: Duration::from_secs(3_600), jitter: 0.0 };

/// A new event from the body of a request.
pub fn event(id: i64, user_id: i64, body: &str) -> Event {
    let submission = Submission::read(&body.to_owned().into()).expect("a readable event");
    let key = DedupeKey::of(&submission, user_id, None);
    Event::new(id, user_id, submission, key, clock::now())
}

/// A valid event of user 1 with this name and, unless empty, this key.
pub fn plain(id: i64, name: &str, uid: &str) -> Event {
    event(id, 1, &super::body(name, uid))
}

/// The event's record after every stage succeeded.
pub fn processed(event: Event) -> Record {
    let properties = normalize_event_payload(event.payload(), clock::now());
    let normalized = NormalizedEvent { properties, normalized_at: clock::now() };
    let outcome = Outcome::of(&event, Ok(normalized), &POLICY, clock::now());
    with(event, outcome, None)
}

/// The event's record after a failure that may pass.
pub fn transient(event: Event) -> Record {
    let failure =
        Transient { code: TransientCode::LookupFailed, stage: "validator", reason: "nobody answers".to_owned() };
    let outcome = Outcome::of(&event, Err(&Failure::Transient(failure)), &POLICY, clock::now());
    let failed = FailedAttempt { stage: "validator", error_code: "lookup_failed", error: "nobody answers".to_owned() };
    with(event, outcome, Some(failed))
}

/// The event's record when it is stored now and tried later.
pub fn deferred(event: Event) -> Record {
    let outcome = Outcome::deferred(&event);
    with(event, outcome, None)
}

/// `record`, written under the lease of this claim.
pub fn under(lease_token: Uuid, record: Record) -> Record {
    Record { lease: Some(lease_token), ..record }
}

fn with(event: Event, outcome: Outcome, failed_attempt: Option<FailedAttempt>) -> Record {
    // As the Persister has them of a first attempt.
    let started_at = event.received_at;
    let finished_at = outcome.processed_at.unwrap_or_else(clock::now);
    Record {
        event: Arc::new(event),
        outcome,
        failed_attempt,
        lease: None,
        is_acknowledged: false,
        started_at,
        finished_at,
    }
}

/// The header of a flush by this boot.
pub fn header(boot_id: Uuid, seq: i64) -> FlushHeader {
    FlushHeader {
        boot_id,
        node: "mill".to_owned(),
        seq,
        gathered: Duration::ZERO,
        is_first_write: true,
        keys_live_for: Duration::from_secs(7 * 86_400),
    }
}

/// Flushes as a boot of its own.
pub async fn try_flush(store: &Store, records: Vec<Record>) -> Result<Vec<Written>, FlushError> {
    store.persist_event_to_db(Arc::new(records), header(Uuid::new_v4(), 1), WAIT).await
}

/// Flushes as a boot of its own; the database has to take it.
pub async fn flush(store: &Store, records: Vec<Record>) -> Vec<Written> {
    try_flush(store, records).await.expect("the flush is committed")
}

/// Claims for this boot.
pub async fn claim(store: &Store, boot_id: Uuid, due: ClaimTarget) -> Vec<Claimed> {
    let order = ClaimOrder { boot_id, limit: 10, bytes: 1 << 20, lease: Duration::from_secs(10) };
    store.claim(due, order, WAIT).await.expect("the claim is answered").0
}
