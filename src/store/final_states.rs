//! How stored events ended, many at once.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;

use super::filters::{Filter, Filters, name};
use super::reading::Cells;
use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// How an event ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinalState {
    /// Its final state.
    pub status: Status,
    /// When it was processed, if it was.
    pub processed_at: Option<DateTime<Utc>>,
    /// Why it was not.
    pub error: Option<String>,
    /// The stable code of that reason.
    pub error_code: Option<String>,
}

impl Store {
    /// The final states of those of `ids` that have one; one statement, however many they are.
    pub async fn final_states(&self, ids: Vec<i64>, wait: Duration) -> Result<HashMap<i64, FinalState>, StoreError> {
        let mut filter = Filter::new(self.backend());
        name(&mut filter, &ids, &Filters::default());
        let statement = filter.select("id, status, processed_at, processing_error, error_code", "events", "");
        self.run("read how events ended", wait, move |conn| async move {
            let rows = conn.search(statement).await?;
            Ok(rows.iter().filter_map(final_state).collect())
        })
        .await
    }
}

/// The final state of an event that has one. What else cannot be read is empty: others wait as well.
fn final_state(row: &QueryResult) -> Option<(i64, FinalState)> {
    let mut cells = Cells::plain(row);
    let id = cells.get();
    let status = cells.status();
    let is_final = status.is_final() && cells.are_well();
    let end = FinalState { status, processed_at: cells.time_or_none(), error: cells.get(), error_code: cells.get() };
    is_final.then_some((id, end))
}
