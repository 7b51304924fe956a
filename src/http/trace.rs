//! The trace that a request is part of, as its headers say.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::http::header::{HeaderMap, HeaderName};

use super::request::{Call, served};
use super::request_trace::RequestTrace;
use crate::domain::trace::TraceContext;
use crate::telemetry::spans::RequestSpan;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl RequestTrace {
    /// The trace that the headers name, or one of our own; with a span of the request if that is wanted. Only for
    /// callers that may submit: others could have spans made.
    pub fn of(call: &Call) -> Self {
        let caller = context(call.headers());
        let Some(span) = RequestSpan::begin(|| served(&call.request), caller.as_ref()).map(Rc::new) else {
            return Self { context: caller.map(Arc::new), span: None };
        };
        let trace = Self { context: Some(span.context()), span: Some(span) };
        // Where it is found when the request is answered.
        call.request.extensions_mut().insert(trace.clone());
        trace
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
}
