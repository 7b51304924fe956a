//! The facts of HTTP requests.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::{debug, error};

use crate::telemetry::metrics::catalogue as metrics;
pub use crate::telemetry::metrics::{Route, route};

/// A request that is not answered yet: dropped before that, its client has gone.
pub struct InFlightRequest {
    began: Instant,
    is_answered: bool,
}

impl InFlightRequest {
    /// A request came.
    pub fn start() -> Self {
        Self { began: Instant::now(), is_answered: false }
    }

    /// It is answered; says how long that took.
    pub fn answered(mut self, route: &Route, (method, path): (&str, &str), status: u16, request_id: &str) -> Duration {
        self.is_answered = true;
        let took = self.began.elapsed();
        route.answered(method, status, took);
        let took_ms = took.as_secs_f64() * 1_000.0;
        debug!(method, path, status, took_ms, request_id, "answered");
        took
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        if !self.is_answered {
            client_left();
        }
    }
}

/// A client went away before it had its answer.
pub fn client_left() {
    metrics::DISCONNECTS.inc();
}

/// A request's handler panicked; the client gets a 500.
pub fn handler_panicked(request_id: &str) {
    error!(request_id, "a request's handler panicked");
}

/// A token sent too many requests, or an address sent too many unknown tokens.
pub fn rate_limited() {
    metrics::RATE_LIMITED.inc();
}

/// The codes of all problems, before the first one is answered: they are labels.
pub fn know_problems(codes: impl IntoIterator<Item = &'static str>) {
    // The second time they are the same.
    let _ = metrics::PROBLEM_CODES.set(codes.into_iter().collect());
}

/// A client was answered with a problem.
pub fn problem_answered(code: &'static str) {
    metrics::PROBLEMS.of(&[code]).inc();
}

/// A request could not reach the database.
pub fn database_missed(error: &dyn Display) {
    debug!(%error, "a request could not reach the database");
}

/// The database refused a statement that the server made.
pub fn statement_refused(error: &dyn Display) {
    error!(%error, "the database refused a statement of ours");
}
