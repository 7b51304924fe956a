//! The list of events, page by page.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use schemars::JsonSchema;
use serde::Serialize;

use super::asked::{Asked, LIMIT};
use super::view::{EventView, bytes_of};
use crate::domain::scopes::Scope;
use crate::http::error::ApiError;
use crate::http::request::{Call, header_value, json};
use crate::http::state::STORE_WAIT;
use crate::store::{ListQuery, Place, Store, StoreError, StoredEvent};

/// Rows fetched at once: a row may have 2 MiB.
pub const FETCH_ROWS: usize = 51;
/// A page ends early when its payloads and properties reach this many bytes; its cursor leads on.
const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// A page ends early, maybe empty, when this many rows were looked at for it; its cursor leads on.
const PAGE_LOOKS_MAX: usize = 20_000;

/// A page of events.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "EventPage")]
pub struct Page<'a> {
    data: Vec<EventView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/events`.
pub async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let asked = Asked::read(call.request.query_string(), &caller, &LIMIT)?;
    let rows = page(&call.state.store, &asked.query, asked.after, asked.limit).await?;
    let next_cursor = rows.next.map(|place| asked.cursor(place));
    let link = next_cursor
        .as_ref()
        .map(|cursor| format!("</api/v1/events?{}limit={}&cursor={cursor}>; rel=\"next\"", asked.text, asked.limit));
    let data = rows.events.iter().map(EventView::of).collect::<Result<_, _>>()?;
    let mut response = json(StatusCode::OK, &Page { data, next_cursor });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, header_value(link));
    }
    Ok(response)
}

struct Rows {
    events: Vec<StoredEvent>,
    /// The place after which the next page begins, if there is one.
    next: Option<Place>,
}

/// Fetches in small steps and one event more than asked for, which tells whether there is a next page.
async fn page(store: &Store, query: &ListQuery, mut after: Option<Place>, limit: usize) -> Result<Rows, StoreError> {
    let (mut events, mut bytes, mut looks) = (Vec::new(), 0, 0);
    loop {
        let wanted = (limit + 1 - events.len()).min(FETCH_ROWS);
        let slice = store.list_events(query, after, wanted, STORE_WAIT).await?;
        for event in slice.events {
            if events.len() == limit || (bytes > 0 && bytes + bytes_of(&event) > PAGE_BYTES_MAX) {
                return Ok(Rows { events, next: after });
            }
            bytes += bytes_of(&event);
            after = Some(Place::of(&event));
            events.push(event);
        }
        looks += slice.looked_at;
        if slice.next.is_none() || looks >= PAGE_LOOKS_MAX {
            return Ok(Rows { events, next: slice.next });
        }
        after = slice.next;
    }
}
