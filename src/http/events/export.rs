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

use super::asked::{Asked, WHOLE};
use super::list::FETCH_ROWS;
use super::view::EventView;
use crate::domain::json::write_line;
use crate::domain::scopes::Scope;
use crate::http::bearer::Credentials;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::state::{AppState, STORE_WAIT};
use crate::http::streaming;
use crate::store::{Place, Slice};

/// Events of the first chunk; a row may have 2 MiB.
const FIRST_ROWS: usize = 1;
/// Bytes of a chunk above which the next one has fewer events, and below a quarter of which it has more.
const CHUNK_BYTES: usize = 2 * 1_024 * 1_024;

/// A line of an export that tells where to go on.
#[derive(JsonSchema, Serialize)]
pub struct CursorLine {
    cursor: String,
}

/// The last line of an export.
#[derive(JsonSchema, Serialize)]
pub struct SummaryLine {
    summary: Summary,
}

/// `complete` is always true: an export that is not has no summary.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ExportSummary")]
struct Summary {
    events: u64,
    complete: bool,
}

/// An export under way.
struct Export {
    state: Data<AppState>,
    credentials: Credentials,
    asked: Asked,
    after: Option<Place>,
    rows: usize,
    events: u64,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// `GET /api/v1/events/export`.
pub async fn export(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let asked = Asked::read(call.request.query_string(), &caller, &WHOLE)?;
    let permit = call.state.exports.clone().try_acquire_owned();
    let _permit = permit.map_err(|_| ApiError::new(Problem::Overloaded, "too many exports are under way"))?;
    let (after, credentials) = (asked.after, call.credentials()?);
    let (state, rows) = (call.state, FIRST_ROWS);
    let export = Export { state, credentials, asked, after, rows, events: 0, is_over: false, _permit };
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

impl Export {
    /// The next events with their cursor, or with the summary if they are the last.
    async fn chunk(mut self) -> Result<(Bytes, Self), ApiError> {
        let slice = self.next_slice().await?;
        let mut lines = Vec::new();
        for event in &slice.events {
            write_line(&mut lines, &EventView::of(event)?);
        }
        self.events += slice.events.len() as u64;
        self.after = slice.next;
        match slice.next {
            Some(place) => write_line(&mut lines, &CursorLine { cursor: self.asked.cursor(place) }),
            None => {
                self.is_over = true;
                write_line(&mut lines, &SummaryLine { summary: Summary { events: self.events, complete: true } });
            }
        }
        self.rows = match lines.len() {
            bytes if bytes > CHUNK_BYTES => (self.rows / 2).max(1),
            bytes if bytes < CHUNK_BYTES / 4 => (self.rows * 2).min(FETCH_ROWS),
            _ => self.rows,
        };
        Ok((lines.into(), self))
    }

    /// A slice may be empty where few rows match: the client gets its cursor, which shows that the export lives.
    async fn next_slice(&self) -> Result<Slice, ApiError> {
        if self.state.is_draining() {
            return Err(ApiError::new(Problem::Draining, "the server is stopping"));
        }
        // A token that is revoked ends what it began.
        self.state.auth.authenticate(self.credentials).await?;
        Ok(self.state.store.list_events(&self.asked.query, self.after, self.rows, STORE_WAIT).await?)
    }
}
