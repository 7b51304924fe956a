//! The list of events, page by page, or whole as one stream of NDJSON.
//!
//! Guarantees of the stream: memory stays flat however many events there are, and no connection of the database is held
//! between two chunks, so a client may read as slowly as it likes. The last line is the summary; a stream that ends
//! without it is cut off, never ended. Each chunk closes with a cursor from which a new request goes on.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::list_params::{EventList, ExportParams, ListParams};
use super::view::{EventView, UnreadableView, bytes_of};
use crate::domain::json::write_line;
use crate::http::access::{Authorised, ReadEvents};
use crate::http::bounds::STORE_WAIT;
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::problems::Problem;
use crate::http::respond::{self, header_value, json};
use crate::http::state::AppState;
use crate::store::{ListPosition, ListQuery, Slice, Store, StoreError, StoredEvent, UnreadableEvent};

/// Rows fetched at once.
const FETCH_ROWS: usize = 51;
/// A page ends early when its payloads and properties reach this many bytes; its cursor leads on.
const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// A page ends early, maybe empty, when this many rows were looked at for it; its cursor leads on.
const PAGE_LOOKS_MAX: usize = 20_000;
/// A page ends early when it has taken this long, as events do that can hardly be read; its cursor leads on.
const PAGE_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes of the events of a chunk; the one that passes it is still in it.
const CHUNK_BYTES: usize = 2 * 1_024 * 1_024;

/// A page of events.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventPage")]
pub struct EventPage<'a> {
    data: Vec<EventView<'a>>,
    /// Events of this page that are there and cannot be read; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<UnreadableView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/events`.
pub async fn list(
    state: Data<AppState>,
    Authorised { caller, rest: Params(params), .. }: Authorised<ReadEvents, Params<ListParams>>,
) -> Result<HttpResponse, ApiError> {
    let (list, limit) = params.list(&caller)?;
    let rows = page(&state.store, &list.query, list.after, limit).await?;
    let next_cursor = rows.next.map(|place| list.cursor(place));
    let link = next_cursor
        .as_ref()
        .map(|cursor| format!("</api/v1/events?{}limit={}&cursor={cursor}>; rel=\"next\"", list.text, limit));
    let data = rows.events.iter().map(EventView::of).collect();
    let unreadable = rows.unreadable.iter().map(UnreadableView::of).collect();
    let mut response = json(StatusCode::OK, &EventPage { data, unreadable, next_cursor });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, header_value(link));
    }
    Ok(response)
}

#[derive(Default)]
struct Rows {
    events: Vec<StoredEvent>,
    unreadable: Vec<UnreadableEvent>,
    /// The position after which the next page begins, if there is one.
    next: Option<ListPosition>,
}

impl Rows {
    fn len(&self) -> usize {
        self.events.len() + self.unreadable.len()
    }
}

/// Fetches in small steps and one event more than requested, to see whether there is a next page.
async fn page(store: &Store, query: &ListQuery, after: Option<ListPosition>, limit: usize) -> Result<Rows, StoreError> {
    let mut rows = Rows { next: after, ..Rows::default() };
    let mut bytes = 0;
    let mut looks = 0;
    let began = Instant::now();
    loop {
        let wanted = (limit + 1 - rows.len()).min(FETCH_ROWS);
        let slice = store.list_events(query, rows.next, wanted, PAGE_BYTES_MAX - bytes, STORE_WAIT).await?;
        for (place, event) in slice.events {
            let more = event.as_ref().map_or(0, bytes_of);
            if rows.len() == limit || (bytes > 0 && bytes + more > PAGE_BYTES_MAX) {
                return Ok(rows);
            }
            bytes += more;
            rows.next = Some(place);
            match event {
                Ok(event) => rows.events.push(event),
                Err(event) => rows.unreadable.push(event),
            }
        }
        looks += slice.looked_at;
        rows.next = slice.next;
        let is_full = bytes >= PAGE_BYTES_MAX || looks >= PAGE_LOOKS_MAX || began.elapsed() >= PAGE_TIME_MAX;
        if rows.next.is_none() || is_full {
            return Ok(rows);
        }
    }
}

