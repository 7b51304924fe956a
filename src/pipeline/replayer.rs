//! Replayer: carries out jobs, the replays and cancellations of all events that match a filter.
//!
//! Receives [`JobMade`], sends nothing: what it reopens is pending and due, and comes into the line through the Claimer of
//! any node. It does the jobs piece by piece, in turns; between two pieces a job belongs to no node: any may go on
//! with it. Keeps only what failed last. A crash here loses nothing: a piece is one transaction, which moves the job's
//! position with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::deps::Deps;
use super::messages::JobMade;
use super::stage::Stage;
use super::turns::{NextTurn, TakesTurns, Turns};
use crate::store::{JobStep, StoreError};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Longest wait for the database; a piece that takes longer goes on, and no other node takes the job before its end.
const WAIT: Duration = Duration::from_secs(5);

/// Rest while another node is at work on the job, or too much waits to be processed.
const REST: Duration = Duration::from_millis(200);

/// Rest after a failure, doubled with every further one up to [`REST_MAX`], and longest rest after a piece.
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(5);

/// How often in a row a job may fail in a way that no further try would mend.
const STRIKES_MAX: u32 = 3;

/// The error that the job shows then; the log has the database's own words.
const FAILED: &str = "the database refuses a change, or the server has a bug: its log has the reason";

/// Does the jobs.
pub(super) struct Replayer {
    stage: Stage,
    jobs: Jobs,
    turns: Turns,
    condition: Condition,
}

/// What a turn works with.
#[derive(Clone)]
struct Jobs {
    deps: Arc<Deps>,
    /// How often in a row each job failed in a way that no further try mends.
    strikes: BTreeMap<i64, u32>,
}

/// What one turn came to: nothing if no job runs.
type JobTurnResult = Result<Option<JobStep>, StoreError>;

impl Replayer {
    pub fn new(stage: Stage, deps: Arc<Deps>) -> Self {
        let jobs = Jobs { deps, strikes: BTreeMap::new() };
        Self { stage, jobs, turns: Turns::new(REST_MIN, REST_MAX), condition: Condition::new("jobs") }
    }

    /// Looks now, and again after the period: jobs are made on other nodes as well.
    fn poll(&mut self, context: &mut Context<Self>) {
        self.take_turn(context);
        context.run_later(self.jobs.deps.config.lease.poll, Self::poll);
    }
}

impl TakesTurns for Replayer {
    type Done = (JobTurnResult, BTreeMap<i64, u32>, Duration);

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    fn turn(&mut self, _: bool) -> impl Future<Output = Self::Done> + 'static {
        let began = Instant::now();
        let mut jobs = self.jobs.clone();
        self.stage.wait_for(async move { (jobs.run_once().await, jobs.strikes, began.elapsed()) })
    }

    fn end_turn(&mut self, (turned, strikes, took): Self::Done, _: &mut Context<Self>) -> NextTurn {
        self.jobs.strikes = strikes;
        self.condition.note(&turned);
        match turned {
            // Half of the time is for others: SQLite has one connection that writes.
            Ok(Some(JobStep::Advanced(_) | JobStep::Ended(_))) => NextTurn::After(took.min(REST_MAX)),
            Ok(Some(JobStep::Unavailable | JobStep::Crowded)) => NextTurn::After(REST),
            Ok(None) if self.turns.is_woken() => NextTurn::AtOnce,
            Ok(None) => NextTurn::Idle,
            Err(_) => NextTurn::Rest,
        }
    }
}

impl Jobs {
    async fn run_once(&mut self) -> JobTurnResult {
        // A node that leaves, or is taken for dead, leaves the jobs to the others.
        if !self.deps.is_heard() {
            return Ok(None);
        }
        let Some(job) = self.deps.store.running_job(WAIT).await? else {
            self.strikes.clear();
            return Ok(None);
        };
        match self.deps.store.advance_job(job, self.deps.replay_rules(), WAIT).await {
            Ok(step) => {
                if let JobStep::Advanced(events) | JobStep::Ended(events) = step {
                    facts::job_advanced(events);
                }
                if let JobStep::Ended(_) = step {
                    facts::job_done(job);
                }
                self.strikes.remove(&job);
                Ok(Some(step))
            }
            Err(error) => {
                // Where that fails too, it is the database, and holds up all jobs.
                let _ = self.deps.store.put_job_off(job, WAIT).await;
                self.strike(job, &error).await?;
                Err(error)
            }
        }
    }

    /// Ends a job that fails again and again for a reason that lies in it.
    async fn strike(&mut self, job: i64, error: &StoreError) -> Result<(), StoreError> {
        if error.is_transient() {
            return Ok(());
        }
        let strikes = self.strikes.entry(job).or_default();
        *strikes += 1;
        if *strikes >= STRIKES_MAX {
            facts::job_failed(job, error);
            self.deps.store.fail_job(job, FAILED, WAIT).await?;
        }
        Ok(())
    }
}

impl Actor for Replayer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // At once, for what an earlier boot did not finish.
        self.poll(context);
    }
}

impl Handler<JobMade> for Replayer {
    type Result = ();

    fn handle(&mut self, _: JobMade, context: &mut Context<Self>) {
        self.stage.gauges.took();
        self.take_turn(context);
    }
}
