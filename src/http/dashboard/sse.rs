//! What every stream of the dashboard has in common: it lives as long as its token and the server, and never falls silent
//! for long.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::domain::json::write_line;
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::respond;
use crate::http::state::AppState;

/// Longest time until the end of a token, or of the server, ends a stream.
const CHECKED: Duration = Duration::from_millis(500);
/// Longest silence, so that proxies and browsers know the stream to live.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Where a stream's lines come from.
pub trait LineSource: 'static {
    /// The next lines, at least one; nothing is lost if the future is dropped before it is ready.
    fn next(&mut self) -> impl Future<Output = Bytes>;
}

/// One viewer's stream.
struct SseStream<N> {
    state: Data<AppState>,
    credentials: Credentials,
    news: N,
    sent_at: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Room for one more stream.
pub fn room(state: &AppState) -> Result<OwnedSemaphorePermit, ApiError> {
    let permit = Arc::clone(&state.live_room).try_acquire_owned();
    permit.map_err(|_| ApiError::new(Problem::Overloaded, "too many dashboards are open"))
}

/// An event of a stream.
pub fn event(name: &str, data: &impl Serialize) -> Bytes {
    let mut lines = format!("event: {name}\ndata: ").into_bytes();
    write_line(&mut lines, data);
    lines.push(b'\n');
    lines.into()
}

/// Answers with all updates from now on.
pub fn stream(
    state: Data<AppState>,
    credentials: Credentials,
    permit: OwnedSemaphorePermit,
    news: impl LineSource,
) -> HttpResponse {
    let viewer = SseStream { state, credentials, news, sent_at: Instant::now(), _permit: permit };
    // A first line at once: the page knows that it is connected.
    let first = Some(Bytes::from_static(b": connected\n\n"));
    let lines = unfold((first, viewer), |(first, mut viewer)| async move {
        let lines = match first {
            Some(first) => first,
            None => viewer.next().await?,
        };
        Some((Ok::<_, std::io::Error>(lines), (None, viewer)))
    });
    respond::lines("text/event-stream", lines)
}

impl<N: LineSource> SseStream<N> {
    /// The next lines; `None` when the server stops, or the token has expired or was revoked.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let news = tokio::time::timeout(CHECKED, self.news.next()).await;
            if self.state.is_draining() || self.state.auth.authenticate(self.credentials).await.is_err() {
                return None;
            }
            let is_silent = self.sent_at.elapsed() >= HEARTBEAT;
            let heartbeat = || is_silent.then_some(Bytes::from_static(b": heartbeat\n\n"));
            if let Some(lines) = news.ok().or_else(heartbeat) {
                self.sent_at = Instant::now();
                return Some(lines);
            }
        }
    }
}
