//! The trace that a request is part of, as its headers say, kept with it until it is answered.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpMessage, HttpRequest};

use super::request::route_of;
use crate::domain::submission::Submission;
use crate::domain::trace::TraceContext;
use crate::telemetry::spans::RequestSpan;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of a request that submits events, if it is part of one.
#[derive(Clone, Default)]
pub struct RequestTrace {
    context: Option<Arc<TraceContext>>,
    span: Option<Rc<RequestSpan>>,
}

impl RequestTrace {
    /// Makes the event part of the request's trace, unless it has one of its own.
    pub fn take_in(&self, submission: &mut Submission) {
        match (&submission.trace, &self.span) {
            (None, _) => submission.trace.clone_from(&self.context),
            (Some(own), Some(span)) => span.link(own),
            (Some(_), None) => {}
        }
    }

    /// The trace that the headers name, or one of our own; with a span of the request if that is wanted. Only for
    /// callers that may submit: others could have spans made.
    pub fn of(request: &HttpRequest) -> Self {
        let caller = context(request.headers());
        let Some(span) = RequestSpan::begin(|| route_of(request), caller.as_ref()).map(Rc::new) else {
            return Self { context: caller.map(Arc::new), span: None };
        };
        let trace = Self { context: Some(span.context()), span: Some(span) };
        // Where it is found when the request is answered.
        request.extensions_mut().insert(trace.clone());
        trace
    }

    /// The request is answered.
    pub fn answered(&self, status: u16, took: Duration) {
        if let Some(span) = &self.span {
            span.answered(status, took);
        }
    }
}

/// What the caller says; what is wrong is ignored, as the standard has it.
fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(&TRACEPARENT);
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let states: Result<Vec<&str>, _> = headers.get_all(&TRACESTATE).map(|state| state.to_str()).collect();
    TraceContext::read(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn an_events_own_trace_goes_before_the_requests() {
        let trace = RequestTrace { context: TraceContext::of_text(PARENT).map(Arc::new), span: None };
        let mut submission = Submission::default();
        trace.take_in(&mut submission);
        assert_eq!(submission.trace.map(|trace| trace.text()).as_deref(), Some(PARENT));
        let own = Arc::new(TraceContext::root([1; 16], [2; 8]));
        let mut submission = Submission { trace: Some(own.clone()), ..Submission::default() };
        trace.take_in(&mut submission);
        assert_eq!(submission.trace, Some(own));
    }

    fn text(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
        context(request.to_http_request().headers()).map(|context| context.text())
    }

    #[test]
    fn one_parent_and_all_states_make_the_context() {
        assert_eq!(text(&[("traceparent", PARENT)]).as_deref(), Some(PARENT));
        let states = text(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        assert_eq!(states, Some(format!("{PARENT} a=1,b=2")));
        assert_eq!(text(&[("traceparent", PARENT), ("tracestate", "ä=1")]).as_deref(), Some(PARENT));
        assert_eq!(text(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
        assert_eq!(text(&[("tracestate", "a=1")]), None);
    }
}
