//! The span of an attempt at an event, and those of its steps below it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use super::{EXPORT, EndedSpan, Exporter, Parent};
use crate::clock;
use crate::domain::actor_kind::ActorKind;
use crate::domain::event::Event;
use crate::domain::outcome::{Failure, Outcome};

/// An attempt whose spans are exported: its own at its end, those of its steps before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptSpan {
    id: [u8; 8],
}

/// A flush that an event was part of.
#[derive(Clone, Copy, Debug)]
pub struct Flushed {
    /// When it began.
    pub began: DateTime<Utc>,
    /// Its events.
    pub events: usize,
    /// Its units.
    pub units: usize,
    /// The kind of failure, if nothing was written.
    pub error: Option<&'static str>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub struct AttemptEnd {
    /// The event's state, or a word for what has none.
    pub outcome: &'static str,
    /// The stable code of what went wrong.
    pub code: Option<&'static str>,
    /// How long until the next attempt.
    pub retry_in: Option<Duration>,
    /// The event that it repeats.
    pub duplicate_of: Option<i64>,
}

impl AttemptEnd {
    /// An end without a row of its own.
    pub fn without_row(outcome: &'static str, code: Option<&'static str>) -> Self {
        Self { outcome, code, retry_in: None, duplicate_of: None }
    }

    /// The event was given up without an outcome: it has no row from this attempt, or nobody knows.
    pub fn not_settled(maybe_stored: bool) -> Self {
        let (outcome, code) = if maybe_stored { ("unknown", "outcome_unknown") } else { ("not_stored", "not_stored") };
        Self::without_row(outcome, Some(code))
    }
}

impl From<&Outcome> for AttemptEnd {
    fn from(outcome: &Outcome) -> Self {
        Self {
            outcome: outcome.status.as_str(),
            code: outcome.error_code,
            retry_in: outcome.retry_in,
            duplicate_of: outcome.duplicate_of,
        }
    }
}

impl AttemptSpan {
    /// An attempt begins; `None` if nobody wants its spans.
    pub fn begin(event: &Event) -> Option<Self> {
        let is_sampled = event.submission.trace.as_ref().is_some_and(|trace| trace.is_sampled());
        if !is_sampled {
            return None;
        }
        EXPORT.get().map(|export| Self { id: export.new_span() })
    }

    /// A stage was at work on the event.
    pub fn worked(self, event: &Event, stage: ActorKind, began: DateTime<Utc>, failure: Option<&Failure>) {
        let Some(name) = stage.span() else { return };
        self.step(event, name, SpanKind::Internal, began, failure.map(Failure::code), |_| Vec::new());
    }

    /// A flush that should have written its outcome came to its end.
    pub fn flushed(self, event: &Event, flush: Flushed) {
        self.step(event, "persist", SpanKind::Client, flush.began, flush.error, |export| {
            let mut attributes = vec![
                KeyValue::new("db.system.name", export.database),
                KeyValue::new("db.collection.name", "events"),
                KeyValue::new("gristmill.flush.events", whole(flush.events)),
                KeyValue::new("gristmill.flush.units", whole(flush.units)),
            ];
            if flush.events > 1 {
                attributes.push(KeyValue::new("db.operation.batch.size", whole(flush.events)));
            }
            attributes
        });
    }

    /// The event was put into the spool, or should have been.
    pub fn spooled(self, event: &Event, began: DateTime<Utc>, error: Option<&'static str>) {
        self.step(event, "spool", SpanKind::Internal, began, error, |_| Vec::new());
    }

    /// The attempt, which began at `began`, came to its end.
    pub fn ended(self, event: &Event, began: DateTime<Utc>, end: AttemptEnd) {
        let (Some(export), Some(trace)) = (EXPORT.get(), &event.submission.trace) else { return };
        let mut attributes = vec![
            KeyValue::new("messaging.system", "gristmill"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", "events"),
            KeyValue::new("messaging.message.id", event.task_id.to_string()),
            KeyValue::new("gristmill.event.id", event.id),
            KeyValue::new("gristmill.attempt", i64::from(event.attempts) + 1),
            KeyValue::new("gristmill.outcome", end.outcome),
        ];
        attributes.extend(end.retry_in.map(|delay| KeyValue::new("gristmill.retry.delay", delay.as_secs_f64())));
        attributes.extend(end.duplicate_of.map(|first| KeyValue::new("gristmill.duplicate_of", first)));
        export.send(EndedSpan {
            name: "process events",
            kind: SpanKind::Consumer,
            trace,
            parent: Parent::Remote,
            id: self.id,
            times: (began, clock::now()),
            attributes,
            error: end.code.map(Into::into),
            links: Vec::new(),
        });
    }

    fn step(
        self,
        event: &Event,
        name: &'static str,
        kind: SpanKind,
        began: DateTime<Utc>,
        error: Option<&'static str>,
        attributes: impl FnOnce(&Exporter) -> Vec<KeyValue>,
    ) {
        let (Some(export), Some(trace)) = (EXPORT.get(), &event.submission.trace) else { return };
        export.send(EndedSpan {
            name,
            kind,
            trace,
            parent: Parent::Local(self.id),
            id: export.new_span(),
            times: (began, clock::now()),
            attributes: attributes(export),
            error: error.map(Into::into),
            links: Vec::new(),
        });
    }
}

/// An event was claimed that has waited since its last attempt ended.
pub fn waited(event: &Event, since: Option<DateTime<Utc>>) {
    let (Some(export), Some(trace), Some(since)) = (EXPORT.get(), &event.submission.trace, since) else { return };
    if !trace.is_sampled() {
        return;
    }
    export.send(EndedSpan {
        name: "wait",
        kind: SpanKind::Internal,
        trace,
        parent: Parent::Remote,
        id: export.new_span(),
        times: (since, clock::now()),
        attributes: vec![
            KeyValue::new("gristmill.event.id", event.id),
            KeyValue::new("gristmill.attempt", i64::from(event.attempts) + 1),
        ],
        error: None,
        links: Vec::new(),
    });
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
