//! A piece of a job: some events are changed, noted and counted, and the job's place moves on, in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use entity::job;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QuerySelect, Statement,
};

use super::super::dialect::{list, now_sql};
use super::super::listing::{self, Place, Within};
use super::super::replay::rows::{self, Change, Seen};
use super::super::{ReplayRules, Store, StoreError, hints};
use super::{Job, JobKind, JobStatus};
use crate::clock;
use crate::domain::json::JsonText;
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;

/// Most events of a piece.
const EVENTS_MAX: usize = 500;

/// Most bytes of their payloads; the event that passes it is still taken.
const BYTES_MAX: i64 = 8 * 1_024 * 1_024;

/// While more events than this are due and not claimed, a retry waits: new work must not stand behind all of the old.
const BACKLOG_MAX: i64 = 2_000;

/// How a job got on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not at all: it has ended, or somebody else is at work on it.
    Elsewhere,
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
    pub async fn advance_job(&self, id: i64, rules: ReplayRules, wait: Duration) -> Result<Step, StoreError> {
        self.transaction("advance a job", wait, move |tx| {
            Box::pin(async move {
                let Some(job) = hold(tx, id).await? else { return Ok(Step::Elsewhere) };
                if job.wanted.kind == JobKind::Retry && is_crowded(tx).await? {
                    touch(&job).update(tx).await?;
                    return Ok(Step::Crowded);
                }
                let (places, next) = take_places(tx, &job).await?;
                let done = change(tx, &job, &places, &rules).await?;
                let changed = done.changed;
                if changed > 0 && job.wanted.kind == JobKind::Retry {
                    hints::work_is_due(tx).await?;
                }
                moved(&job, done, next).update(tx).await?;
                Ok(if next.is_some() { Step::Advanced(changed) } else { Step::Ended(changed) })
            })
        })
        .await
    }
}

/// The running job, of which nobody else does a piece until the end of the transaction.
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
async fn take_places(tx: &DatabaseTransaction, job: &Job) -> Result<(Vec<Place>, Option<Place>), DbErr> {
    let (filters, states) = (job.wanted.walked(job.created_at), job.wanted.states());
    let within = Within { states: &states, until: Place { received_at: job.created_at, id: job.until_id } };
    let (mut places, next) = listing::meet(tx, &filters, &within, job.cursor, EVENTS_MAX).await?;
    let weights = weights(tx, &places).await?;
    let mut bytes = 0;
    let fits = |place: &&Place| {
        let has_room = bytes < BYTES_MAX;
        bytes += weights.get(&place.id).copied().unwrap_or_default();
        has_room
    };
    let taken = places.iter().take_while(fits).count();
    let is_cut = taken < places.len();
    places.truncate(taken);
    let next = if is_cut { places.last().copied() } else { next };
    Ok((places, next))
}

/// The bytes of each event's payload.
async fn weights(tx: &DatabaseTransaction, places: &[Place]) -> Result<HashMap<i64, i64>, DbErr> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let backend = tx.get_database_backend();
    let json = if backend == DbBackend::Postgres { "::text" } else { "" };
    let ids: Vec<i64> = places.iter().map(|place| place.id).collect();
    let sql = format!(
        "SELECT id, CAST(COALESCE(length(payload{json}), 0) AS BIGINT) FROM events WHERE id IN ({})",
        list(&ids)
    );
    let rows = tx.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

async fn change(tx: &DatabaseTransaction, job: &Job, places: &[Place], rules: &ReplayRules) -> Result<Done, DbErr> {
    if places.is_empty() {
        return Ok(Done::default());
    }
    let ids: Vec<i64> = places.iter().map(|place| place.id).collect();
    let seen = rows::lock(tx, &ids, None, rules.keys_live_for).await?;
    let states = job.wanted.states();
    // It may have changed since it was met.
    let mut wanted: Vec<&Seen> = seen.values().filter(|event| is_wanted(job, &states, event)).collect();
    wanted.sort_unstable_by_key(|event| event.id);
    let patch = patch_of(job, rules)?;
    let change = Change { by: job.wanted.by, job: Some(job.id), patch: patch.as_ref() };
    let mut refused = HashMap::new();
    match job.wanted.kind {
        JobKind::Retry => {
            let (why, payloads) = rows::judge(tx, &wanted, patch.as_ref(), rules).await?;
            wanted.retain(|event| !why.contains_key(&event.id));
            rows::reopen(tx, &wanted, &payloads, None, change).await?;
            refused = why.into_iter().map(|(id, refusal)| (id, refusal.code())).collect();
        }
        JobKind::Cancel => {
            let ids: Vec<i64> = wanted.iter().map(|event| event.id).collect();
            rows::cancel(tx, &ids, change).await?;
        }
    }
    Ok(Done { matched: places.len(), changed: wanted.len(), refused })
}

fn is_wanted(job: &Job, states: &[Status], event: &Seen) -> bool {
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

fn touch(job: &Job) -> job::ActiveModel {
    job::ActiveModel { id: Set(job.id), updated_at: Set(clock::now()), ..Default::default() }
}

fn moved(job: &Job, done: Done, next: Option<Place>) -> job::ActiveModel {
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
        ..touch(job)
    };
    match next {
        Some(place) => {
            row.cursor_at = Set(Some(place.received_at));
            row.cursor_id = Set(Some(place.id));
        }
        None => {
            row.status = Set(JobStatus::Done.as_str().to_owned());
            row.finished_at = Set(Some(clock::now()));
        }
    }
    row
}
