//! The request parameters of a list of events: its filters, its order, and where it goes on.

use actix_web::web::Query;
use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::cursor;
use super::read::viewer;
use crate::clock;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::domain::timestamp;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::store::{Filters, ListOrder, ListPosition, ListQuery};

/// Events on a page when the client does not say.
const LIMIT_DEFAULT: usize = 50;
/// Most events on a page.
const LIMIT_MAX: usize = 500;
/// Longest time range, in days: what it holds has to be looked at one by one when no index fits the other filters.
const RANGE_DAYS_MAX: i64 = 31;
/// Most characters of a name, type or code, as in the table.
const TEXT_CHARS_MAX: usize = 255;
/// Most characters of a parameter that are repeated in an answer.
const SHOWN_CHARS_MAX: usize = 40;

/// What is encoded in a URL: all but the unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters that filter, in the order in which they are written.
const FILTERS: [&str; 7] =
    ["status", "event_name", "event_type", "user_id", "error_code", "received_after", "received_before"];
/// The parameters of a page of the list.
pub const LIMIT: [&str; 3] = ["order", "cursor", "limit"];
/// The parameters of the whole list.
pub const WHOLE: [&str; 2] = ["order", "cursor"];

/// A list as it was requested.
#[derive(Debug, PartialEq)]
pub struct ListParams {
    /// Which events, in which order.
    pub query: ListQuery,
    /// Where to go on.
    pub after: Option<ListPosition>,
    /// Most events of the page.
    pub limit: usize,
    /// The filters and the order as the parameters of a URL, each followed by `&`.
    pub text: String,
    viewer: Option<i64>,
}

impl ListParams {
    /// Reads a URL's query; `beside` are the parameters that may stand beside the filters.
    pub fn read(query: &str, caller: &Caller, beside: &[&str]) -> Result<Self, ApiError> {
        let known: Vec<&str> = FILTERS.iter().chain(beside).copied().collect();
        let mut given = QueryParams::read(query, &known)?;
        let filters = given.filters()?;
        let order = given.take("order").map_or(Ok(ListOrder::Desc), |text| read_order(&text))?;
        let text = written(&filters, order);
        let viewer = viewer(caller);
        let filters = visible(filters, viewer, "a list of another user's events")?;
        let limit = given.take("limit").map_or(Ok(LIMIT_DEFAULT), |text| read_limit(&text))?;
        let mut params = Self { query: ListQuery { filters, order }, after: None, limit, text, viewer };
        match given.take("cursor") {
            Some(cursor) => params.after = Some(cursor::read(&params.bound_to(), &cursor)?),
            // What was allowed for the first page is so for the others: an open range grows meanwhile.
            None => check_range(&params.query.filters)?,
        }
        Ok(params)
    }

    /// The cursor of the page that begins after `place`.
    pub fn cursor(&self, place: ListPosition) -> String {
        cursor::write(&self.bound_to(), place)
    }

    /// What a cursor is good for.
    fn bound_to(&self) -> String {
        let viewer = self.viewer.map_or_else(|| "all".to_owned(), |user_id| user_id.to_string());
        format!("{}viewer={viewer}", self.text)
    }
}

/// The filters of a job, from the members of an object; they must be some.
pub fn filters_of_job(members: Vec<(String, String)>, caller: &Caller) -> Result<Filters, ApiError> {
    let filters = QueryParams::of("member", members, &FILTERS)?.filters()?;
    if filters == Filters::default() {
        let detail = format!("the filter is empty, expected at least one of {}", FILTERS.join(", "));
        return Err(ApiError::invalid_request(detail));
    }
    let filters = visible(filters, viewer(caller), "changing another user's events")?;
    check_range(&filters)?;
    Ok(filters)
}

/// The filters for the events that the viewer may see.
fn visible(filters: Filters, viewer: Option<i64>, what: &str) -> Result<Filters, ApiError> {
    if viewer.is_some() && filters.user_id.is_some_and(|user_id| Some(user_id) != viewer) {
        return Err(ApiError::forbidden(Scope::ReadAll, what));
    }
    Ok(Filters { user_id: filters.user_id.or(viewer), ..filters })
}

/// The filters of a stream, which the feed leads to its events.
pub fn filters_of_stream(query: &str, caller: &Caller) -> Result<Filters, ApiError> {
    let filters = QueryParams::read(query, &["status", "event_name", "event_type"])?.filters()?;
    Ok(Filters { user_id: viewer(caller), ..filters })
}

