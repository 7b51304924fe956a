//! Pruner: removes what is older than it is to be kept.
//!
//! Receives [`RetentionDue`], sends nothing. It works in turns, a piece each, and rests in between, longer where writers
//! wait for each other. Of all nodes one is at it. Keeps only how far the run has come; a crash here loses nothing: a
//! piece is one transaction, which notes what it removed and where the next one begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::deps::Deps;
use super::messages::RetentionDue;
use super::stage::Stage;
use super::turns::{NextTurn, TakesTurns, Turns};
use crate::config::{Config, DatabaseKind};
use crate::store::{Archive, EventTerms, OldRecords, PruneStep, StoreError};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Longest wait for the database.
const WAIT: Duration = Duration::from_secs(10);

/// Rest after a failure, doubled with every further one up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(10);

/// Fewest and most rows of a piece: with fewer, what a transaction costs by itself would be most of it.
const ROWS_MIN: usize = 100;
const ROWS_MAX: usize = 2_000;

/// A part of a run.
#[derive(Clone, Debug)]
enum Chore {
    Events(EventTerms),
    Records(OldRecords),
    Pages,
}

/// How much a piece removes, and how long nothing is done after it.
#[derive(Clone, Copy, Debug)]
struct Throttle {
    rows: usize,
    /// How long a piece is to take.
    target: Duration,
    /// Length of the rest, in times of the piece.
    rests: u32,
}

/// What a turn works with.
#[derive(Clone)]
pub(super) struct Run {
    deps: Arc<Deps>,
    chores: Arc<[Chore]>,
    /// Where rows are written before they go.
    archive: Option<Archive>,
    /// The chore under way, and when the run began; `None` between two runs.
    place: Option<(usize, Instant)>,
    throttle: Throttle,
}

/// What one turn came to.
pub(super) enum Pruned {
    /// No run is due, or another node is at it.
    Nothing,
    /// A piece was done in this time.
    Piece(Duration),
    /// The run has ended.
    Ended,
}

/// Removes old rows.
pub(super) struct Pruner {
    stage: Stage,
    run: Run,
    turns: Turns,
    condition: Condition,
}

impl Pruner {
    pub fn new(stage: Stage, deps: Arc<Deps>) -> Self {
        let chores = chores(&deps.config).into();
        let throttle = Throttle::of(deps.config.database_kind());
        let folder = deps.config.retention.archive.clone();
        let archive = folder.map(|folder| Archive::new(folder, deps.identity.folder));
        let run = Run { deps, chores, archive, place: None, throttle };
        Self { stage, run, turns: Turns::new(REST_MIN, REST_MAX), condition: Condition::new("retention") }
    }
}

/// What there is to do in a run; nothing if everything is kept.
fn chores(config: &Config) -> Vec<Chore> {
    let policy = &config.retention.policy;
    let keys_live_for = config.dedupe.window;
    let events = policy.rules().into_iter().map(|rule| Chore::Events(EventTerms { rule, keys_live_for }));
    let records = [
        policy.attempts.map(OldRecords::Attempts),
        policy.audit.map(OldRecords::Audit),
        policy.jobs.map(OldRecords::Jobs),
    ];
    let mut chores: Vec<Chore> = events.chain(records.into_iter().flatten().map(Chore::Records)).collect();
    if !chores.is_empty() {
        chores.push(Chore::Pages);
    }
    chores
}

impl TakesTurns for Pruner {
    type Done = (Result<Pruned, StoreError>, Run);

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    fn turn(&mut self, _: bool) -> impl Future<Output = Self::Done> + 'static {
        let mut run = self.run.clone();
        self.stage.wait_for(async move { (run.run_once().await, run) })
    }

    fn end_turn(&mut self, (turned, run): Self::Done, _: &mut Context<Self>) -> NextTurn {
        self.run = run;
        self.condition.note(&turned);
        match turned {
            Ok(Pruned::Piece(took)) => NextTurn::After(self.run.throttle.after(took)),
            Ok(Pruned::Nothing | Pruned::Ended) => NextTurn::Idle,
            Err(_) => {
                // A smaller piece takes fewer locks.
                self.run.throttle.rows = ROWS_MIN;
                NextTurn::Rest
            }
        }
    }
}

