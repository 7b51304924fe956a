//! Starts with something in the spool, or with the database away.

use std::net::SocketAddr;

use super::{QUICK, at_work, await_drained, id_in, number, spooled};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::http::{Client, try_get};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// A client of whichever port `ports.json` names.
fn client_of(address: SocketAddr) -> Client {
    Client::new(address, None)
}

// Guards `database::open`: the node waits, says so, and its spool is safe.
#[test]
fn a_node_that_is_killed_in_an_outage_and_starts_in_it_keeps_its_spool_and_waits() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..10).map(|_| id_in(&spooled(&client, &event("meanwhile")))).collect();
    server.kill9();
    server.restart();
    let waiting = client_of(server.address());
    assert_eq!(waiting.get("/health/live").status, 200);
    let ready = waiting.get("/health/ready");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("cannot be reached"), "{ready:?}");
    let refused = server.client().post_json("/api/v1/events", &event("too_early"));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("database_unavailable")), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    cluster.start_again();
    let address = server.address();
    let is_ready = || try_get(address, "/health/ready").filter(|answer| answer.status == 200).map(drop);
    wait_for("the node to be ready", SOON, is_ready, || server.log());
    let client = server.client();
    for id in ids {
        let event = finished(&client, id);
        assert_eq!((&event["status"], &event["attempts"]), (&"processed".into(), &1.into()), "{event}");
    }
    await_drained(&server);
    assert_eq!(number(server.database(), "SELECT COUNT(*) FROM events WHERE event_name = 'meanwhile'"), 10);
}

// Guards `Store::may_be_spooled`: another node cannot see the event, and must not say that there is none.
#[test]
fn an_event_that_waits_in_a_dead_nodes_spool_is_not_called_unknown() {
    let (cluster, mut dead) = at_work("");
    let other = Server::start(Setup::new(dead.database()).with_config(QUICK));
    let client = dead.client();
    let token = dead.token();
    let reader = other.client_with(&token);
    cluster.stop_immediate();
    let id = id_in(&spooled(&client, &event("meanwhile")));
    dead.kill9();
    cluster.start_again();
    let path = format!("/api/v1/events/{id}");
    // Each of its connections may still have to find out that its server went away.
    let answered = |method: &str, path: &str| {
        let answer =
            || Some(reader.call(method, path, &[], None)).filter(|it| it.json()["code"] != "database_unavailable");
        wait_for("the database to be back", SOON, answer, || other.log_tail())
    };
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", format!("{path}/timeline")),
        ("POST", format!("{path}/retry")),
        ("POST", format!("{path}/cancel")),
    ] {
        let answer = answered(method, &path);
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"event_in_spool".into()), "{answer:?}");
        assert_eq!(answer.json()["retryable"], true, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    dead.restart();
    let drained = || Some(reader.get(&path)).filter(|answer| answer.status == 200);
    wait_for("the spool to be drained", SOON, drained, || dead.log());
    assert_eq!(finished(&reader, id)["status"], "processed");
}

// Guards `seen` in `Pipeline::may_be_spooled_by_peer`: what was said before the question says nothing.
#[test]
fn a_node_that_has_just_started_calls_no_event_unknown_that_waits_in_a_dead_nodes_spool() {
    let (cluster, mut dead) = at_work("");
    let client = dead.client();
    let token = dead.token();
    cluster.stop_immediate();
    let id = id_in(&spooled(&client, &event("meanwhile")));
    dead.kill9();
    cluster.start_again();
    let other = Server::start(Setup::new(dead.database()).with_config(QUICK));
    let reader = other.client_with(&token);
    // As if it had said so a moment ago.
    dead.database().execute("UPDATE nodes SET heartbeat_at = now() WHERE heartbeat > 0");
    let answer = reader.get(&format!("/api/v1/events/{id}"));
    assert_eq!((answer.status, &answer.json()["code"]), (503, &"event_in_spool".into()), "{answer:?}");
    dead.restart();
    assert_eq!(finished(&dead.client(), id)["status"], "processed");
    // Once it has said that its spool is empty, an id that it has not used is nobody's.
    let path = format!("/api/v1/events/{}", id + 40);
    let unknown = || (reader.get(&path).status == 404).then_some(());
    wait_for("the empty spool to be told", SOON, unknown, || format!("{:?}", reader.get(&path)));
}

#[test]
fn a_node_that_waits_for_its_database_stops_when_it_is_told_to() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    cluster.stop_immediate();
    let mut server = Server::start(Setup::new(&database));
    assert_eq!(client_of(server.address()).get("/health/live").status, 200);
    server.terminate();
    assert!(server.wait_exit(SOON).success());
}

