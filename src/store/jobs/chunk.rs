//! A piece of a job: some events are changed, noted and counted, and the job's position moves on, in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::job;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QuerySelect, Statement,
};

use super::super::dialect::{now_sql, present};
use super::super::filters::Filters;
use super::super::listing::{self, ListPosition, Within};
use super::super::reading::{self, ReadBudget};
use super::super::replay::rows::{self, ChangeContext, EventSnapshot};
use super::super::{ReplayRules, Store, StoreError, notifications};
use super::{Job, JobKind, JobStatus};
use crate::domain::json::JsonText;
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;

/// Most events of a piece.
const EVENTS_MAX: usize = 500;

/// Most bytes of their payloads; the event that passes it is still taken.
const BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// While more events than this are due and not claimed, a retry waits: new work must not stand behind all of the old.
const BACKLOG_MAX: i64 = 2_000;

/// How a job got on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// Not at all: it has ended, or another node is at work on it.
    Unavailable,
    /// Not at all: too much waits to be processed.
    Crowded,
    /// By a piece in which so many events were changed.
    Advanced(usize),
    /// To its end, with a last piece.
    Ended(usize),
}

/// What was done with the events of a piece.
#[derive(Default)]
struct Done {
    matched: usize,
    changed: usize,
    refused: HashMap<i64, &'static str>,
}

impl Store {
    /// Does the next piece of the job `id`.
    pub async fn advance_job(&self, id: i64, rules: ReplayRules, wait: Duration) -> Result<JobStep, StoreError> {
        let room = self.room_for(BYTES_MAX);
        self.transaction("advance a job", wait, move |tx| {
            Box::pin(async move {
                let Some(job) = hold(tx, id).await? else { return Ok(JobStep::Unavailable) };
                let now = present(tx).await?;
                if job.wanted.kind == JobKind::Retry && is_crowded(tx).await? {
                    touched(&job, now).update(tx).await?;
                    return Ok(JobStep::Crowded);
                }
                let (done, next) = change(tx, &job, &rules, room).await?;
                let changed = done.changed;
                if changed > 0 && job.wanted.kind == JobKind::Retry {
                    notifications::work_is_due(tx).await?;
                }
                moved(&job, done, next, now).update(tx).await?;
                Ok(if next.is_some() { JobStep::Advanced(changed) } else { JobStep::Ended(changed) })
            })
        })
        .await
    }
}

/// The running job; no other transaction does a piece of it until the end of this one.
async fn hold(tx: &DatabaseTransaction, id: i64) -> Result<Option<Job>, DbErr> {
    let mut rows = job::Entity::find_by_id(id).filter(job::Column::Status.eq(JobStatus::Running.as_str()));
    if tx.get_database_backend() == DbBackend::Postgres {
        rows = rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    rows.one(tx).await?.map(Job::read).transpose()
}

async fn is_crowded(tx: &DatabaseTransaction) -> Result<bool, DbErr> {
    let backend = tx.get_database_backend();
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE status = 'pending' AND lease_boot IS NULL \
         AND suspect = FALSE AND next_attempt_at <= {} LIMIT {}) AS due",
        now_sql(backend),
        BACKLOG_MAX + 1
    );
    let row = tx.query_one_raw(Statement::from_string(backend, sql)).await?;
    let due: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(due > BACKLOG_MAX)
}

/// The next events, and where the piece after them begins.
async fn next_places(
    tx: &DatabaseTransaction,
    job: &Job,
) -> Result<(Vec<i64>, Vec<ListPosition>, Option<ListPosition>), DbErr> {
    let filters = job.wanted.walked(job.created_at);
    let states = job.wanted.states();
    let within =
        Within { states: &states, until: ListPosition { received_at: Some(job.created_at), id: job.until_id } };
    let (places, next) = listing::scan_matches(tx, &filters, &within, job.cursor, EVENTS_MAX).await?;
    Ok((places.iter().map(|place| place.id).collect(), places, next))
}