/// A line of an export from which it can be resumed.
#[derive(JsonSchema, Serialize)]
pub struct CursorLine {
    cursor: String,
}

/// A line of an export in place of an event that is there and cannot be read.
#[derive(JsonSchema, Serialize)]
pub struct UnreadableLine<'a> {
    unreadable: UnreadableView<'a>,
}

/// The last line of an export.
#[derive(JsonSchema, Serialize)]
pub struct SummaryLine {
    summary: ExportSummary,
}

/// An export that broke off has no summary.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ExportSummary")]
struct ExportSummary {
    events: u64,
    /// Events that cannot be read, each of which has a line; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<u64>,
    /// Whether all could be read.
    complete: bool,
}

/// An export under way.
struct ExportStream {
    state: Data<AppState>,
    credentials: Credentials,
    list: EventList,
    after: Option<ListPosition>,
    events: u64,
    unreadable: u64,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// `GET /api/v1/events/export`.
pub async fn export(
    state: Data<AppState>,
    Authorised { caller, rest: Params(params), .. }: Authorised<ReadEvents, Params<ExportParams>>,
    credentials: Credentials,
) -> Result<HttpResponse, ApiError> {
    let list = params.list(&caller)?;
    let permit = state.exports.clone().try_acquire_owned();
    let _permit = permit.map_err(|_| ApiError::new(Problem::Overloaded, "too many exports are under way"))?;
    let after = list.after;
    let export = ExportStream { state, credentials, list, after, events: 0, unreadable: 0, is_over: false, _permit };
    // The first chunk is made before the answer begins, so that what is wrong from the start has a status.
    let (first, export) = export.chunk().await?;
    let chunks = try_unfold((Some(first), export), |(first, export)| async move {
        match first {
            Some(first) => Ok(Some((first, (None, export)))),
            None if export.is_over => Ok(None),
            None => {
                let (chunk, export) = export.chunk().await.map_err(cut_off)?;
                Ok::<_, std::io::Error>(Some((chunk, (None, export))))
            }
        }
    });
    Ok(respond::lines("application/x-ndjson", chunks))
}

/// An error in the midst of a stream makes the server drop the connection, which no client takes for the end.
fn cut_off(error: ApiError) -> std::io::Error {
    tracing::warn!(reason = error.detail(), "an export was cut off");
    std::io::Error::other(error.detail().to_owned())
}

impl ExportStream {
    /// The next events with their cursor, or with the summary if they are the last.
    async fn chunk(mut self) -> Result<(Bytes, Self), ApiError> {
        let slice = self.next_slice().await?;
        let mut lines = Vec::new();
        for (_, event) in &slice.events {
            match event {
                Ok(event) => write_line(&mut lines, &EventView::of(event)),
                Err(event) => write_line(&mut lines, &UnreadableLine { unreadable: UnreadableView::of(event) }),
            }
        }
        let readable = slice.events.iter().filter(|(_, event)| event.is_ok()).count();
        self.events += readable as u64;
        self.unreadable += (slice.events.len() - readable) as u64;
        self.after = slice.next;
        match slice.next {
            Some(place) => write_line(&mut lines, &CursorLine { cursor: self.list.cursor(place) }),
            None => {
                self.is_over = true;
                let unreadable = (self.unreadable > 0).then_some(self.unreadable);
                let summary = ExportSummary { events: self.events, unreadable, complete: unreadable.is_none() };
                write_line(&mut lines, &SummaryLine { summary });
            }
        }
        Ok((lines.into(), self))
    }

    /// A slice may be empty where few rows match: the client gets its cursor, which shows that the export lives.
    async fn next_slice(&self) -> Result<Slice, ApiError> {
        if self.state.is_draining() {
            return Err(ApiError::new(Problem::Draining, "the server is stopping"));
        }
        // A token that is revoked ends what it began.
        self.state.auth.authenticate(self.credentials).await?;
        let store = &self.state.store;
        Ok(store.list_events(&self.list.query, self.after, FETCH_ROWS, CHUNK_BYTES, STORE_WAIT).await?)
    }
}
