//! Keys in the spool: the database decides about them, when it is back.

use serde_json::{Value, json};

use super::{at_work, await_drained, id_in, number, spooled};
use crate::support::events::{EVENTS, accepted, finished, stored, with_uid};

fn with_other_content(uid: &str) -> Value {
    let mut event = with_uid(uid);
    event["payload"] = json!({"page": "/elsewhere"});
    event
}

// Guards `apply_key_conflicts` in the flush: an acknowledged event gets a row whatever becomes of its key.
#[test]
fn of_spooled_events_with_one_key_the_first_is_stored_and_the_others_become_its_duplicates() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    let held = accepted(&client, &with_uid("held"));
    assert_eq!(finished(&client, held)["status"], "processed");
    cluster.stop_immediate();
    let deferred = |event: &Value| {
        let receipt = spooled(&client, event);
        assert_eq!(receipt["dedup"], "deferred", "{receipt}");
        id_in(&receipt)
    };
    let first = deferred(&with_uid("new"));
    let second = deferred(&with_uid("new"));
    let conflicting = deferred(&with_other_content("new"));
    let repeated = deferred(&with_uid("held"));
    cluster.start_again();
    await_drained(&server);
    assert_eq!(finished(&client, first)["status"], "processed");
    for (id, of) in [(second, first), (repeated, held)] {
        let event = finished(&client, id);
        assert_eq!((&event["status"], &event["duplicate_of"]), (&json!("duplicate"), &json!(of)), "{event}");
        assert_eq!(event["processed"], false, "{event}");
    }
    let event = finished(&client, conflicting);
    assert_eq!((&event["status"], &event["error_code"]), (&json!("failed"), &json!("event_uid_conflict")), "{event}");
    let effective = "SELECT COUNT(*) FROM events WHERE event_uid = 'new' AND status = 'processed'";
    assert_eq!(number(server.database(), effective), 1);
    let again = client.post_json(EVENTS, &with_uid("new"));
    assert_eq!((again.status, &again.json()["event_id"]), (200, &json!(first)), "{again:?}");
}

// Guards the order of the batch in `Drainer::drain_once`, and that a key held by the event's own id is its own.
#[test]
fn a_keyed_event_that_is_drained_twice_stays_the_holder_of_its_key() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let id = id_in(&spooled(&client, &with_uid("twice")));
    let copy = server.data().join("spool-copy");
    server.kill9();
    let files = ["spool.db", "spool.db-wal"];
    std::fs::create_dir(&copy).expect("the data folder is ours");
    for file in files.iter().filter(|file| server.data().join(file).exists()) {
        std::fs::copy(server.data().join(file), copy.join(file)).expect("the file is there");
    }
    cluster.start_again();
    server.restart();
    await_drained(&server);
    assert_eq!(finished(&server.client(), id)["status"], "processed");
    server.kill9();
    for file in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(server.data().join(file));
        let _ = std::fs::copy(copy.join(file), server.data().join(file));
    }
    server.restart();
    await_drained(&server);
    let event = stored(&server.client(), id);
    assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(1)), "{event}");
    assert_eq!(number(server.database(), "SELECT COUNT(*) FROM events WHERE event_uid = 'twice'"), 1);
}
