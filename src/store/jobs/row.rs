//! The row of a job.

use chrono::{DateTime, Utc};
use entity::job;
use sea_orm::ActiveValue::Set;
use sea_orm::DbErr;

use super::super::filters::Filters;
use super::super::listing::ListPosition;
use super::{Job, JobKind, JobStatus, NewJob};
use crate::domain::outcome::Status;

/// The row of a job that is made now.
pub(super) fn row_of(new: NewJob, now: DateTime<Utc>, until_id: i64) -> job::ActiveModel {
    let filters = new.filters;
    job::ActiveModel {
        kind: Set(new.kind.as_str().to_owned()),
        status: Set(JobStatus::Running.as_str().to_owned()),
        by_user: Set(new.by),
        of_status: Set(filters.status.map(|status| status.as_str().to_owned())),
        of_event_name: Set(filters.event_name),
        of_event_type: Set(filters.event_type),
        of_user: Set(filters.user_id),
        of_error_code: Set(filters.error_code),
        received_after: Set(filters.received_after),
        received_before: Set(filters.received_before),
        patch: Set(new.patch),
        forced: Set(new.is_forced),
        until_id: Set(until_id),
        matched: Set(0),
        changed: Set(0),
        skipped: Set(0),
        refused: Set("{}".to_owned()),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    }
}

impl Job {
    pub(super) fn read(row: job::Model) -> Result<Self, DbErr> {
        let status = row
            .of_status
            .map(|text| Status::parse(&text).ok_or_else(|| DbErr::Type(format!("unknown status of events {text:?}"))));
        let filters = Filters {
            status: status.transpose()?,
            event_name: row.of_event_name,
            event_type: row.of_event_type,
            user_id: row.of_user,
            error_code: row.of_error_code,
            received_after: row.received_after,
            received_before: row.received_before,
        };
        let kind = JobKind::parse(&row.kind)?;
        let cursor = row.cursor_id.map(|id| ListPosition { received_at: row.cursor_at, id });
        Ok(Self {
            id: row.id,
            wanted: NewJob { kind, filters, patch: row.patch, is_forced: row.forced, by: row.by_user },
            status: JobStatus::parse(&row.status)?,
            matched: row.matched,
            changed: row.changed,
            skipped: row.skipped,
            refused: serde_json::from_str(&row.refused).map_err(|error| DbErr::Json(error.to_string()))?,
            error: row.error,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
            until_id: row.until_id,
            cursor,
        })
    }
}
