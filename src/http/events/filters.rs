//! Filters of events, in a query or in the body of a job: which there are, out of which text, and which of them a caller
//! may use.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::viewer;
use crate::clock;
use crate::domain::json::{JsonKind, integer};
use crate::domain::outcome::Status;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::scopes::Scope;
use crate::domain::timestamp;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::fields::Fields;
use crate::http::params::{of_pairs, whole};
use crate::http::problems::Problem;
use crate::store::Filters;

/// Longest time range, in days: what it holds has to be looked at one by one when no index fits the other filters.
const RANGE_DAYS_MAX: i64 = 31;
/// Most characters of a name, type or code, as in the table.
const TEXT_CHARS_MAX: usize = 255;
/// The parameters that filter, in the order in which they are written.
pub(super) const FILTERS: [&str; 7] =
    ["status", "event_name", "event_type", "user_id", "error_code", "received_after", "received_before"];

/// The member that alone is a number.
const USER_ID: &str = "user_id";

/// A status as a filter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StatusFilter(pub Status);

/// A name, type or code as a filter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TextFilter(pub String);

/// An id as a filter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct IdFilter(pub i64);

/// A time as a filter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TimeFilter(pub DateTime<Utc>);

/// The filter of a job, as the members of an object.
#[derive(Deserialize)]
struct JobFilter {
    status: Option<StatusFilter>,
    event_name: Option<TextFilter>,
    event_type: Option<TextFilter>,
    user_id: Option<IdFilter>,
    error_code: Option<TextFilter>,
    received_after: Option<TimeFilter>,
    received_before: Option<TimeFilter>,
}

/// The parameters of a stream, which the feed leads to its events.
#[derive(Deserialize)]
pub struct StreamParams {
    status: Option<StatusFilter>,
    event_name: Option<TextFilter>,
    event_type: Option<TextFilter>,
}

/// The parameters of the newest outcomes, one by one as they happen.
#[derive(Deserialize)]
pub struct NewestParams {
    status: Option<StatusFilter>,
    event_name: Option<TextFilter>,
    event_type: Option<TextFilter>,
    user_id: Option<IdFilter>,
    error_code: Option<TextFilter>,
}

/// The filters in the fields of a struct of parameters.
macro_rules! filters {
    ($params:expr; $($field:ident),*) => {{
        let mut filters = Filters::default();
        $(filters.$field = $params.$field.map(|value| value.0);)*
        filters
    }};
}

pub(super) use filters;

impl StreamParams {
    /// The filters for the events that the caller may see.
    pub fn filters(self, caller: &Caller) -> Filters {
        Filters { user_id: viewer(caller), ..filters!(self; status, event_name, event_type) }
    }
}

impl NewestParams {
    /// The filters for the events that the caller may see.
    pub fn filters(self, caller: &Caller) -> Result<Filters, ApiError> {
        let filters = filters!(self; status, event_name, event_type, user_id, error_code);
        visible(filters, viewer(caller), "watching another user's events")
    }
}

/// The filters of a job, from the members of an object; they must be some.
fn filters_of_job(members: Vec<(String, String)>, caller: &Caller) -> Result<Filters, ApiError> {
    let given: JobFilter = of_pairs("member", members)?;
    let filters = filters!(given; status, event_name, event_type, user_id, error_code, received_after, received_before);
    if filters == Filters::default() {
        let detail = format!("the filter is empty, expected at least one of {}", FILTERS.join(", "));
        return Err(ApiError::invalid_request(detail));
    }
    let filters = visible(filters, viewer(caller), "changing another user's events")?;
    check_range(&filters)?;
    Ok(filters)
}

/// The filters for the events that the viewer may see.
pub(super) fn visible(filters: Filters, viewer: Option<i64>, what: &str) -> Result<Filters, ApiError> {
    if viewer.is_some() && filters.user_id.is_some_and(|user_id| Some(user_id) != viewer) {
        return Err(ApiError::forbidden(Scope::ReadAll, what));
    }
    Ok(Filters { user_id: filters.user_id.or(viewer), ..filters })
}

/// An open range ends now.
pub(super) fn check_range(filters: &Filters) -> Result<(), ApiError> {
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

impl TryFrom<String> for StatusFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Status::parse(&text).map(Self).ok_or("a status of events")
    }
}

impl TryFrom<String> for TextFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // PostgreSQL takes no NUL in a text, and no event has one.
        let is_storable = !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.contains('\0');
        is_storable.then_some(Self(text)).ok_or("1 to 255 characters")
    }
}

impl TryFrom<String> for IdFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        whole(&text, i64::MAX as u64).map(|id| Self(id.cast_signed())).ok_or("a positive integer")
    }
}

impl TryFrom<String> for TimeFilter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // A `+` in a URL is a space.
        let whole = text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
        let expected = match whole.as_deref().and_then(timestamp::parse) {
            Some(_) => "a time as in RFC 3339, in a URL with %2B for +",
            None => "a time as in RFC 3339",
        };
        timestamp::parse(&text).map(Self).ok_or(expected)
    }
}

/// The filter under `filter`, whose members are the parameters of a list; what is wrong with it is a flaw of the body.
pub fn filters_in_body(fields: &mut Fields, caller: &Caller) -> Result<Option<Filters>, ApiError> {
    let Some(object) = fields.required("filter", Fields::object) else { return Ok(None) };
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object.as_str())
        .map_err(|_| flaw("/filter", "filter has a name with a lone surrogate escape".to_owned()))?;
    let mut pairs = Vec::new();
    for (name, value) in members {
        let value = value.get();
        if JsonKind::of(value) != JsonKind::Null {
            let text = text_of(&name, value)?;
            pairs.push((name, text));
        }
    }
    match filters_of_job(pairs, caller) {
        Ok(filters) => Ok(Some(filters)),
        Err(error) if error.problem() == Problem::InvalidRequest => Err(flaw("/filter", error.detail().to_owned())),
        Err(error) => Err(error),
    }
}

/// A member's value as it would stand in a query.
fn text_of(name: &str, value: &str) -> Result<String, ApiError> {
    let expected = if name == USER_ID { JsonKind::Number } else { JsonKind::String };
    let shown: String = name.chars().take(40).collect();
    let kind = JsonKind::of(value);
    if kind != expected {
        let detail = format!("filter/{shown} is {}, expected {}", kind.with_article(), expected.with_article());
        return Err(flaw(&format!("/filter/{shown}"), detail));
    }
    if expected == JsonKind::Number {
        return Ok(integer(value).map_or_else(|| value.to_owned(), |number| number.to_string()));
    }
    let surrogate = || flaw(&format!("/filter/{shown}"), format!("filter/{shown} has a lone surrogate escape"));
    serde_json::from_str(value).map_err(|_| surrogate())
}

/// 422: a part of the body is wrong.
pub fn flaw(pointer: &str, detail: String) -> ApiError {
    ApiError::invalid_fields(Rejection::of(Flaw::new(RejectCode::InvalidField, pointer, detail)))
}
