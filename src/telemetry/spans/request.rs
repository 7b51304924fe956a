//! The span of a request that submits events.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};

use super::{EXPORT, EndedSpan, Parent, context_of};
use crate::clock;
use crate::domain::trace::TraceContext;
use crate::telemetry::facts::Route;

/// Most events of their own traces that a request names.
const LINKS_MAX: usize = 128;

/// A request whose span is exported when it is answered, or when its client has gone before.
pub struct RequestSpan {
    route: &'static Route,
    context: Arc<TraceContext>,
    /// The span that has caused it, in another process.
    caller: Option<TraceContext>,
    came_at: DateTime<Utc>,
    links: RefCell<Vec<SpanContext>>,
    is_exported: Cell<bool>,
}

impl RequestSpan {
    /// A request came: in the trace of its caller if that one is sampled, without a caller in one of our own if it is
    /// chosen; else nobody wants its span.
    pub fn begin(route: impl FnOnce() -> &'static Route, caller: Option<&TraceContext>) -> Option<Self> {
        let export = EXPORT.get()?;
        let context = match caller {
            Some(caller) => caller.is_sampled().then(|| caller.below(export.new_span())),
            None => export.new_root(),
        }?;
        Some(Self {
            route: route(),
            context: Arc::new(context),
            caller: caller.cloned(),
            came_at: clock::now(),
            links: RefCell::default(),
            is_exported: Cell::new(false),
        })
    }

    /// What its events are part of, unless they have traces of their own.
    pub fn context(&self) -> Arc<TraceContext> {
        self.context.clone()
    }

    /// Names an event that has a trace of its own.
    pub fn link(&self, event: &TraceContext) {
        let mut links = self.links.borrow_mut();
        if links.len() < LINKS_MAX && event.trace_id != self.context.trace_id {
            links.push(context_of(event, event.span_id, true));
        }
    }

    /// It is answered, after so long.
    pub fn answered(&self, status: u16, took: Duration) {
        let ended_at = clock::now();
        let began_at = ended_at - chrono::Duration::from_std(took).unwrap_or_default();
        let error = (status >= 500).then(|| status.to_string());
        self.export((began_at, ended_at), Some(status), error.map(Into::into));
    }

    fn export(&self, times: (DateTime<Utc>, DateTime<Utc>), status: Option<u16>, error: Option<opentelemetry::Value>) {
        let Some(export) = EXPORT.get().filter(|_| !self.is_exported.replace(true)) else { return };
        let context = &self.context;
        // Only the parent differs between the caller's context and that of the request.
        let (trace, parent) = match &self.caller {
            Some(caller) => (caller, Parent::Remote),
            None => (&**context, Parent::None),
        };
        export.send(EndedSpan {
            name: self.name(),
            kind: SpanKind::Server,
            trace,
            parent,
            id: context.span_id,
            times,
            attributes: self.attributes(status),
            error,
            links: self.links.take(),
        });
    }

    fn name(&self) -> &'static str {
        match self.route.template() {
            "/api/v1/events" => "POST /api/v1/events",
            "/api/v1/events/batch" => "POST /api/v1/events/batch",
            _ => "POST",
        }
    }

    fn attributes(&self, status: Option<u16>) -> Vec<KeyValue> {
        // These routes have no parameters: the template is the path.
        let template = self.route.template();
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", template),
            KeyValue::new("url.path", template),
            KeyValue::new("url.scheme", "http"),
        ];
        attributes.extend(status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
        attributes
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        self.export((self.came_at, clock::now()), None, Some("client_disconnected".into()));
    }
}
