//! The whole list as one stream of NDJSON.
//!
//! Guarantees: memory stays flat however many events there are, and no connection of the database is held between two
//! chunks, so a client may read as slowly as it likes. The last line is the summary; a stream that ends without it is
//! cut off, never ended. Each chunk closes with a cursor from which a new request goes on.

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::list::FETCH_ROWS;
use super::list_params::{ListParams, WHOLE};
use super::view::{EventView, UnreadableView};
use crate::domain::json::write_line;
use crate::domain::scopes::Scope;
use crate::http::bearer::Credentials;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::state::AppState;
use crate::http::streaming;
use crate::store::{ListPosition, Slice};

/// Bytes of the events of a chunk; the one that passes it is still in it.
const CHUNK_BYTES: usize = 2 * 1_024 * 1_024;

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
    params: ListParams,
    after: Option<ListPosition>,
    events: u64,
    unreadable: u64,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// `GET /api/v1/events/export`.
pub async fn export(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let params = ListParams::read(call.request.query_string(), &caller, &WHOLE)?;
    let permit = call.state.exports.clone().try_acquire_owned();
    let _permit = permit.map_err(|_| ApiError::new(Problem::Overloaded, "too many exports are under way"))?;
    let (after, credentials) = (params.after, call.credentials()?);
    let (state, events, unreadable) = (call.state, 0, 0);
    let export = ExportStream { state, credentials, params, after, events, unreadable, is_over: false, _permit };
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
    Ok(streaming::lines("application/x-ndjson", chunks))
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
            Some(place) => write_line(&mut lines, &CursorLine { cursor: self.params.cursor(place) }),
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
        Ok(store.list_events(&self.params.query, self.after, FETCH_ROWS, CHUNK_BYTES, STORE_WAIT).await?)
    }
}
