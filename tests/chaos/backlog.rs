//! Events that wait in the table: cleared soon, also when the server is killed while it works on them.

use std::time::{Duration, Instant};

use super::trial::Trial;
use crate::support::database::{Database, Kind};
use crate::support::events::{accepted, event};
use crate::support::ledger::{Entry, Ledger, State};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for, within};

/// How long 10,000 events may take, on a busy machine twice that.
const CLEARED: Duration = Duration::from_secs(60);

/// The first id of the backlog: in the first partition, far beyond what the service gives in a test.
const FIRST: i64 = 1_000_000;

/// Row 1c: pending events are put into the table, and the server is killed twice while it works on them.
pub fn cleared_after_kills(trial: &mut Trial) {
    let size = trial.pick(2_000, 10_000);
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database));
    accepted(&server.client(), &event("pattern"));
    server.kill9();
    assert_eq!(database.execute(&insert(&database, size)), size);
    // The flush that took them would have counted them.
    assert_eq!(database.execute(&format!("UPDATE flushes SET received = received + {size}")), 1);
    server.restart();
    for _ in 0..2 {
        let left = pending(&database).saturating_sub(trial.dice.below(size / 8));
        // The server may be faster.
        within(SOON, || (pending(&database) <= left).then_some(()));
        server.kill9();
        server.restart();
    }
    let began = Instant::now();
    let cleared = || (pending(&database) == 0).then_some(());
    wait_for("the backlog to be cleared", CLEARED, cleared, || {
        format!("{} are left\n{}", pending(&database), server.log_tail())
    });
    trial.recovered_in(began.elapsed());
    trial.judge(&database, &mut [&mut server], &ledger(size));
}

fn pending(database: &Database) -> u64 {
    let counted = database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE status = 'pending'");
    counted.concat().parse().expect("a number")
}

/// As the service writes an event that was accepted and not begun; times and user are those of the one row there is.
fn insert(database: &Database, size: u64) -> String {
    let (numbers, task, number) = match database.kind() {
        Kind::Sqlite => (
            format!("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < {size}) "),
            "randomblob(16)",
            "json('{\"page\":\"/load-backlog-' || n || '\"}')",
        ),
        Kind::Postgres => (
            format!("WITH t AS (SELECT generate_series(1, {size}) AS n) "),
            "gen_random_uuid()",
            "jsonb_build_object('page', '/load-backlog-' || n)",
        ),
    };
    format!(
        "{numbers}INSERT INTO events (id, task_id, user_id, event_name, event_type, payload, status, attempts, \
         received_at, next_attempt_at) SELECT {FIRST} + n, {task}, user_id, 'page_view', 'engagement', {number}, \
         'pending', 0, received_at, received_at FROM events, t"
    )
}

/// The backlog as a client's ledger would have it.
fn ledger(size: u64) -> Ledger {
    let entry = |number: u64| {
        let id = FIRST + i64::try_from(number).expect("small");
        Entry { state: State::Acknowledged(id), ..Entry::sent(format!("load-backlog-{number}"), false) }
    };
    Ledger::new((1..=size).map(entry).collect())
}
