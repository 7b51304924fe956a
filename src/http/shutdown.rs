//! The end of the API's server: what is open and under way when the service receives the signal to stop.
//!
//! A client that reuses its connection may send a request at the very moment when the server closes it, and cannot know
//! whether it was taken. So every answer says `Connection: close` for a while before any connection is closed; requests
//! are still taken meanwhile, on new connections as well. A request behind such an answer is not taken (RFC 9112,
//! section 9.6).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::http::ConnectionType;
use actix_web::{HttpRequest, HttpResponse};

use super::error::ApiError;
use super::problems::Problem;
use crate::pipeline::Stopping;

/// How long kept connections stay open for a last request, once nothing that came before the end is under way.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// How often it is looked whether that is over.
const LOOK: Duration = Duration::from_millis(10);

/// What is waited for before the API's connections are closed.
pub(super) struct Shutdown {
    stopping: Arc<Stopping>,
    connections: AtomicUsize,
    /// Requests that came before the end.
    in_flight: AtomicUsize,
}

/// A connection that is open as long as this lives.
pub(super) struct OpenConnection {
    shutdown: Arc<Shutdown>,
    /// Whether an answer on it said that it is over.
    is_over: Cell<bool>,
}

/// A request that came before the end and is not answered yet.
pub(super) struct InFlightGuard(Arc<Shutdown>);

impl Shutdown {
    /// Answers end their connections as soon as `stopping` says so.
    pub fn new(stopping: Arc<Stopping>) -> Self {
        Self { stopping, connections: AtomicUsize::new(0), in_flight: AtomicUsize::new(0) }
    }

    /// A connection is there.
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection { shutdown: self.clone(), is_over: Cell::new(false) }
    }

    /// A request is there.
    pub fn enter(self: &Arc<Self>) -> Option<InFlightGuard> {
        if self.stopping.has_begun() {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(InFlightGuard(Arc::clone(self)))
    }

    /// Signals the client that its connection ends with this answer, if the end has begun.
    pub fn mark<B: MessageBody>(&self, request: &HttpRequest, response: &mut HttpResponse<B>) {
        if !self.stopping.has_begun() {
            return;
        }
        response.head_mut().set_connection_type(ConnectionType::Close);
        if let Some(open) = request.conn_data::<OpenConnection>() {
            open.is_over.set(true);
        }
    }

    /// Waits for what was under way before the end, and for last requests; at most for `limit`.
    pub async fn last_requests(&self, limit: Duration) {
        let began = Instant::now();
        let last = LAST_REQUESTS.min(limit / 2);
        let is_awaited = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 0;
        while is_awaited(&self.connections)
            && (began.elapsed() < last || (is_awaited(&self.in_flight) && began.elapsed() < limit))
        {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Refuses a request that came behind an answer that ended its connection.
pub(super) fn refuse_behind_the_last(request: &HttpRequest) -> Result<(), ApiError> {
    if request.conn_data::<OpenConnection>().is_some_and(|open| open.is_over.get()) {
        return Err(ApiError::new(Problem::Draining, "an answer on this connection said that it was the last one"));
    }
    Ok(())
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.shutdown.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
