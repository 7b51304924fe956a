//! Gives events back: one by its id, and the list, newest first.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use actix_web::web::Query;
use serde::Serialize;

use super::prefer::Preferences;
use super::view::{EventView, bytes_of};
use super::{cursor, spooled, wait};
use crate::domain::scopes::Scope;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::request::{Call, header_value, json};
use crate::http::state::STORE_WAIT;
use crate::store::{ListQuery, Store, StoreError, StoredEvent};

/// Events on a page when the client does not say.
const LIMIT_DEFAULT: u64 = 50;
/// Most events on a page.
const LIMIT_MAX: u64 = 500;
/// Rows fetched at once: a row may have 2 MiB.
const FETCH_ROWS: u64 = 51;
/// A page ends early when its payloads and properties reach this many bytes; its cursor leads on.
const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// `GET /api/v1/events/{id}`, with `Prefer: wait=N` when the event is finished.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let text = call.request.match_info().query("id");
    let preferences = Preferences::read(call.headers())?.of_one_event();
    let id = event_id(text)?;
    let seen = wait::finished(&call.state, id, viewer(&caller), preferences.wait.unwrap_or_default()).await;
    let event = spooled::or_spooled(&call.state, id, viewer(&caller), seen).await?;
    let response = json(StatusCode::OK, &EventView::of(&event)?);
    Ok(preferences.applied_to(response))
}

/// Ids are written one way only: what is written otherwise names no event.
pub(super) fn event_id(text: &str) -> Result<i64, ApiError> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_canonical).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("there is no event {shown:?}, an id is a positive integer up to {}", i64::MAX);
        ApiError::new(Problem::NotFound, detail)
    })
}

/// Whose events the caller sees: its own user's, or with `None` everyone's.
pub(super) fn viewer(caller: &Caller) -> Option<i64> {
    if caller.scopes.has(Scope::ReadAll) { None } else { Some(caller.user_id) }
}

#[derive(Serialize)]
struct Page<'a> {
    data: Vec<EventView<'a>>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/events`.
pub async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let viewer = viewer(&caller);
    let asked = Asked::read(call.request.query_string())?;
    let filters = viewer.map_or_else(|| "viewer=all".to_owned(), |user_id| format!("viewer={user_id}"));
    let before_id = asked.cursor.as_deref().map(|text| cursor::read(&filters, text)).transpose()?;
    let rows = page(&call.state.store, ListQuery { visible_to: viewer, before_id, limit: asked.limit }).await?;
    let next_cursor = rows.next_before.map(|before| cursor::write(&filters, before));
    let link = next_cursor
        .as_ref()
        .map(|cursor| format!("</api/v1/events?limit={}&cursor={cursor}>; rel=\"next\"", asked.limit));
    let data = rows.events.iter().map(EventView::of).collect::<Result<_, _>>()?;
    let mut response = json(StatusCode::OK, &Page { data, next_cursor });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, header_value(link));
    }
    Ok(response)
}

/// The parameters of a list.
#[derive(Debug, PartialEq)]
struct Asked {
    limit: u64,
    cursor: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::invalid_request(format!("the query cannot be read: {error}")))?;
        let (mut limit, mut cursor) = (None, None);
        for (name, value) in pairs.into_inner() {
            let place = match name.as_str() {
                "limit" => &mut limit,
                "cursor" => &mut cursor,
                _ => {
                    let shown: String = name.chars().take(40).collect();
                    let detail = format!("the parameter {shown:?} is unknown, expected limit or cursor");
                    return Err(ApiError::invalid_request(detail));
                }
            };
            if place.replace(value).is_some() {
                return Err(ApiError::invalid_request(format!("the parameter {name} is repeated, expected it once")));
            }
        }
        let limit = limit.as_deref().map(read_limit).transpose()?.unwrap_or(LIMIT_DEFAULT);
        Ok(Self { limit, cursor })
    }
}

fn read_limit(text: &str) -> Result<u64, ApiError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| is_number && (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        ApiError::invalid_request(format!("limit is {shown:?}, expected a whole number from 1 to {LIMIT_MAX}"))
    })
}

struct Rows {
    events: Vec<StoredEvent>,
    /// The id before which the next page begins, if there is one.
    next_before: Option<i64>,
}

/// Fetches in small steps and one row more than asked for, which tells whether there is a next page.
async fn page(store: &Store, query: ListQuery) -> Result<Rows, StoreError> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    let mut before_id = query.before_id;
    loop {
        let wanted = (query.limit + 1 - events.len() as u64).min(FETCH_ROWS);
        let rows = store.list_events(&ListQuery { before_id, limit: wanted, ..query }, STORE_WAIT).await?;
        let is_last = (rows.len() as u64) < wanted;
        for row in rows {
            if events.len() as u64 == query.limit || (bytes > 0 && bytes + bytes_of(&row) > PAGE_BYTES_MAX) {
                return Ok(Rows { events, next_before: before_id });
            }
            bytes += bytes_of(&row);
            before_id = Some(row.id);
            events.push(row);
        }
        if is_last {
            return Ok(Rows { events, next_before: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_integer_written_plainly() {
        assert_eq!(event_id("1").ok(), Some(1));
        assert_eq!(event_id("9223372036854775807").ok(), Some(i64::MAX));
        for text in ["0", "-1", "+1", "01", "1.0", "9223372036854775808", "", "abc", "\0", "١", "1 ", "batch"] {
            let error = event_id(text).expect_err("no event has this id");
            assert_eq!(error.problem(), Problem::NotFound, "{text}");
            assert!(error.detail().contains("an id is a positive integer"), "{}", error.detail());
        }
    }

    #[test]
    fn a_lists_parameters_are_known_once_and_in_range() {
        let read = |query: &str| Asked::read(query).map_err(|error| error.detail().to_owned());
        assert_eq!(read(""), Ok(Asked { limit: 50, cursor: None }));
        assert_eq!(read("limit=500&cursor=ab"), Ok(Asked { limit: 500, cursor: Some("ab".to_owned()) }));
        for (query, detail) in [
            ("limit=0", "limit is \"0\", expected a whole number from 1 to 500"),
            ("limit=501", "limit is \"501\", expected a whole number from 1 to 500"),
            ("limit=-1", "limit is \"-1\", expected a whole number from 1 to 500"),
            ("limit=%2B1", "limit is \"+1\", expected a whole number from 1 to 500"),
            ("limit=", "limit is \"\", expected a whole number from 1 to 500"),
            ("limit=1e9", "limit is \"1e9\", expected a whole number from 1 to 500"),
            ("limit=1&limit=2", "the parameter limit is repeated, expected it once"),
            ("offset=3", "the parameter \"offset\" is unknown, expected limit or cursor"),
        ] {
            assert_eq!(read(query), Err(detail.to_owned()), "{query}");
        }
    }
}
