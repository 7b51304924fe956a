//! Pages of the lists of tokens and users, by id, each with a cursor that leads to the next one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use actix_web::web::Query;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::error::ApiError;
use crate::http::events::cursor;
use crate::http::fields::shown;
use crate::http::respond::{header_value, json};
use crate::store::{Action, ListPosition};

/// Rows on a page when the client does not say.
pub const PAGE_DEFAULT: u64 = 50;
/// Most rows on a page.
pub const PAGE_MAX: u64 = 500;

/// The request parameters of a list.
#[derive(Debug, PartialEq)]
pub struct PageParams {
    /// Most rows of the page.
    pub limit: u64,
    /// The id after which the page begins.
    pub after: i64,
    /// Only what is of this user, or was done by it.
    pub user_id: Option<i64>,
    /// Only this action of the audit log.
    pub action: Option<&'static str>,
    /// What the parameter for the user is called.
    user: &'static str,
    list: &'static str,
}

/// A page of a list.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "{T}Page")]
pub struct AccountPage<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl PageParams {
    /// Reads the parameters of the list at the path `list`, which takes those in `known`.
    pub fn read(list: &'static str, known: &[&str], query: &str) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::invalid_request(format!("the query cannot be read: {error}")))?;
        let user = if known.contains(&"by_user") { "by_user" } else { "user_id" };
        let (mut limit, mut cursor, mut user_id, mut action) = (None, None, None, None);
        for (name, value) in pairs.into_inner() {
            let place = match name.as_str() {
                name if !known.contains(&name) => return Err(unknown(name, known)),
                "limit" => &mut limit,
                "user_id" | "by_user" => &mut user_id,
                "action" => &mut action,
                _ => &mut cursor,
            };
            if place.replace(value).is_some() {
                return Err(ApiError::invalid_request(format!("the parameter {name} is repeated, expected it once")));
            }
        }
        let limit = limit.map_or(Ok(PAGE_DEFAULT), |text| whole("limit", &text, PAGE_MAX))?;
        let user_id = user_id.map(|text| whole(user, &text, i64::MAX as u64)).transpose()?;
        let action = action.map(|text| known_action(&text)).transpose()?;
        let params = Self { limit, after: 0, user_id: user_id.map(u64::cast_signed), action, user, list };
        let after = cursor.map_or(Ok(0), |text| cursor::read(&params.filters(), &text).map(|place| place.id))?;
        Ok(Self { after, ..params })
    }

    /// Rows to fetch: one more than requested, to see whether there is a next page.
    pub fn fetched(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts the row that is too many off, and gives the id after which the next page begins, if there is one.
    pub fn cut<R>(&self, rows: &mut Vec<R>, id: impl Fn(&R) -> i64) -> Option<i64> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        rows.last().filter(|_| has_more).map(id)
    }

    /// The answer with these rows, of which the next ones come after the id `next`.
    pub fn respond<V: Serialize>(&self, data: Vec<V>, next: Option<i64>) -> HttpResponse {
        let next_cursor = next.map(|id| cursor::write(&self.filters(), place(id)));
        let link = next_cursor.as_ref().map(|cursor| {
            let user = self.user_id.map_or_else(String::new, |id| format!("&{}={id}", self.user));
            let action = self.action.map_or_else(String::new, |action| format!("&action={action}"));
            format!("<{}?limit={}&cursor={cursor}{user}{action}>; rel=\"next\"", self.list, self.limit)
        });
        let mut response = json(StatusCode::OK, &AccountPage { data, next_cursor });
        if let Some(link) = link {
            response.headers_mut().insert(LINK, header_value(link));
        }
        response
    }

    /// What a cursor is bound to.
    fn filters(&self) -> String {
        let action = self.action.map_or_else(String::new, |action| format!(" action={action}"));
        format!("{} user={:?}{action}", self.list, self.user_id)
    }
}

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let shown: String = name.chars().take(40).collect();
    ApiError::invalid_request(format!("the parameter {shown:?} is unknown, expected {}", known.join(" or ")))
}

fn whole(name: &str, text: &str, most: u64) -> Result<u64, ApiError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && (1..=most).contains(number)).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        ApiError::invalid_request(format!("{name} is {shown:?}, expected a whole number from 1 to {most}"))
    })
}

fn known_action(text: &str) -> Result<&'static str, ApiError> {
    let mut all = Action::ALL.into_iter().map(Action::as_str);
    all.find(|action| *action == text).ok_or_else(|| {
        let (shown, all) = (shown(text), Action::ALL.map(Action::as_str).join(", "));
        ApiError::invalid_request(format!("action is {shown}, expected one of {all}"))
    })
}

/// These lists are in the order of ids alone.
fn place(id: i64) -> ListPosition {
    ListPosition { received_at: None, id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(limit: u64, user_id: Option<i64>) -> PageParams {
        PageParams { limit, after: 0, user_id, action: None, user: "user_id", list: "/x" }
    }

    fn read(query: &str) -> Result<PageParams, String> {
        PageParams::read("/x", &["limit", "cursor", "user_id"], query).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn parameters_are_known_once_and_in_range() {
        assert_eq!(read(""), Ok(params(50, None)));
        assert_eq!(read("limit=500&user_id=7"), Ok(params(500, Some(7))));
        for (query, detail) in [
            ("limit=501", "limit is \"501\", expected a whole number from 1 to 500"),
            ("limit=%2B1", "limit is \"+1\", expected a whole number from 1 to 500"),
            ("user_id=0", "user_id is \"0\", expected a whole number from 1 to 9223372036854775807"),
            ("limit=1&limit=2", "the parameter limit is repeated, expected it once"),
            ("offset=3", "the parameter \"offset\" is unknown, expected limit or cursor or user_id"),
        ] {
            assert_eq!(read(query), Err(detail.to_owned()), "{query}");
        }
        assert!(PageParams::read("/x", &["limit", "cursor"], "user_id=1").is_err());
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_filter_only() {
        let cursor = |list, user_id| cursor::write(&PageParams { list, ..params(1, user_id) }.filters(), place(9));
        assert_eq!(read(&format!("cursor={}", cursor("/x", None))).map(|params| params.after), Ok(9));
        assert!(read(&format!("cursor={}", cursor("/y", None))).is_err());
        assert!(read(&format!("cursor={}", cursor("/x", Some(1)))).is_err());
        assert!(read(&format!("user_id=1&cursor={}", cursor("/x", Some(1)))).is_ok());
    }
}
