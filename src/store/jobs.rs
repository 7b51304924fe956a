//! Jobs: what an operator wants done with all events that match a filter, and how far it has come.
//!
//! Guarantees: a job goes on in pieces, each in one transaction with its position and its counts, so that a crash
//! repeats nothing and loses nothing. Work on a piece locks the job's row; there is no other claim, and any node may do
//! the next piece. A job meets each event at most once, and only those that were stored when it was made.

mod chunk;
mod row;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::job;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Statement,
};
use serde_json::json;

pub use self::chunk::JobStep;
use self::row::row_of;
use super::audit::{self, Action, Principal};
use super::dialect::{now, present};
use super::error::StoreError;
use super::filters::Filters;
use super::listing::{self, ListPosition, Within};
use super::open::Store;
use super::plans;
use crate::domain::outcome::{Status, cut};

/// Jobs that run at once, in turns; those that are made at the same instant may be some more.
const RUNNING_MAX: i64 = 100;

/// A job can be ended although a piece of it that takes long is under way.
const WAIT_FOR_A_PIECE: &str = "SET LOCAL lock_timeout = '4s'";

/// Events that a dry run names.
const EXAMPLES_MAX: usize = 10;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Has events processed anew.
    Retry,
    /// Calls pending events off.
    Cancel,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// It goes on.
    Running,
    /// It has met every event.
    Done,
    /// It met something that another try would meet as well.
    Failed,
    /// An operator stopped it.
    Cancelled,
}

/// What a new job is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// With which events.
    pub filters: Filters,
    /// What is changed in their payloads, as it was sent.
    pub patch: Option<String>,
    /// Whether processed events are processed anew as well.
    pub is_forced: bool,
    /// The user that ordered it.
    pub by: i64,
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Given by the database.
    pub id: i64,
    /// What it is meant to do.
    pub wanted: NewJob,
    /// Its state.
    pub status: JobStatus,
    /// Events that matched so far.
    pub matched: i64,
    /// Of these: those that were reopened, or called off.
    pub changed: i64,
    /// Of these: those that had been changed otherwise by then, or were being worked on.
    pub skipped: i64,
    /// Of these: how many were refused, by code.
    pub refused: BTreeMap<String, i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last got on.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    until_id: i64,
    cursor: Option<ListPosition>,
}

/// What a job would find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPreview {
    /// Events that match.
    pub matched: u64,
    /// The first of them.
    pub event_ids: Vec<i64>,
    /// Whether that is all; else the look was broken off.
    pub is_complete: bool,
}

impl JobKind {
    /// The kind as it appears in answers and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    fn parse(text: &str) -> Result<Self, DbErr> {
        let kind = [Self::Retry, Self::Cancel].into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| DbErr::Type(format!("unknown kind of a job {text:?}")))
    }
}

impl JobStatus {
    /// The status as it appears in answers and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(text: &str) -> Result<Self, DbErr> {
        let all = [Self::Running, Self::Done, Self::Failed, Self::Cancelled];
        let status = all.into_iter().find(|status| status.as_str() == text);
        status.ok_or_else(|| DbErr::Type(format!("unknown status of a job {text:?}")))
    }
}

impl NewJob {
    /// The states of the events that it changes; empty if there is none that it could.
    pub fn states(&self) -> Vec<Status> {
        let mut all = match self.kind {
            JobKind::Retry => vec![Status::Failed, Status::ValidationError, Status::Cancelled],
            JobKind::Cancel => vec![Status::Pending],
        };
        if self.is_forced {
            all.push(Status::Processed);
        }
        match self.filters.status {
            None => all,
            // It waits, and is to wait no longer.
            Some(Status::Pending) => vec![Status::Pending],
            Some(status) => all.into_iter().filter(|possible| *possible == status).collect(),
        }
    }

    /// The filters of its walk, when it was made at this time.
    fn walked(&self, made_at: DateTime<Utc>) -> Filters {
        let mut filters = self.filters.clone();
        if filters.received_after.is_some() {
            filters.received_before = Some(filters.received_before.map_or(made_at, |before| before.min(made_at)));
        }
        filters
    }
}

impl Store {
    /// Creates a job, which goes on by itself; `None` while too many run.
    pub async fn create_job(&self, new: NewJob, by: &Principal, wait: Duration) -> Result<Option<Job>, StoreError> {
        let by = by.clone();
        self.transaction("make a job", wait, move |tx| {
            Box::pin(async move {
                if number(tx, "SELECT COUNT(*) FROM jobs WHERE status = 'running'").await? >= RUNNING_MAX {
                    return Ok(None);
                }
                let row = row_of(new, present(tx).await?, last_id(tx).await?);
                let job = Job::read(job::Entity::insert(row).exec_with_returning(tx).await?)?;
                let detail = json!({
                    "kind": job.wanted.kind.as_str(),
                    "force": job.wanted.is_forced,
                    "patched": job.wanted.patch.is_some(),
                });
                audit::note(tx, &by, Action::JobMade, object(job.id), detail).await?;
                Ok(Some(job))
            })
        })
        .await
    }

