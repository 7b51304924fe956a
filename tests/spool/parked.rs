//! What the database does not take at one moment is set apart, and stored once it is taken.

use serde_json::{Value, json};

use super::{at_work, await_drained, id_in, number, spooled};
use crate::support::events::{event, finished, stored};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Has the database refuse each event of this name.
fn refuse(server: &Server, name: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.event_name = '{name}' THEN RAISE EXCEPTION 'refused on purpose'; END IF; RETURN NEW; END $$"
    );
    for sql in [&*function, "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"] {
        server.database().execute(sql);
    }
}

fn allow(server: &Server) {
    server.database().execute("DROP TRIGGER refuse ON events");
}

/// What the operations port says of the spool.
fn spool(server: &mut Server) -> Value {
    let answer = server.dashboard().get("/api/spool");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn await_parked(server: &mut Server, events: u64) -> Value {
    let log = server.log();
    let mut seen = Value::Null;
    let parked = || {
        seen = spool(server);
        (seen["parked_events"] == events && seen["events"] == 0).then(|| seen.clone())
    };
    wait_for(&format!("{events} parked events"), SOON, parked, || log)
}

// Guards `parked::ready_sql` and the timer in `Drainer::end_turn`: one refusal at one moment is no verdict.
#[test]
fn what_was_refused_for_some_seconds_is_stored_by_itself_once_it_is_taken() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    refuse(&server, "meanwhile");
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..30).map(|_| id_in(&spooled(&client, &event("meanwhile")))).collect();
    let bytes = spool(&mut server)["bytes"].clone();
    cluster.start_again();
    let seen = await_parked(&mut server, 30);
    assert_eq!(seen["bytes"], bytes, "parked events take room as well");
    let first = &seen["parked"][0];
    assert!(first["reason"].as_str().is_some_and(|reason| reason.contains("refused on purpose")), "{first}");
    assert!(
        first["tries"].as_u64() >= Some(1) && first["since"].is_string() && first["next_try"].is_string(),
        "{first}"
    );
    let status = server.setup().run(&["spool", "status"]);
    assert!(status.contains("events parked:  30") && status.contains("refused on purpose"), "{status}");
    assert!(status.contains("tries") && status.contains("next try 2"), "{status}");
    assert_eq!(stored(&client, ids[0])["status"], "pending", "it is not lost");
    allow(&server);
    for id in ids {
        assert_eq!(finished(&client, id)["status"], "processed", "{}", server.log_tail());
    }
    assert_eq!(await_parked(&mut server, 0)["bytes"], 0);
}

// Guards `Spool::split` and `Unit::gives_up`.
#[test]
fn of_a_batch_only_the_refused_event_waits_and_ends_as_failed_when_it_is_given_up() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    refuse(&server, "bad");
    cluster.stop_immediate();
    let batch = json!([event("good"), event("bad"), event("good")]);
    let answer = client.post_json("/api/v1/events/batch", &batch);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = |place: usize| answer.json()["results"][place]["event_id"].as_i64().expect("a number");
    cluster.start_again();
    for place in [0, 2] {
        assert_eq!(finished(&client, id(place))["status"], "processed");
    }
    await_parked(&mut server, 1);
    let retried = server.setup().run(&["spool", "retry", "--give-up"]);
    assert!(retried.contains("\"units\":1"), "{retried}");
    let failed = finished(&client, id(1));
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("refused")), "{failed}");
    await_parked(&mut server, 0);
}

// Guards that a unit stays parked over a start, and `Pipeline::retry_parked`.
#[test]
fn an_event_whose_id_belongs_to_another_waits_until_it_is_free() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let id = id_in(&spooled(&client, &event("meanwhile")));
    server.kill9();
    cluster.start_again();
    let stranger = format!(
        "INSERT INTO events (id, task_id, user_id, status, received_at) VALUES ({id}, gen_random_uuid(), 1, 'cancelled', now())"
    );
    server.database().execute(&stranger);
    for _ in 0..2 {
        server.restart();
        let seen = await_parked(&mut server, 1);
        assert!(seen["parked"][0]["reason"].as_str().is_some_and(|why| why.contains("another event")), "{seen}");
    }
    let said = || (number(server.database(), "SELECT MAX(spool_events) FROM nodes") == 1).then_some(());
    wait_for("the parked event to be told to others", SOON, said, || server.log_tail());
    server.database().execute(&format!("DELETE FROM events WHERE id = {id}"));
    let answer = server.dashboard().call("POST", "/api/spool/retry", &[], None);
    assert_eq!((answer.status, &answer.json()["units"]), (200, &json!(1)), "{answer:?}");
    assert_eq!(finished(&server.client(), id)["status"], "processed");
    let nobody = crate::support::http::Client::new(server.dashboard_address(), None);
    assert_eq!(nobody.call("POST", "/api/spool/retry", &[], None).status, 401);
}

// Guards `Spool::retry_parked` in `drain_spool`.
#[test]
fn a_stopped_node_drains_what_was_parked() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    refuse(&server, "meanwhile");
    cluster.stop_immediate();
    let id = id_in(&spooled(&client, &event("meanwhile")));
    cluster.start_again();
    await_parked(&mut server, 1);
    server.terminate();
    assert!(server.wait_exit(SOON).success(), "{}", server.log_tail());
    let setup = server.setup().clone();
    assert!(setup.run(&["spool", "drain"]).contains("but for what is parked"), "it is still refused");
    allow(&server);
    assert!(setup.run(&["spool", "retry"]).contains("1 parked units"), "without a server");
    setup.run(&["spool", "drain"]);
    assert!(setup.run(&["spool", "status"]).contains("events parked:  0"));
    let row = format!("SELECT COUNT(*) FROM events WHERE id = {id} AND status = 'processed'");
    assert_eq!(number(server.database(), &row), 1);
    server.restart();
    await_drained(&server);
}
