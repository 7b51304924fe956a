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

use super::heartbeat::NodeHealth;
use super::messages::JobMade;
use super::stage::Stage;
use crate::store::{JobStep, ReplayRules, Store, StoreError};
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

/// What a Replayer is to do.
#[derive(Clone)]
pub(super) struct ReplayerRules {
    pub replay: ReplayRules,
    pub poll: Duration,
    pub lease: Duration,
    pub health: Arc<NodeHealth>,
}

/// Does the jobs.
#[derive(Clone)]
pub(super) struct Replayer {
    stage: Stage,
    store: Store,
    rules: ReplayerRules,
    condition: Arc<Condition>,
    is_busy: bool,
    /// It is time to look, or a job was made in the meantime.
    is_woken: bool,
    rest: Duration,
    /// How often in a row each job failed in a way that no further try mends.
    strikes: BTreeMap<i64, u32>,
}

/// What one turn came to: nothing if no job runs.
type JobTurnResult = Result<Option<JobStep>, StoreError>;

impl Replayer {
    pub fn new(stage: Stage, store: Store, rules: ReplayerRules) -> Self {
        let condition = Arc::new(Condition::new("jobs"));
        Self {
            stage,
            store,
            rules,
            condition,
            is_busy: false,
            is_woken: false,
            rest: REST_MIN,
            strikes: BTreeMap::new(),
        }
    }

    fn take_turn(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            self.is_woken = true;
            return;
        }
        self.is_woken = false;
        let (began, turn) = (Instant::now(), self.clone().run().into_actor(self));
        context.spawn(turn.map(move |(turned, strikes), replayer, context| {
            replayer.strikes = strikes;
            replayer.end_turn(turned, began.elapsed(), context);
        }));
    }

    fn end_turn(&mut self, turned: JobTurnResult, took: Duration, context: &mut Context<Self>) {
        self.condition.note(&turned);
        match turned {
            // Half of the time is for others: SQLite has one connection that writes.
            Ok(Some(JobStep::Advanced(_) | JobStep::Ended(_))) => {
                context.run_later(took.min(REST_MAX), Self::go_on);
            }
            Ok(Some(JobStep::Unavailable | JobStep::Crowded)) => drop(context.run_later(REST, Self::go_on)),
            Ok(None) if self.is_woken => self.go_on(context),
            Ok(None) => self.is_busy = false,
            Err(_) => {
                context.run_later(self.rest, Self::go_on);
                self.rest = (self.rest * 2).min(REST_MAX);
                return;
            }
        }
        self.rest = REST_MIN;
    }

    fn go_on(&mut self, context: &mut Context<Self>) {
        self.is_busy = false;
        self.take_turn(context);
    }

    /// Looks now, and again after the period: jobs are made on other nodes as well.
    fn poll(&mut self, context: &mut Context<Self>) {
        self.take_turn(context);
        context.run_later(self.rules.poll, Self::poll);
    }

    async fn run(mut self) -> (JobTurnResult, BTreeMap<i64, u32>) {
        let _wait = self.stage.gauges.wait();
        self.stage.turn().await;
        let turned = self.run_once().await;
        (turned, self.strikes)
    }

    async fn run_once(&mut self) -> JobTurnResult {
        // A node that leaves, or is taken for dead, leaves the jobs to the others.
        if !self.rules.health.is_heard_within(self.rules.lease) {
            return Ok(None);
        }
        let Some(job) = self.store.running_job(WAIT).await? else {
            self.strikes.clear();
            return Ok(None);
        };
        match self.store.advance_job(job, self.rules.replay, WAIT).await {
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
                let _ = self.store.put_job_off(job, WAIT).await;
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
            self.store.fail_job(job, FAILED, WAIT).await?;
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
