//! The trace of a request, kept with it until it is answered.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::submission::Submission;
use crate::domain::trace::TraceContext;
use crate::telemetry::spans::RequestSpan;

/// The trace of a request that submits events, if it is part of one.
#[derive(Clone, Default)]
pub struct RequestTrace {
    pub(super) context: Option<Arc<TraceContext>>,
    pub(super) span: Option<Rc<RequestSpan>>,
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

    /// The request is answered.
    pub fn answered(&self, status: u16, took: Duration) {
        if let Some(span) = &self.span {
            span.answered(status, took);
        }
    }
}

#[cfg(test)]
mod tests {
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
}
