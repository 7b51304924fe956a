//! Outcomes as they happen, as server-sent events out of the feed.
//!
//! Guarantees: from a position on, every outcome that the caller may see and requested is delivered, in the order of
//! the feed, or a `gap` says that some may be missing. Not guaranteed: that one is delivered only once, or as it was:
//! an event is shown as it stands when the feed is read, and a duplicate as the event that it repeats.
//!
//! One look per node wakes all streams when there is more; each reads by itself, as fast as its client takes it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::unfold;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::filters::StreamParams;
use crate::domain::json::write_line;
use crate::domain::outcome::Status;
use crate::domain::timestamp::render;
use crate::http::access::{Authorised, ReadEvents};
use crate::http::bounds::STORE_WAIT;
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::headers::single;
use crate::http::params::Params;
use crate::http::problems::Problem;
use crate::http::respond;
use crate::http::shared::{FeedHead, Streams};
use crate::http::state::AppState;
use crate::store::{FeedEvent, FeedPosition, Filters, StoreError};
use crate::telemetry::condition::Condition;

/// How often a node looks whether the feed has grown, while it has streams.
const LOOK: Duration = Duration::from_millis(250);
/// Longest silence of a stream, so that proxies and clients know it to live.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How far back the feed reaches: flushes are rolled up after an hour.
const REACH: Duration = Duration::from_secs(50 * 60);

impl Streams {
    /// Looks for the feed's head for as long as the future is polled.
    pub async fn run(state: Data<AppState>) {
        let condition = Condition::new("the look at the feed");
        loop {
            if state.streams.head.receiver_count() > 0 {
                let seen_at = Instant::now();
                let looked = state.store.feed_head(STORE_WAIT).await;
                condition.note(&looked);
                if let Ok(flush) = looked {
                    let new = FeedHead { flush, seen_at };
                    // Waiting streams are woken only by new outcomes.
                    state.streams.head.send_if_modified(|head| std::mem::replace(head, new).flush != flush);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A stream under way.
struct Stream {
    state: Data<AppState>,
    credentials: Credentials,
    filters: Filters,
    head: watch::Receiver<FeedHead>,
    place: FeedPosition,
    /// When nothing was left to deliver; what came later than [`REACH`] after it may be gone.
    up_to_date_at: Instant,
    sent_at: Instant,
    _permit: OwnedSemaphorePermit,
}

/// `GET /api/v1/events/stream`.
pub async fn stream(
    state: Data<AppState>,
    Authorised { caller, rest: Params(params), .. }: Authorised<ReadEvents, Params<StreamParams>>,
    credentials: Credentials,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let filters = params.filters(&caller);
    let permit = Arc::clone(&state.stream_room).try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::new(Problem::Overloaded, "too many streams are open"))?;
    let last = single(request.headers(), "last-event-id")?.map(str::to_owned);
    let head = state.store.feed_head(STORE_WAIT).await?;
    let (place, gap) = match last {
        None => (FeedPosition::after(head), None),
        Some(last) => match resume(&state, head, &last).await? {
            Some(place) => (place, None),
            None => (FeedPosition::after(head), Some("the place of Last-Event-ID is unknown or too old")),
        },
    };
    let now = Instant::now();
    let stream = Stream {
        credentials,
        filters,
        head: state.streams.head.subscribe(),
        place,
        up_to_date_at: now,
        sent_at: now,
        _permit: permit,
        state,
    };
    // A first line at once: the client knows that it is connected, and from where.
    let first = gap.map_or_else(|| stream.heartbeat(), |reason| stream.gap(reason));
    let lines = unfold((Some(first), stream), |(first, mut stream)| async move {
        let lines = match first {
            Some(first) => first,
            None => stream.next().await?,
        };
        Some((Ok::<_, std::io::Error>(lines), (None, stream)))
    });
    Ok(respond::lines("text/event-stream", lines))
}

/// The position that a client has seen last, if all that followed it is still there.
async fn resume(state: &AppState, head: i64, last: &str) -> Result<Option<FeedPosition>, StoreError> {
    let Some(place) = read_place(last).filter(|place| place.flush <= head) else { return Ok(None) };
    let reaches = place.flush == head || state.store.feed_reaches(place.flush, REACH, STORE_WAIT).await?;
    Ok(reaches.then_some(place))
}

/// `flush-delivered`, or `flush` for all of it.
fn read_place(text: &str) -> Option<FeedPosition> {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    match text.split_once('-') {
        Some((flush, delivered)) => {
            let delivered = usize::try_from(number(delivered)?).ok()?;
            Some(FeedPosition { flush: number(flush)?, delivered })
        }
        None => Some(FeedPosition::after(number(text)?)),
    }
}

fn written_place(place: FeedPosition) -> String {
    if place.delivered == usize::MAX { place.flush.to_string() } else { format!("{}-{}", place.flush, place.delivered) }
}

/// An outcome as it is streamed.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Outcome")]
pub struct OutcomeView<'a> {
    id: i64,
    user_id: i64,
    event_name: Option<&'a str>,
    event_type: Option<&'a str>,
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    error_code: Option<&'a str>,
    attempts: i32,
    processed_at: Option<String>,
}

impl<'a> OutcomeView<'a> {
    /// The outcome of this event.
    pub fn of(event: &'a FeedEvent) -> Self {
        Self {
            id: event.id,
            user_id: event.user_id,
            event_name: event.event_name.as_deref(),
            event_type: event.event_type.as_deref(),
            status: event.status.as_str(),
            error_code: event.error_code.as_deref(),
            attempts: event.attempts,
            processed_at: event.processed_at.map(render),
        }
    }
}

fn write_outcome(lines: &mut Vec<u8>, event: &FeedEvent) {
    lines.extend_from_slice(format!("id: {}\nevent: outcome\ndata: ", written_place(event.place)).as_bytes());
    write_line(lines, &OutcomeView::of(event));
    lines.push(b'\n');
}

impl Stream {
    /// The next lines; `None` when the server stops, or the token has expired or was revoked.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.state.is_draining() || self.state.auth.authenticate(self.credentials).await.is_err() {
                return None;
            }
            if let Some(lines) = self.look().await {
                self.sent_at = Instant::now();
                return Some(lines);
            }
            if self.sent_at.elapsed() >= HEARTBEAT {
                self.sent_at = Instant::now();
                return Some(self.heartbeat());
            }
            if self.head.borrow_and_update().flush <= self.place.flush {
                // The bound is for the server's stop.
                let _ = tokio::time::timeout(LOOK, self.head.changed()).await;
            }
        }
    }