#[test]
fn a_spool_of_another_database_is_not_drained_into_this_one() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    spooled(&client, &event("meanwhile"));
    server.kill9();
    cluster.start_again();
    let other = cluster.fresh_database();
    let setup = server.setup().clone().with_config(&format!("database.url = {other:?}"));
    let mut elsewhere = Server::not_started(setup);
    elsewhere.spawn();
    assert!(!elsewhere.wait_exit(SOON).success());
    // The pipe is read by a thread of its own, which may be behind the process's end.
    let told = || elsewhere.log().contains("holds events of another database").then_some(());
    wait_for("the reason", SOON, told, || elsewhere.log());
    drop(elsewhere);
    server.restart();
    await_drained(&server);
}

#[test]
fn a_damaged_spool_is_set_aside_and_reported() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config(QUICK));
    server.kill9();
    for companion in ["spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(server.data().join(companion));
    }
    std::fs::write(
        server.data().join("spool.db"),
        "this is no database, and it is long enough to be taken for one".repeat(50),
    )
    .expect("the data folder is ours");
    server.restart();
    assert!(server.log().contains("the spool was damaged and is set aside"), "{}", server.log());
    let names = std::fs::read_dir(server.data()).expect("the data folder is ours").flatten();
    let aside = names.filter(|file| file.file_name().to_string_lossy().starts_with("spool.db.damaged-")).count();
    assert!(aside >= 1);
    let client = server.client();
    accepted(&client, &event("before"));
    cluster.stop_immediate();
    spooled(&client, &event("meanwhile"));
    cluster.start_again();
    await_drained(&server);
}

// Guards `is_readable` in `rows::head` and the parking in `Drainer::try_batch`.
#[test]
fn an_event_that_cannot_be_read_is_parked_and_holds_up_no_other() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..5).map(|_| id_in(&spooled(&client, &event("meanwhile")))).collect();
    server.kill9();
    let file = Database::sqlite_at(&server.data().join("spool.db"));
    assert_eq!(file.execute(&format!("UPDATE events SET body = 'x' WHERE event_id = {}", ids[0])), 1);
    let verified = server.setup().command(&["spool", "verify"]);
    assert!(!verified.status.success(), "{verified:?}");
    cluster.start_again();
    server.restart();
    await_drained(&server);
    for id in &ids[1..] {
        assert_eq!(finished(&server.client(), *id)["status"], "processed");
    }
    let status = server.setup().run(&["spool", "status"]);
    assert!(status.contains("events parked:  1") && status.contains("cannot be read"), "{status}");
    assert!(server.log().contains("a unit of the spool is parked"), "{}", server.log());
}

// Guards `Spool::begin` in `Drainer::try_batch`, and `deaths::least`.
#[test]
fn a_spooled_event_that_kills_its_process_is_parked_and_holds_up_no_other() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let ids = ["first", "deadly", "last"].map(|name| id_in(&spooled(&client, &event(name))));
    server.kill9();
    cluster.start_again();
    let deadly = "[[faults]]\nstage = \"validator\"\nevent_name = \"deadly\"\naction = \"abort\"\n";
    let mended = server.setup().clone();
    let setup = mended.clone().with_config(deadly);
    for _ in 0..4 {
        let mut server = Server::not_started(setup.clone());
        server.spawn();
        assert!(!server.wait_exit(SOON).success(), "it dies of the event");
    }
    let mut server = Server::start(setup);
    await_drained(&server);
    for id in [ids[0], ids[2]] {
        assert_eq!(finished(&server.client(), id)["status"], "processed");
    }
    let status = server.setup().run(&["spool", "status"]);
    assert!(status.contains("events parked:  1") && status.contains("processes died"), "{status}");
    assert!(status.contains("next try with `gristmill spool retry`"), "never by itself: {status}");
    server.terminate();
    assert!(server.wait_exit(SOON).success(), "{}", server.log_tail());
    let mut mended = Server::not_started(mended);
    assert!(mended.setup().run(&["spool", "retry"]).contains("1 parked units"));
    mended.restart();
    assert_eq!(finished(&mended.client(), ids[1])["status"], "processed");
}

#[test]
fn commands_show_verify_and_drain_what_a_stopped_node_left() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..5).map(|_| id_in(&spooled(&client, &event("meanwhile")))).collect();
    let setup = server.setup().clone();
    assert!(setup.run(&["spool", "status"]).contains("events waiting: 5"), "beside the running server");
    server.terminate();
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
    assert!(setup.run(&["spool", "verify"]).contains("5 waiting"));
    let away = setup.command(&["spool", "drain"]);
    assert!(!away.status.success(), "the database is away");
    cluster.start_again();
    assert!(setup.run(&["spool", "drain"]).contains("the spool is empty"));
    assert!(setup.run(&["spool", "status", "--json"]).contains("\"events\":0"));
    for id in &ids {
        let row = format!("SELECT COUNT(*) FROM events WHERE id = {id} AND status = 'processed' AND attempts = 1");
        assert_eq!(number(server.database(), &row), 1);
    }
}