impl Run {
    async fn run_once(&mut self) -> Result<Pruned, StoreError> {
        // A node that leaves, or is taken for dead, leaves the work to the others.
        if self.chores.is_empty() || !self.deps.is_heard() || !self.deps.controls.may_prune() {
            self.place = None;
            return Ok(Pruned::Nothing);
        }
        let boot_id = self.deps.identity.boot_id;
        let Some((place, began)) = self.place else {
            let every = self.deps.config.retention.interval;
            if !self.deps.store.take_retention(boot_id, every, WAIT).await? {
                return Ok(Pruned::Nothing);
            }
            self.place = Some((0, Instant::now()));
            return Ok(Pruned::Piece(Duration::ZERO));
        };
        let Some(chore) = self.chores.get(place).cloned() else { return self.end(began).await };
        let Some(step) = self.piece(chore).await? else {
            self.place = None;
            return Ok(Pruned::Nothing);
        };
        facts::rows_removed(&step.removed, step.took);
        facts::rows_archived(step.archived);
        if !step.goes_on {
            self.place = Some((place + 1, began));
        }
        Ok(Pruned::Piece(step.took))
    }

    /// Does the next piece; `None` if another node is at it by now.
    async fn piece(&self, chore: Chore) -> Result<Option<PruneStep>, StoreError> {
        let store = &self.deps.store;
        let boot_id = self.deps.identity.boot_id;
        match chore {
            Chore::Events(terms) => {
                store.prune_events(boot_id, terms, self.throttle.rows, self.archive.clone(), WAIT).await
            }
            Chore::Records(records) => {
                store.prune_records(boot_id, records, self.throttle.rows, self.archive.clone(), WAIT).await
            }
            Chore::Pages => {
                let began = Instant::now();
                let goes_on = store.give_pages_back(WAIT).await?;
                Ok(Some(PruneStep { goes_on, took: began.elapsed(), ..PruneStep::default() }))
            }
        }
    }

    async fn end(&mut self, began: Instant) -> Result<Pruned, StoreError> {
        let identity = &self.deps.identity;
        let ended = self.deps.store.end_retention(identity.boot_id, identity.node.clone(), WAIT).await?;
        if let Some(removed) = ended {
            facts::retention_ended(&removed, began.elapsed());
        }
        self.place = None;
        Ok(Pruned::Ended)
    }
}

impl Throttle {
    /// SQLite has one connection that writes, and who waits for it waits for the whole piece.
    fn of(database: DatabaseKind) -> Self {
        match database {
            DatabaseKind::Sqlite => Self { rows: ROWS_MIN, target: Duration::from_millis(4), rests: 4 },
            DatabaseKind::Postgres => Self { rows: ROWS_MIN, target: Duration::from_millis(20), rests: 1 },
        }
    }

    /// Takes how long a piece took: the next one is to take as long as it should. Returns the rest before it.
    fn after(&mut self, took: Duration) -> Duration {
        let rows = if took > self.target { self.rows / 2 } else { self.rows + self.rows / 4 + 1 };
        self.rows = rows.clamp(ROWS_MIN, ROWS_MAX);
        (took * self.rests).min(REST_MAX)
    }
}

impl Actor for Pruner {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // At once, for what an earlier boot did not finish.
        self.take_turn(context);
    }
}

impl Handler<RetentionDue> for Pruner {
    type Result = ();

    fn handle(&mut self, _: RetentionDue, context: &mut Context<Self>) {
        self.stage.gauges.took();
        self.take_turn(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_while_they_are_quick_and_shrink_when_they_are_slow() {
        let mut throttle = Throttle::of(DatabaseKind::Sqlite);
        for _ in 0..40 {
            throttle.after(Duration::from_millis(1));
        }
        assert_eq!(throttle.rows, ROWS_MAX);
        assert_eq!(throttle.after(Duration::from_millis(8)), Duration::from_millis(32));
        assert_eq!(throttle.rows, ROWS_MAX / 2);
        for _ in 0..40 {
            throttle.after(Duration::from_secs(60));
        }
        assert_eq!((throttle.rows, throttle.after(Duration::from_secs(60))), (ROWS_MIN, REST_MAX));
    }

    #[test]
    fn where_everything_is_kept_nothing_is_done() {
        let keys = ["validation_error", "failed", "cancelled", "duplicate", "attempts", "audit", "jobs"];
        let off: String = keys.map(|key| format!("retention.{key} = \"off\"\n")).concat();
        assert_eq!(chores(&Config::from_toml(&off).expect("a configuration")).len(), 0);
        assert_eq!(chores(&Config::defaults()).len(), 6, "30d, 90d, attempts, audit, jobs, pages");
    }
}