/// The filters for the newest outcomes, one by one as they happen.
pub fn filters_of_newest(query: &str, caller: &Caller) -> Result<Filters, ApiError> {
    let known = ["status", "event_name", "event_type", "user_id", "error_code"];
    let filters = QueryParams::read(query, &known)?.filters()?;
    visible(filters, viewer(caller), "watching another user's events")
}

/// The parameters that are left to be read.
struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    fn read(query: &str, known: &[&str]) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::invalid_request(format!("the query cannot be read: {error}")))?;
        Self::of("parameter", pairs.into_inner(), known)
    }

    /// Takes `pairs`, each of which is a `what`.
    fn of(what: &str, pairs: Vec<(String, String)>, known: &[&str]) -> Result<Self, ApiError> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                let detail = format!("the {what} {:?} is unknown, expected {}", shown(&name), known.join(", "));
                return Err(ApiError::invalid_request(detail));
            }
            if given.iter().any(|(present, _)| *present == name) {
                return Err(ApiError::invalid_request(format!("the {what} {name} is repeated, expected it once")));
            }
            given.push((name, value));
        }
        Ok(Self(given))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(present, _)| present == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn filters(&mut self) -> Result<Filters, ApiError> {
        Ok(Filters {
            status: self.read_with("status", "a status of events", Status::parse)?,
            event_name: self.read_with("event_name", "1 to 255 characters", read_text)?,
            event_type: self.read_with("event_type", "1 to 255 characters", read_text)?,
            user_id: self.read_with("user_id", "a positive integer", read_id)?,
            error_code: self.read_with("error_code", "1 to 255 characters", read_text)?,
            received_after: self.time("received_after")?,
            received_before: self.time("received_before")?,
        })
    }

    fn time(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let given = self.0.iter().find(|(present, _)| present == name);
        // A `+` in a URL is a space.
        let whole = given.and_then(|(_, text)| text.rsplit_once(' ')).map(|(time, offset)| format!("{time}+{offset}"));
        let expected = match whole.as_deref().and_then(timestamp::parse) {
            Some(_) => "a time as in RFC 3339, in a URL with %2B for +",
            None => "a time as in RFC 3339",
        };
        self.read_with(name, expected, timestamp::parse)
    }

    fn read_with<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let value = read(&text);
        let refusal = || ApiError::invalid_request(format!("{name} is {:?}, expected {expected}", shown(&text)));
        value.map(Some).ok_or_else(refusal)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// PostgreSQL takes no NUL in a text, and no event has one.
fn read_text(text: &str) -> Option<String> {
    let is_storable = !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.contains('\0');
    is_storable.then(|| text.to_owned())
}

fn read_id(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id > 0)
}

fn read_order(text: &str) -> Result<ListOrder, ApiError> {
    match text {
        "asc" => Ok(ListOrder::Asc),
        "desc" => Ok(ListOrder::Desc),
        _ => Err(ApiError::invalid_request(format!("order is {:?}, expected asc or desc", shown(text)))),
    }
}

fn read_limit(text: &str) -> Result<usize, ApiError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| is_number && (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!("limit is {:?}, expected a whole number from 1 to {LIMIT_MAX}", shown(text));
        ApiError::invalid_request(detail)
    })
}

/// An open range ends now.
fn check_range(filters: &Filters) -> Result<(), ApiError> {
    let Some(after) = filters.received_after else {
        if filters.received_before.is_some() {
            return Err(ApiError::invalid_request("received_before stands alone, expected received_after with it"));
        }
        if !filters.have_an_index() {
            let detail = format!(
                "no index fits these filters: event_type, error_code and a status other than failed or \
                 validation_error need a time range, expected received_after at most {RANGE_DAYS_MAX} days before \
                 received_before (or now)"
            );
            return Err(ApiError::invalid_request(detail));
        }
        return Ok(());
    };
    let before = filters.received_before.unwrap_or_else(clock::now);
    if before - after > TimeDelta::days(RANGE_DAYS_MAX) {
        let detail = format!("the time range is longer than {RANGE_DAYS_MAX} days, which is the limit");
        return Err(ApiError::invalid_request(detail));
    }
    Ok(())
}

