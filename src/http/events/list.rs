//! The list of events, page by page.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use schemars::JsonSchema;
use serde::Serialize;

use super::list_params::{LIMIT, ListParams};
use super::view::{EventView, UnreadableView, bytes_of};
use crate::domain::scopes::Scope;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::request::Call;
use crate::http::respond::{header_value, json};
use crate::store::{ListPosition, ListQuery, Store, StoreError, StoredEvent, UnreadableEvent};

/// Rows fetched at once.
pub const FETCH_ROWS: usize = 51;
/// A page ends early when its payloads and properties reach this many bytes; its cursor leads on.
const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// A page ends early, maybe empty, when this many rows were looked at for it; its cursor leads on.
const PAGE_LOOKS_MAX: usize = 20_000;
/// A page ends early when it has taken this long, as events do that can hardly be read; its cursor leads on.
const PAGE_TIME_MAX: Duration = Duration::from_secs(2);

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
pub async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let params = ListParams::read(call.request.query_string(), &caller, &LIMIT)?;
    let rows = page(&call.state.store, &params.query, params.after, params.limit).await?;
    let next_cursor = rows.next.map(|place| params.cursor(place));
    let link = next_cursor
        .as_ref()
        .map(|cursor| format!("</api/v1/events?{}limit={}&cursor={cursor}>; rel=\"next\"", params.text, params.limit));
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
    let (mut rows, mut bytes, mut looks, began) = (Rows { next: after, ..Rows::default() }, 0, 0, Instant::now());
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
