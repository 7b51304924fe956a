//! A node that is lost in the middle of a batch (fault 22): all of a flush is there, or nothing.

use super::cluster::{FIRST_ID, Nodes, await_quiet, insert_waiting, number, setup};
use crate::support::database::Database;
use crate::support::events::{EVENTS, id_of};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};
use gristmill::domain::actor_kind::ActorKind;

/// Events claimed together with the one at which the process ends.
const BATCH: usize = 20;

/// Events posted at once into one flush.
const POSTED: usize = 8;

fn abort_at(stage: &str) -> String {
    format!("[[faults]]\nstage = {stage:?}\nevent_name = \"deadly\"\naction = \"abort\"\n")
}

/// In each round a node dies at every point in the middle of a claimed batch; the other one finishes the batch.
pub fn run(rounds: usize) {
    for _ in 0..rounds {
        for stage in ActorKind::stages().map(ActorKind::name) {
            die_at(stage);
        }
        die_before_commit();
    }
}

fn die_at(stage: &str) {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &[&abort_at(stage)]);
    insert_waiting(&database, FIRST_ID, BATCH / 2, "calm", "1 minute");
    let middle = FIRST_ID + i64::try_from(BATCH / 2).expect("small");
    insert_waiting(&database, middle, 1, "deadly", "1 minute");
    insert_waiting(&database, middle + 1, BATCH / 2 - 1, "calm", "1 minute");
    let status = nodes.servers[0].wait_exit(SOON);
    assert!(!status.success(), "{stage}: {status}");
    let partly = number(&database, "SELECT COUNT(*) FROM events WHERE (status = 'pending') <> (finished_at IS NULL)");
    assert_eq!(partly, 0, "{stage}: half a row was written");
    let healthy = Server::start(setup(&database, 1));
    await_quiet(&database, || healthy.log());
    let attempts = "SELECT COUNT(*) FROM events WHERE attempts = 1 + crashes AND crashes <= 1 AND status = 'processed'";
    assert_eq!(number(&database, attempts), i64::try_from(BATCH).expect("small"), "{stage}\n{}", healthy.log());
}

/// The rows are written and the COMMIT is not: nothing of the flush may be there, and everything can be sent again.
fn die_before_commit() {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &["", ""]);
    let warm = nodes.client(0).post_text(EVENTS, &body("warm"));
    assert_eq!(warm.status, 202, "{warm:?}");
    database.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$",
    );
    database.execute("CREATE TRIGGER linger BEFORE INSERT ON flushes FOR EACH ROW EXECUTE FUNCTION linger()");
    let client = nodes.client(0);
    let senders: Vec<_> = (0..POSTED)
        .map(|number| {
            let client = client.clone();
            let body = body(&format!("key-{number}"));
            std::thread::spawn(move || client.post_text(EVENTS, &body))
        })
        .collect();
    let sleeps = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    wait_for("a flush before its COMMIT", SOON, || (number(&database, sleeps) > 0).then_some(()), || nodes.logs());
    nodes.servers[0].kill9();
    // Whose connection was lost with the node has panicked.
    let answers: Vec<_> = senders.into_iter().map(std::thread::JoinHandle::join).collect();
    database.execute("DROP TRIGGER linger ON flushes");
    wait_for("the flush to end", SOON, || (number(&database, sleeps) == 0).then_some(()), || nodes.logs());
    for (index, answer) in answers.iter().enumerate() {
        let again = nodes.client(1).post_text(EVENTS, &body(&format!("key-{index}")));
        let id = id_of(&again);
        if let Ok(answer) = answer {
            assert_eq!(id_of(answer), id, "it was acknowledged");
        }
    }
    let rows = "SELECT COUNT(*) FROM events WHERE event_uid LIKE 'key-%' AND status = 'processed'";
    assert_eq!(number(&database, rows), i64::try_from(POSTED).expect("small"));
    assert_eq!(number(&database, "SELECT COUNT(DISTINCT event_uid) FROM events WHERE event_uid LIKE 'key-%'"), 8);
}

fn body(key: &str) -> String {
    format!(r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"{key}","payload":{{}}}}"#)
}

// Guards that a flush is one transaction, and the take-over of what a dead node had claimed.
#[test]
fn a_node_lost_in_the_middle_of_a_batch_leaves_all_of_a_flush_or_nothing() {
    run(1);
}