/// The filters and the order as they stand in a URL, always in the same way.
fn written(filters: &Filters, order: ListOrder) -> String {
    let values = [
        filters.status.map(|status| status.as_str().to_owned()),
        filters.event_name.clone(),
        filters.event_type.clone(),
        filters.user_id.map(|user_id| user_id.to_string()),
        filters.error_code.clone(),
        filters.received_after.map(timestamp::render),
        filters.received_before.map(timestamp::render),
    ];
    let mut text = String::new();
    for (name, value) in FILTERS.iter().zip(values) {
        if let Some(value) = value {
            text.push_str(&format!("{name}={}&", utf8_percent_encode(&value, ENCODED)));
        }
    }
    text.push_str(if order == ListOrder::Asc { "order=asc&" } else { "" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &str) -> Caller {
        Caller {
            user_id: 7,
            email: String::new(),
            scopes: scopes.parse().expect("scopes"),
            token_id: 1,
            parent_id: None,
        }
    }

    fn read(query: &str, scopes: &str) -> Result<ListParams, String> {
        ListParams::read(query, &caller(scopes), &LIMIT).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_lists_parameters_are_known_once_and_in_range() {
        let params = read("", "read").expect("a list of one's own");
        assert_eq!((params.limit, params.query.order, params.query.filters.user_id), (50, ListOrder::Desc, Some(7)));
        assert_eq!(read("limit=500&order=asc", "read:all").expect("a list").limit, 500);
        let (number, time) = ("expected a whole number from 1 to 500", "a time as in RFC 3339");
        for (query, detail) in [
            ("limit=0", format!("limit is \"0\", {number}")),
            ("limit=501", format!("limit is \"501\", {number}")),
            ("limit=-1", format!("limit is \"-1\", {number}")),
            ("limit=%2B1", format!("limit is \"+1\", {number}")),
            ("limit=", format!("limit is \"\", {number}")),
            ("limit=1e9", format!("limit is \"1e9\", {number}")),
            ("limit=1&limit=2", "the parameter limit is repeated, expected it once".to_owned()),
            ("order=up", "order is \"up\", expected asc or desc".to_owned()),
            ("status=done", "status is \"done\", expected a status of events".to_owned()),
            ("event_name=", "event_name is \"\", expected 1 to 255 characters".to_owned()),
            ("event_name=a%00", "event_name is \"a\\0\", expected 1 to 255 characters".to_owned()),
            ("user_id=0", "user_id is \"0\", expected a positive integer".to_owned()),
            ("received_after=1", format!("received_after is \"1\", expected {time}")),
            (
                "received_after=2026-01-01T00:00:00+02:00",
                format!("received_after is \"2026-01-01T00:00:00 02:00\", expected {time}, in a URL with %2B for +"),
            ),
            (
                "received_before=2026-01-01+00:00:00.5+02:00",
                format!("received_before is \"2026-01-01 00:00:00.5 02:00\", expected {time}, in a URL with %2B for +"),
            ),
            (
                "received_after=2026-01-01T00:00:00+x",
                format!("received_after is \"2026-01-01T00:00:00 x\", expected {time}"),
            ),
            (
                "received_after=2026-01-01T00:00:00%E2%88%9202:00",
                format!("received_after is \"2026-01-01T00:00:00\u{2212}02:00\", expected {time}"),
            ),
        ] {
            assert_eq!(read(query, "read").err(), Some(detail), "{query}");
        }
        let unknown = read("offset=3", "read").expect_err("no such parameter");
        assert!(unknown.starts_with("the parameter \"offset\" is unknown, expected status, "), "{unknown}");
    }

    #[test]
    fn another_users_events_need_read_all() {
        assert!(read("user_id=7", "read").is_ok());
        assert!(read("user_id=8", "read").expect_err("foreign").contains("read:all"));
        assert_eq!(read("user_id=8", "read:all").expect("allowed").query.filters.user_id, Some(8));
    }

    #[test]
    fn filters_without_an_index_need_a_time_range_of_at_most_31_days() {
        for query in ["event_type=a", "error_code=refused", "status=processed", "status=pending&event_name=a"] {
            assert!(read(query, "read").expect_err("no range").contains("received_after"), "{query}");
            let range = format!("{query}&received_after=2026-01-01T00:00:00Z&received_before=");
            assert!(read(&format!("{range}2026-02-01T00:00:00Z"), "read").is_ok(), "{query}");
            let longer = read(&format!("{range}2026-02-01T00:00:00.000001Z"), "read");
            assert!(longer.expect_err("too long").contains("31 days"), "{query}");
        }
        for query in ["event_name=a", "status=failed", "status=validation_error&error_code=a&event_type=b"] {
            assert!(read(query, "read").is_ok(), "{query}");
        }
        assert!(read("received_before=2026-01-01T00:00:00Z", "read").is_err());
    }

    #[test]
    fn the_filters_are_written_as_they_are_read() {
        let query = "status=failed&event_name=a%26b%20%C3%BC&user_id=7&received_after=2999-01-01T00%3A00%3A00.000000Z&";
        let params = read(&format!("{query}order=asc"), "read").expect("a list");
        assert_eq!(params.text, format!("{query}order=asc&"));
        assert_eq!(params.query.filters.event_name.as_deref(), Some("a&b ü"));
    }
}
