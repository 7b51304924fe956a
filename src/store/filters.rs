//! Which events a search looks for, and the conditions of its statement.

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, Statement, Value};

use super::dialect::{list, placeholder};
use super::plans::hidden;
use crate::domain::outcome::Status;

/// Conditions joined by AND, with their bound values.
pub(super) struct Filter {
    backend: DbBackend,
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    pub fn new(backend: DbBackend) -> Self {
        Self { backend, sql: "TRUE".to_owned(), values: Vec::new() }
    }

    pub fn backend(&self) -> DbBackend {
        self.backend
    }

    /// `condition` ends with the operator before the bound value.
    pub fn and(&mut self, condition: &str, value: Value) {
        let place = self.bind(value);
        self.and_sql(&format!("{condition} {place}"));
    }

    /// A condition whose values, if it has any, are bound already.
    pub fn and_sql(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// Binds a value and returns its placeholder.
    pub fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        placeholder(self.backend, self.values.len())
    }

    /// The conditions so far; what is added later stands apart from them.
    pub fn take_sql(&mut self) -> String {
        std::mem::replace(&mut self.sql, "TRUE".to_owned())
    }

    /// Selects `select` from `table` under the conditions, then `rest`.
    pub fn select(self, select: &str, table: &str, rest: &str) -> Statement {
        let sql = format!("SELECT {select} FROM {table} WHERE {} {rest}", self.sql);
        Statement::from_sql_and_values(self.backend, sql, self.values)
    }
}

/// The conditions for an event to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filters {
    /// Its state.
    pub status: Option<Status>,
    /// Its name.
    pub event_name: Option<String>,
    /// Its type.
    pub event_type: Option<String>,
    /// Its user.
    pub user_id: Option<i64>,
    /// The code of its error.
    pub error_code: Option<String>,
    /// Received at this time or later.
    pub received_after: Option<DateTime<Utc>>,
    /// Received before this time.
    pub received_before: Option<DateTime<Utc>>,
}

impl Filters {
    /// Whether an index leads to the events; else only a time range bounds how many are examined.
    pub fn have_an_index(&self) -> bool {
        let needs_none = self.event_type.is_none() && self.error_code.is_none() && self.status.is_none();
        needs_none || self.are_bad()
    }

    pub(super) fn are_bad(&self) -> bool {
        matches!(self.status, Some(Status::Failed | Status::ValidationError))
    }

    pub(super) fn have_a_range(&self) -> bool {
        self.received_after.is_some() || self.received_before.is_some()
    }
}

/// Adds the condition that an event is one of these and matches.
pub(super) fn name(filter: &mut Filter, ids: &[i64], filters: &Filters) {
    matches(filter, filters);
    let condition = hidden(&filter.take_sql());
    filter.and_sql(&format!("id IN ({}) AND {condition}", list(ids)));
}

/// Adds the conditions of all filters.
pub(super) fn matches(filter: &mut Filter, filters: &Filters) {
    if let Some(status) = filters.status {
        filter.and_sql(&format!("status = '{}'", status.as_str()));
    }
    if let Some(user_id) = filters.user_id {
        filter.and("user_id =", user_id.into());
    }
    let texts = [
        ("event_name =", &filters.event_name),
        ("event_type =", &filters.event_type),
        ("error_code =", &filters.error_code),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            filter.and(condition, text.as_str().into());
        }
    }
    range(filter, filters);
}

pub(super) fn range(filter: &mut Filter, filters: &Filters) {
    if let Some(after) = filters.received_after {
        filter.and("received_at >=", after.into());
    }
    if let Some(before) = filters.received_before {
        filter.and("received_at <", before.into());
    }
}