/// Changes the next events, as far as their payloads may be read at once, and returns where the next piece begins.
async fn change(
    tx: &DatabaseTransaction,
    job: &Job,
    rules: &ReplayRules,
    room: ReadBudget,
) -> Result<(Done, Option<ListPosition>), StoreError> {
    let patch = patch_of(job, rules)?;
    let (mut ids, places, mut next) = next_places(tx, job).await?;
    if ids.is_empty() {
        return Ok((Done::default(), next));
    }
    let seen = rows::lock(tx, &ids, None, rules.keys_live_for).await?;
    let mut payloads = HashMap::new();
    if job.wanted.kind == JobKind::Retry {
        let read = reading::read(tx, &ids, &Filters::default(), room).await?;
        if read.looked_at < ids.len() {
            ids.truncate(read.looked_at);
            next = places[..read.looked_at].last().copied();
        }
        payloads = read.events.into_iter().map(|event| (event.id, event)).collect();
    }
    let states = job.wanted.states();
    // It may have changed since it was met.
    let mut wanted: Vec<&EventSnapshot> = ids.iter().filter_map(|id| seen.get(id)).collect();
    wanted.retain(|event| is_wanted(job, &states, event));
    wanted.sort_unstable_by_key(|event| event.id);
    let change = ChangeContext { by: job.wanted.by, job: Some(job.id), patch: patch.as_ref() };
    let mut refused = HashMap::new();
    match job.wanted.kind {
        JobKind::Retry => {
            let (why, patched) = rows::judge(&wanted, payloads, patch.as_ref(), rules);
            wanted.retain(|event| !why.contains_key(&event.id));
            rows::reopen(tx, &wanted, &patched, None, change).await?;
            refused = why.into_iter().map(|(id, refusal)| (id, refusal.code())).collect();
        }
        JobKind::Cancel => {
            let ids: Vec<i64> = wanted.iter().map(|event| event.id).collect();
            rows::cancel(tx, &ids, change).await?;
        }
    }
    Ok((Done { matched: ids.len(), changed: wanted.len(), refused }, next))
}

fn is_wanted(job: &Job, states: &[Status], event: &EventSnapshot) -> bool {
    let code = &job.wanted.filters.error_code;
    let is_free = job.wanted.kind == JobKind::Cancel || !event.is_held;
    states.contains(&event.status) && is_free && (code.is_none() || *code == event.error_code)
}

/// It was held to the limits when the job was made; the present ones may be others.
fn patch_of(job: &Job, rules: &ReplayRules) -> Result<Option<Patch>, DbErr> {
    let Some(text) = &job.wanted.patch else { return Ok(None) };
    let text = JsonText::parse(text.as_str()).map_err(|error| DbErr::Json(error.to_string()))?;
    let patch = Patch::new(text, &rules.limits);
    patch.map(Some).map_err(|rejection| DbErr::Custom(format!("the patch is not valid any more: {}", rejection.error)))
}

fn touched(job: &Job, now: DateTime<Utc>) -> job::ActiveModel {
    job::ActiveModel { id: Set(job.id), updated_at: Set(now), ..Default::default() }
}

fn moved(job: &Job, done: Done, next: Option<ListPosition>, now: DateTime<Utc>) -> job::ActiveModel {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut refused = job.refused.clone();
    for code in done.refused.values() {
        *refused.entry((*code).to_owned()).or_default() += 1;
    }
    let skipped = done.matched - done.changed - done.refused.len();
    let mut row = job::ActiveModel {
        matched: Set(job.matched + number(done.matched)),
        changed: Set(job.changed + number(done.changed)),
        skipped: Set(job.skipped + number(skipped)),
        refused: Set(serde_json::to_string(&refused).expect("a map of texts and numbers is JSON")),
        ..touched(job, now)
    };
    match next {
        Some(place) => {
            row.cursor_at = Set(place.received_at);
            row.cursor_id = Set(Some(place.id));
        }
        None => {
            row.status = Set(JobStatus::Done.as_str().to_owned());
            row.finished_at = Set(Some(now));
        }
    }
    row
}