    /// What the feed has for this stream now; a database that does not answer is queried again after a pause.
    async fn look(&mut self) -> Option<Bytes> {
        let head = *self.head.borrow();
        if self.place.delivered == usize::MAX && head.flush <= self.place.flush {
            self.up_to_date_at = self.up_to_date_at.max(head.seen_at);
            return None;
        }
        if self.up_to_date_at.elapsed() > REACH {
            let head = self.state.store.feed_head(STORE_WAIT).await.ok()?;
            (self.place, self.up_to_date_at) = (FeedPosition::after(head), Instant::now());
            return Some(self.gap("the stream was read too slowly, or the database was away for too long"));
        }
        match self.state.store.feed(self.place, &self.filters, STORE_WAIT).await {
            Ok((events, place)) => {
                // A position inside of a flush that is gone, or not settled yet, has nothing to deliver either.
                self.place = if place == self.place { FeedPosition::after(place.flush) } else { place };
                let mut lines = Vec::new();
                events.iter().for_each(|event| write_outcome(&mut lines, event));
                (!lines.is_empty()).then(|| lines.into())
            }
            Err(_) => {
                tokio::time::sleep(LOOK).await;
                None
            }
        }
    }

    /// A comment, and the position, which a client remembers although it gets no outcome.
    fn heartbeat(&self) -> Bytes {
        format!(": heartbeat\nid: {}\n\n", written_place(self.place)).into()
    }

    fn gap(&self, reason: &str) -> Bytes {
        format!("id: {}\nevent: gap\ndata: {{\"reason\":\"{reason}\"}}\n\n", written_place(self.place)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_is_one() {
        for place in [FeedPosition::after(0), FeedPosition::after(i64::MAX), FeedPosition { flush: 12, delivered: 3 }] {
            assert_eq!(read_place(&written_place(place)), Some(place));
        }
        for text in ["-", "1-", "-1", "+1", "a", "1-2-3", "99999999999999999999", " 1"] {
            assert_eq!(read_place(text), None, "{text}");
        }
    }
}
