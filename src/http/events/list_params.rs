//! The request parameters of a list of events: its filters, its order, and where it goes on.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::filters::{FILTERS, IdFilter, StatusFilter, TextFilter, TimeFilter, check_range, filters, visible};
use super::read::viewer;
use crate::domain::timestamp;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::error::ApiError;
use crate::http::params::Limit;
use crate::store::{Filters, ListOrder, ListPosition, ListQuery};

/// What is encoded in a URL: all but the unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of a page of the list.
#[derive(Deserialize)]
pub struct ListParams {
    status: Option<StatusFilter>,
    event_name: Option<TextFilter>,
    event_type: Option<TextFilter>,
    user_id: Option<IdFilter>,
    error_code: Option<TextFilter>,
    received_after: Option<TimeFilter>,
    received_before: Option<TimeFilter>,
    order: Option<Order>,
    cursor: Option<String>,
    limit: Option<Limit>,
}

/// The parameters of the whole list.
#[derive(Deserialize)]
pub struct ExportParams {
    status: Option<StatusFilter>,
    event_name: Option<TextFilter>,
    event_type: Option<TextFilter>,
    user_id: Option<IdFilter>,
    error_code: Option<TextFilter>,
    received_after: Option<TimeFilter>,
    received_before: Option<TimeFilter>,
    order: Option<Order>,
    cursor: Option<String>,
}

/// A list as it was requested.
#[derive(Debug, PartialEq)]
pub struct EventList {
    /// Which events, in which order.
    pub query: ListQuery,
    /// Where to go on.
    pub after: Option<ListPosition>,
    /// The filters and the order as the parameters of a URL, each followed by `&`.
    pub text: String,
    viewer: Option<i64>,
}

impl ListParams {
    /// The list as the caller may see it, and the most events of the page.
    pub fn list(self, caller: &Caller) -> Result<(EventList, usize), ApiError> {
        let limit = usize::try_from(self.limit.unwrap_or_default().0).unwrap_or(usize::MAX);
        let filters =
            filters!(self; status, event_name, event_type, user_id, error_code, received_after, received_before);
        Ok((EventList::of(filters, self.order, self.cursor, caller)?, limit))
    }
}

impl ExportParams {
    /// The list as the caller may see it.
    pub fn list(self, caller: &Caller) -> Result<EventList, ApiError> {
        let filters =
            filters!(self; status, event_name, event_type, user_id, error_code, received_after, received_before);
        EventList::of(filters, self.order, self.cursor, caller)
    }
}

impl EventList {
    fn of(filters: Filters, order: Option<Order>, cursor: Option<String>, caller: &Caller) -> Result<Self, ApiError> {
        let order = order.map_or(ListOrder::Desc, |order| order.0);
        let text = written(&filters, order);
        let viewer = viewer(caller);
        let filters = visible(filters, viewer, "a list of another user's events")?;
        let mut list = Self { query: ListQuery { filters, order }, after: None, text, viewer };
        match cursor {
            Some(cursor) => list.after = Some(cursor::read(&list.bound_to(), &cursor)?),
            // What was allowed for the first page is so for the others: an open range grows meanwhile.
            None => check_range(&list.query.filters)?,
        }
        Ok(list)
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

/// The order of a list.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Order(ListOrder);

impl TryFrom<String> for Order {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "asc" => Ok(Self(ListOrder::Asc)),
            "desc" => Ok(Self(ListOrder::Desc)),
            _ => Err("asc or desc"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::params::of_query;

    fn caller(scopes: &str) -> Caller {
        Caller {
            user_id: 7,
            email: String::new(),
            scopes: scopes.parse().expect("scopes"),
            token_id: 1,
            parent_id: None,
        }
    }

    fn read(query: &str, scopes: &str) -> Result<(EventList, usize), String> {
        let list = of_query::<ListParams>(query).and_then(|params| params.list(&caller(scopes)));
        list.map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_lists_parameters_are_known_once_and_in_range() {
        let (list, limit) = read("", "read").expect("a list of one's own");
        assert_eq!((limit, list.query.order, list.query.filters.user_id), (50, ListOrder::Desc, Some(7)));
        assert_eq!(read("limit=500&order=asc", "read:all").expect("a list").1, 500);
        let number = "expected a whole number from 1 to 500";
        let time = "a time as in RFC 3339";
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
        assert_eq!(read("user_id=8", "read:all").expect("allowed").0.query.filters.user_id, Some(8));
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
        let (list, _) = read(&format!("{query}order=asc"), "read").expect("a list");
        assert_eq!(list.text, format!("{query}order=asc&"));
        assert_eq!(list.query.filters.event_name.as_deref(), Some("a&b ü"));
    }
}
