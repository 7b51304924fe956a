//! The trace that a request is part of, as its headers say.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::domain::submission::Submission;
use crate::domain::trace::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of a request that submits events, if it is part of one.
#[derive(Clone, Debug, Default)]
pub struct RequestTrace {
    context: Option<Arc<TraceContext>>,
}

impl RequestTrace {
    /// The trace that the headers name.
    pub fn of(headers: &HeaderMap) -> Self {
        Self { context: context(headers).map(Arc::new) }
    }

    /// Makes the event part of the request's trace, unless it has one of its own.
    pub fn take_in(&self, submission: &mut Submission) {
        if submission.trace.is_none() {
            submission.trace.clone_from(&self.context);
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

    #[test]
    fn an_events_own_trace_goes_before_the_requests() {
        let request = TestRequest::default().insert_header(("traceparent", PARENT)).to_http_request();
        let trace = RequestTrace::of(request.headers());
        let mut submission = Submission::default();
        trace.take_in(&mut submission);
        assert_eq!(submission.trace.map(|trace| trace.text()).as_deref(), Some(PARENT));
        let own = Arc::new(TraceContext::root([1; 16], [2; 8]));
        let mut submission = Submission { trace: Some(own.clone()), ..Submission::default() };
        trace.take_in(&mut submission);
        assert_eq!(submission.trace, Some(own));
    }
}
