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

/// PostgreSQL gives way to one of two transactions; which one is chance, and here it is a trigger's.
const SERIALIZATION_FAILURES: &str = "CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF random() < 0.1 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF; \
     RETURN NEW; END $$; \
     CREATE TRIGGER give_way BEFORE INSERT ON flushes FOR EACH ROW EXECUTE FUNCTION give_way()";

/// What PostgreSQL says of each kind of interference.
const EFFECTS: [&str; 4] = [
    "canceling statement due to user request",
    "terminating connection due to administrator command",
    "deadlock detected",
    "could not serialize access",
];

/// Row 26: whatever ends a statement from outside, it is tried again.
pub fn statements(trial: &mut Trial) {
    let mut scene = Scene::start_with(trial, CONFIG, |plan| plan.with_connections(16));
    let name = scene.database.url().rsplit('/').next().expect("the URL names a database").to_owned();
    scene.cluster.sql("postgres", &format!("ALTER DATABASE {name} SET deadlock_timeout = '50ms'"));
    scene.cluster.sql(&name, SERIALIZATION_FAILURES);
    for round in 0..trial.pick(20, 100) {
        let statement = match round % 3 {
            0 => DEADLOCK.to_owned(),
            1 => ending("pg_cancel_backend"),
            _ => ending("pg_terminate_backend"),
        };
        // The deadlock may end this one.
        let _ = scene.cluster.try_sql(&name, &statement);
        rest(Duration::from_millis(trial.dice.below(100)));
    }
    scene.cluster.sql(&name, "DROP TRIGGER give_way ON flushes");
    scene.recover(trial);
    let log = scene.cluster.log();
    for effect in EFFECTS {
        trial.expect(log.contains(effect), || format!("the fault had no effect: no {effect:?}"));
    }
    scene.judge(trial);
}

/// Holds the events until statements wait for them, and strikes these.
fn ending(function: &str) -> String {
    format!(
        "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.05); \
         SELECT COUNT({function}(pid)) FROM ({SESSIONS} AND state = 'active') AS sessions; ROLLBACK"
    )
}