    /// What a job would find now, looking at most at this many pieces of the table.
    pub async fn rehearse_job(&self, new: NewJob, pieces: usize, wait: Duration) -> Result<JobPreview, StoreError> {
        self.run("rehearse a job", wait, move |conn| async move {
            let tx = conn.read().begin().await?;
            plans::indexes_only(&tx).await?;
            let made_at = present(&tx).await?;
            let states = new.states();
            let until = ListPosition { received_at: Some(made_at), id: last_id(&tx).await? };
            let filters = new.walked(made_at);
            let within = Within { states: &states, until };
            let mut found = JobPreview::default();
            let mut after = None;
            for _ in 0..pieces {
                let (places, next) = listing::scan_matches(&tx, &filters, &within, after, usize::MAX).await?;
                found.matched += places.len() as u64;
                let room = EXAMPLES_MAX - found.event_ids.len();
                found.event_ids.extend(places.iter().take(room).map(|place| place.id));
                found.is_complete = next.is_none();
                after = next;
                if found.is_complete {
                    break;
                }
            }
            tx.commit().await?;
            Ok(found)
        })
        .await
    }

    /// How the database looks for the events of a job that goes as far as `until`: the lines of its plan, on PostgreSQL
    /// with what it read.
    pub async fn explain_job(
        &self,
        new: NewJob,
        until: ListPosition,
        after: Option<ListPosition>,
        wait: Duration,
    ) -> Result<Vec<String>, StoreError> {
        self.run("explain a job", wait, move |conn| async move {
            let filters = new.walked(until.received_at.unwrap_or_default());
            let states = new.states();
            listing::explain_walk(&conn, &filters, &Within { states: &states, until }, after).await
        })
        .await
    }

    /// The job `id`, if `visible_to` made it (`None` sees everyone's).
    pub async fn job(&self, id: i64, visible_to: Option<i64>, wait: Duration) -> Result<Option<Job>, StoreError> {
        self.run("read a job", wait, move |conn| async move {
            let found = job::Entity::find_by_id(id)
                .apply_if(visible_to, |rows, user_id| rows.filter(job::Column::ByUser.eq(user_id)))
                .one(conn.read())
                .await?;
            Ok(found.map(Job::read).transpose()?)
        })
        .await
    }

    /// At most `limit` jobs with an id below `before`, the newest first, of one user or of all.
    pub async fn jobs_before(
        &self,
        visible_to: Option<i64>,
        before: i64,
        limit: u64,
        wait: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        self.run("list jobs", wait, move |conn| async move {
            let rows = job::Entity::find()
                .apply_if(visible_to, |rows, user_id| rows.filter(job::Column::ByUser.eq(user_id)))
                .filter(job::Column::Id.lt(before))
                .order_by_desc(job::Column::Id)
                .limit(limit)
                .all(conn.read())
                .await?;
            Ok(rows.into_iter().map(Job::read).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Stops a job after the piece that is under way; one that has ended stays as it is.
    pub async fn stop_job(&self, id: i64, by: &Principal, wait: Duration) -> Result<(), StoreError> {
        self.end_job(id, JobStatus::Cancelled, None, Some(by.clone()), wait).await
    }

    /// Ends a job that cannot go on.
    pub async fn fail_job(&self, id: i64, error: &str, wait: Duration) -> Result<(), StoreError> {
        self.end_job(id, JobStatus::Failed, Some(cut(error)), None, wait).await
    }

    /// The running job that has waited longest for its next piece, of those that no node is at work on.
    pub async fn running_job(&self, wait: Duration) -> Result<Option<i64>, StoreError> {
        self.run("look for jobs", wait, |conn| async move {
            let lock = if conn.backend() == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
            let sql = format!("SELECT id FROM jobs WHERE status = 'running' ORDER BY updated_at LIMIT 1 {lock}");
            let row = conn.write().query_one_raw(Statement::from_string(conn.backend(), sql)).await?;
            Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
        })
        .await
    }

    /// Puts a job behind the others after a failed piece.
    pub async fn put_job_off(&self, id: i64, wait: Duration) -> Result<(), StoreError> {
        self.run("put a job off", wait, move |conn| async move {
            let update = job::Entity::update_many()
                .col_expr(job::Column::UpdatedAt, now(conn.write()))
                .filter(job::Column::Id.eq(id));
            Ok(update.exec(conn.write()).await.map(drop)?)
        })
        .await
    }

    async fn end_job(
        &self,
        id: i64,
        status: JobStatus,
        error: Option<String>,
        by: Option<Principal>,
        wait: Duration,
    ) -> Result<(), StoreError> {
        self.transaction("end a job", wait, move |tx| {
            Box::pin(async move {
                if tx.get_database_backend() == DbBackend::Postgres {
                    tx.execute_unprepared(WAIT_FOR_A_PIECE).await?;
                }
                let ended = job::Entity::update_many()
                    .col_expr(job::Column::Status, Expr::value(status.as_str()))
                    .col_expr(job::Column::Error, Expr::value(error))
                    .col_expr(job::Column::UpdatedAt, now(tx))
                    .col_expr(job::Column::FinishedAt, now(tx))
                    .filter(job::Column::Id.eq(id))
                    .filter(job::Column::Status.eq(JobStatus::Running.as_str()))
                    .exec(tx)
                    .await?;
                if let Some(by) = by.filter(|_| ended.rows_affected > 0) {
                    audit::note(tx, &by, Action::JobStopped, object(id), json!({})).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// The job's name in the audit log.
fn object(id: i64) -> String {
    format!("jobs/{id}")
}

/// The highest id in the table: what is stored later lies beyond it, or was received later.
async fn last_id(tx: &DatabaseTransaction) -> Result<i64, DbErr> {
    number(tx, "SELECT COALESCE(MAX(id), 0) FROM events").await
}

async fn number(tx: &DatabaseTransaction, sql: &'static str) -> Result<i64, DbErr> {
    let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}
