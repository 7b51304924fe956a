//! Other sessions that are in the way: cancelled statements, ended sessions, deadlocks, serialization failures.

use std::time::Duration;

use super::disturbance::SESSIONS;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::wait::rest;

/// Flushes side by side, so that they can be in each other's way.
const CONFIG: &str = "actors.persisters = 3";

/// Takes the tables of a flush in the other order; one of the two is ended by PostgreSQL.
const DEADLOCK: &str = "BEGIN; LOCK TABLE flushes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.05); \
                        LOCK TABLE events IN ACCESS EXCLUSIVE MODE; ROLLBACK";

/// Row 26: whatever ends a statement from outside, it is tried again.
pub fn statements(trial: &mut Trial) {
    let mut scene = Scene::start_with(trial, CONFIG, |plan| plan.with_connections(16));
    let name = scene.database.url().rsplit('/').next().expect("the URL names a database").to_owned();
    for setting in ["default_transaction_isolation = 'serializable'", "deadlock_timeout = '50ms'"] {
        scene.cluster.sql("postgres", &format!("ALTER DATABASE {name} SET {setting}"));
    }
    for _ in 0..trial.pick(40, 200) {
        let (database, statement) = match trial.dice.below(6) {
            0 => ("postgres", ending("pg_terminate_backend")),
            1 => (name.as_str(), DEADLOCK.to_owned()),
            _ => ("postgres", ending("pg_cancel_backend")),
        };
        // The deadlock may end this one.
        let _ = scene.cluster.try_sql(database, &statement);
        rest(Duration::from_millis(trial.dice.below(60)));
    }
    scene.recover(trial);
    scene.judge(trial);
}

fn ending(function: &str) -> String {
    format!("SELECT COUNT({function}(pid)) FROM ({SESSIONS} ORDER BY random() LIMIT 2) AS sessions")
}
