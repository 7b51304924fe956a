//! Pages of the lists of tokens and users, by id, each with a cursor that leads to the next one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LINK;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::cursor;
use crate::http::error::ApiError;
use crate::http::params::{Limit, whole};
use crate::http::respond::{header_value, json};
use crate::store::{Action, ListPosition};

/// The parameters of a list that has no filters.
#[derive(Debug, Deserialize)]
pub struct PageParams {
    limit: Option<Limit>,
    cursor: Option<String>,
}

/// The parameters of the list of tokens.
#[derive(Debug, Deserialize)]
pub struct TokenParams {
    limit: Option<Limit>,
    cursor: Option<String>,
    user_id: Option<AccountId>,
}

/// The parameters of the audit log.
#[derive(Debug, Deserialize)]
pub struct AuditParams {
    limit: Option<Limit>,
    cursor: Option<String>,
    action: Option<ActionName>,
    by_user: Option<AccountId>,
}

/// A user's id as a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct AccountId(i64);

/// An action of the audit log as a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct ActionName(Action);

/// A page of a list as it was requested.
#[derive(Debug, PartialEq)]
pub struct PageRequest {
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
#[schemars(rename = "{T}PageRequest")]
pub struct AccountPage<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl PageParams {
    /// The page of the list at the path `list`.
    pub fn page(self, list: &'static str) -> Result<PageRequest, ApiError> {
        PageRequest::of(list, self.limit).from(self.cursor)
    }
}

impl TokenParams {
    /// The page of the list at the path `list`.
    pub fn page(self, list: &'static str) -> Result<PageRequest, ApiError> {
        let user_id = self.user_id.map(|id| id.0);
        PageRequest { user_id, ..PageRequest::of(list, self.limit) }.from(self.cursor)
    }
}

impl AuditParams {
    /// The page of the list at the path `list`.
    pub fn page(self, list: &'static str) -> Result<PageRequest, ApiError> {
        let user_id = self.by_user.map(|id| id.0);
        let action = self.action.map(|action| action.0.as_str());
        PageRequest { user: "by_user", user_id, action, ..PageRequest::of(list, self.limit) }.from(self.cursor)
    }
}

impl TryFrom<String> for AccountId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = whole(&text, i64::MAX as u64).map(|id| Self(id.cast_signed()));
        id.ok_or_else(|| format!("a whole number from 1 to {}", i64::MAX))
    }
}

impl TryFrom<String> for ActionName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let action = Action::ALL.into_iter().find(|action| action.as_str() == text);
        action.map(Self).ok_or_else(|| format!("one of {}", Action::ALL.map(Action::as_str).join(", ")))
    }
}

impl PageRequest {
    /// The first page of the list at the path `list`.
    fn of(list: &'static str, limit: Option<Limit>) -> Self {
        Self { limit: limit.unwrap_or_default().0, after: 0, user_id: None, action: None, user: "user_id", list }
    }

    /// The page where the cursor leads, if there is one.
    fn from(self, cursor: Option<String>) -> Result<Self, ApiError> {
        let Some(cursor) = cursor else { return Ok(self) };
        let after = cursor::read(&self.filters(), &cursor)?.id;
        Ok(Self { after, ..self })
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

/// These lists are in the order of ids alone.
fn place(id: i64) -> ListPosition {
    ListPosition { received_at: None, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::params::of_query;

    fn read(query: &str) -> Result<PageRequest, String> {
        let page = of_query::<TokenParams>(query).and_then(|params| params.page("/x"));
        page.map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn parameters_are_known_once_and_in_range() {
        assert_eq!(read(""), Ok(PageRequest::of("/x", None)));
        assert_eq!(
            read("limit=500&user_id=7"),
            Ok(PageRequest { user_id: Some(7), ..PageRequest::of("/x", Some(Limit(500))) })
        );
        for (query, detail) in [
            ("user_id=0", "user_id is \"0\", expected a whole number from 1 to 9223372036854775807"),
            ("limit=1&limit=2", "the parameter limit is repeated, expected it once"),
            ("offset=3", "the parameter \"offset\" is unknown, expected limit, cursor, user_id"),
        ] {
            assert_eq!(read(query), Err(detail.to_owned()), "{query}");
        }
        assert!(of_query::<PageParams>("user_id=1").is_err());
        let action = of_query::<AuditParams>("action=x").expect_err("no action").detail().to_owned();
        assert!(action.starts_with("action is \"x\", expected one of "), "{action}");
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_filter_only() {
        let cursor =
            |list, user_id| cursor::write(&PageRequest { user_id, ..PageRequest::of(list, None) }.filters(), place(9));
        assert_eq!(read(&format!("cursor={}", cursor("/x", None))).map(|page| page.after), Ok(9));
        assert!(read(&format!("cursor={}", cursor("/y", None))).is_err());
        assert!(read(&format!("cursor={}", cursor("/x", Some(1)))).is_err());
        assert!(read(&format!("user_id=1&cursor={}", cursor("/x", Some(1)))).is_ok());
    }
}
