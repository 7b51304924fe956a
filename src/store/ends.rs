//! How stored events ended, many at once.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::event::{Column, Entity};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// How an event ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Its final state.
    pub status: Status,
    /// When it was processed, if it was.
    pub processed_at: Option<DateTime<Utc>>,
    /// Why it was not.
    pub error: Option<String>,
    /// The stable code of that reason.
    pub error_code: Option<String>,
}

type Row = (i64, String, Option<DateTime<Utc>>, Option<String>, Option<String>);

impl Store {
    /// The ends of those of `ids` that have come to theirs; one statement, however many they are.
    pub async fn ends(&self, ids: Vec<i64>, wait: Duration) -> Result<HashMap<i64, End>, StoreError> {
        self.run("read how events ended", wait, move |conn| async move {
            let columns = [Column::Id, Column::Status, Column::ProcessedAt, Column::ProcessingError, Column::ErrorCode];
            let wanted = Entity::find().select_only().columns(columns).filter(Column::Id.is_in(ids));
            let rows: Vec<Row> = wanted.into_tuple().all(conn.read()).await?;
            let mut ends = HashMap::new();
            for (id, status, processed_at, error, error_code) in rows {
                let status = Status::parse(&status).ok_or_else(|| DbErr::Type(format!("unknown status {status:?}")))?;
                if status.is_final() {
                    ends.insert(id, End { status, processed_at, error, error_code });
                }
            }
            Ok(ends)
        })
        .await
    }
}
