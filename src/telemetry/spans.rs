//! Spans of OpenTelemetry, exported over OTLP if the configuration says where to.
//!
//! A span is exported when it has ended, by the code that knows how it went; none is held open, so what dies loses its
//! own span and no other. Its id may be passed on before. Guarantees: exporting a span never waits; it costs nothing
//! while nothing is exported, or where an event is part of no sampled trace. Attributes are numbers, ids and words of
//! ours: never payloads, tokens, emails or other text of clients. The table of spans is in `docs/spans.md`.

mod attempt;
mod collector;
mod export;
mod request;

use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData, SpanEvents, SpanLinks,
};
use uuid::Uuid;

pub use self::attempt::{AttemptEnd, AttemptSpan, Flushed, waited};
use self::collector::Collector;
use self::export::SpanQueue;
pub use self::request::RequestSpan;
use crate::config::{Config, DatabaseKind};
use crate::domain::trace::TraceContext;

/// What there is while spans are exported.
static EXPORT: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    queue: Arc<SpanQueue>,
    sampler: Sampler,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    database: &'static str,
}

/// Begins to export, if the configuration names a collector; `boot_id` distinguishes this process from others.
pub fn start(config: &Config, boot_id: Uuid) -> Option<Exporting> {
    let tracing = &config.tracing;
    if tracing.endpoint.is_empty() {
        return None;
    }
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", tracing.service_name.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", boot_id.to_string()),
        KeyValue::new("host.name", config.node_name()),
    ]);
    let queue = Arc::new(SpanQueue::start(Collector::new(tracing, &resource.build()), tracing.queue));
    let export = Exporter {
        queue: Arc::clone(&queue),
        sampler: Sampler::TraceIdRatioBased(tracing.ratio),
        ids: RandomIdGenerator::default(),
        scope: InstrumentationScope::builder("gristmill").with_version(env!("CARGO_PKG_VERSION")).build(),
        database: match config.database_kind() {
            DatabaseKind::Sqlite => "sqlite",
            DatabaseKind::Postgres => "postgresql",
        },
    };
    // A second line in one process would send its spans to the first one's queue.
    let _ = EXPORT.set(export);
    Some(Exporting(queue))
}

/// The export that is under way.
pub struct Exporting(Arc<SpanQueue>);

impl Exporting {
    /// Exports what waits and ends, within `limit`; blocks.
    pub fn stop(self, limit: Duration) {
        self.0.stop(limit);
    }
}

/// A span that has ended.
struct EndedSpan<'a> {
    name: &'static str,
    kind: SpanKind,
    /// What it is part of: trace, flags and state; the span in it is the parent unless another one is given.
    trace: &'a TraceContext,
    parent: Parent,
    id: [u8; 8],
    times: (DateTime<Utc>, DateTime<Utc>),
    attributes: Vec<KeyValue>,
    /// A stable code.
    error: Option<Value>,
    links: Vec<SpanContext>,
}

/// What a span's parent is.
enum Parent {
    /// Nothing: it is the root of its trace.
    None,
    /// The span of the trace context, which another process may have made.
    Remote,
    /// A span of this process.
    Local([u8; 8]),
}

impl Exporter {
    /// A trace of our own, if this one is chosen: its id, and the id of its first span.
    fn new_root(&self) -> Option<TraceContext> {
        let id = self.ids.new_trace_id();
        let chosen = self.sampler.should_sample(None, id, "", &SpanKind::Server, &[], &[]);
        let is_chosen = chosen.decision == SamplingDecision::RecordAndSample;
        is_chosen.then(|| TraceContext::root(id.to_bytes(), self.new_span()))
    }

    fn new_span(&self) -> [u8; 8] {
        self.ids.new_span_id().to_bytes()
    }

    fn send(&self, span: EndedSpan<'_>) {
        let (began, ended) = span.times;
        let mut attributes = span.attributes;
        let status = if span.error.is_some() { Status::error("") } else { Status::Unset };
        attributes.extend(span.error.map(|code| KeyValue::new("error.type", code)));
        let mut links = SpanLinks::default();
        links.links.extend(span.links.into_iter().map(Link::with_context));
        let (parent_span_id, parent_span_is_remote) = match span.parent {
            Parent::None => (SpanId::INVALID, false),
            Parent::Remote => (SpanId::from_bytes(span.trace.span_id), true),
            Parent::Local(id) => (SpanId::from_bytes(id), false),
        };
        self.queue.put(SpanData {
            span_context: context_of(span.trace, span.id, false),
            parent_span_id,
            parent_span_is_remote,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: SystemTime::from(began),
            // The wall clock may have been set back meanwhile.
            end_time: SystemTime::from(ended.max(began)),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

fn context_of(trace: &TraceContext, span_id: [u8; 8], is_remote: bool) -> SpanContext {
    let state = TraceState::from_str(&trace.state).unwrap_or_default();
    let trace_id = TraceId::from_bytes(trace.trace_id);
    let span_id = SpanId::from_bytes(span_id);
    SpanContext::new(trace_id, span_id, TraceFlags::new(trace.flags), is_remote, state)
}
