//! Pauses: what is on its way waits, what waits for too long is refused, and nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{asked, control, line, paths, pool, reasons};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, id_of};
use crate::support::http::Answer;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for};

/// Clients that wait at once.
const CLIENTS: usize = 20;

/// The paths of the stages and of the line, which hold up new events.
fn holding() -> impl Iterator<Item = String> {
    paths().filter(|path| !path.ends_with("claimer") && !path.ends_with("pruner"))
}

/// Events that wait for a pool to go on.
fn held(server: &mut Server) -> u64 {
    let view = line(server);
    let pools = view["pools"].as_array().expect("a list");
    pools.iter().map(|pool| pool["held"].as_u64().expect("a number")).sum()
}

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overloaded")), "{answer:?}");
    let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
}

/// Posts events while the line is paused, and does `then` once they wait; the answers.
fn meanwhile(server: &mut Server, then: impl FnOnce(&mut Server)) -> Vec<Answer> {
    let client = server.client();
    std::thread::scope(|scope| {
        let post = || client.post_json(EVENTS, &event("calm"));
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(post)).collect();
        let all_wait = || (held(server) == CLIENTS as u64).then_some(());
        wait_for("all events to wait", SOON, all_wait, || "not all do".to_owned());
        then(server);
        threads.into_iter().map(|thread| thread.join().expect("each client gets an answer")).collect()
    })
}

fn count(database: &Database, condition: &str) -> usize {
    database.texts(&format!("SELECT CAST(id AS TEXT) FROM events WHERE {condition}")).len()
}

both_databases! {
    fn a_short_pause_of_any_stage_refuses_and_charges_nobody(database) {
        // The soft limit is 0.8 s: what waits longer would be charged if the wait were an attempt's.
        let config = "timeouts.processing = \"1s\"\ntimeouts.accept = \"60s\"";
        let mut server = Server::start(Setup::new(&database).with_config(config));
        for path in holding() {
            control(&mut server, &format!("{path}/pause"));
            let answers = meanwhile(&mut server, |server| {
                rest(Duration::from_millis(1_200));
                control(server, &format!("{path}/resume"));
            });
            for answer in answers {
                assert_eq!(answer.status, 202, "{path}: {answer:?}");
            }
        }
        let all = CLIENTS * holding().count();
        assert_eq!(count(&database, "status = 'processed' AND attempts = 1"), all);
        assert_eq!(held(&mut server), 0);
    }

    fn a_long_pause_is_no_hang_and_no_actor_is_replaced(database) {
        // An actor that waits for 5.5 s is taken for a hung one.
        let config = "timeouts.processing = \"1s\"\ntimeouts.accept = \"60s\"";
        let mut server = Server::start(Setup::new(&database).with_config(config));
        control(&mut server, "/pause");
        let answers = meanwhile(&mut server, |server| {
            rest(Duration::from_secs(7));
            control(server, "/resume");
        });
        assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
        assert_eq!(count(&database, "status = 'processed' AND attempts = 1"), CLIENTS);
        let view = line(&mut server);
        let actors = view["pools"].as_array().expect("a list").iter().flat_map(|pool| pool["actors"].as_array());
        assert!(actors.flatten().all(|actor| actor["restarts"] == 0), "{view}");
    }

    fn a_pause_survives_kills_and_what_waits_for_too_long_is_refused_and_not_stored(database) {
        let mut server = Server::start(Setup::new(&database).with_config("timeouts.accept = \"1s\"\ntimeouts.flush = \"1s\""));
        let before = accepted(&server.client(), &event("before"));
        let view = control(&mut server, "/pools/persisters/pause");
        assert_eq!((&view["name"], &view["state"]["value"]), (&json!("persisters"), &json!("paused")), "{view}");
        for restart in [Server::kill9, |server: &mut Server| { server.terminate(); server.wait_exit(SOON); }] {
            restart(&mut server);
            server.restart();
            assert_eq!(reasons(&mut server), ["the persisters are paused"]);
            let pool = pool(&line(&mut server), "persisters");
            assert_eq!((&pool["state"]["value"], &pool["state"]["source"]), (&json!("paused"), &json!("stored")));
            assert_eq!((&pool["state"]["by"], pool["state"]["at"].is_string()), (&json!(1), true), "{pool}");
            let began = Instant::now();
            let answer = server.client().post_json(EVENTS, &event("refused"));
            assert_refused(&answer);
            assert!(began.elapsed() > Duration::from_millis(900), "it waited");
        }
        control(&mut server, "/pools/persisters/resume");
        assert_eq!(reasons(&mut server), [""; 0]);
        let client = server.client();
        let after = accepted(&client, &event("after"));
        for id in [before, after] {
            assert_eq!(finished(&client, id)["status"], "processed");
        }
        assert_eq!(count(&database, "event_name = 'refused'"), 0);
        let balance = client.get("/api/v1/stats").json()["balance"].clone();
        assert_eq!((&balance["received"], &balance["processed"]), (&json!(2), &json!(2)), "{balance}");
    }

    fn a_paused_server_stops_at_once_and_refuses_what_waits(database) {
        let mut server = Server::start(Setup::new(&database).with_config("timeouts.accept = \"60s\""));
        control(&mut server, "/pools/normalizers/pause");
        let began = Instant::now();
        let answers = meanwhile(&mut server, |server| server.terminate());
        answers.iter().for_each(assert_refused);
        let status = server.wait_exit(SOON);
        assert!(status.success(), "{status}\n{}", server.log_tail());
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        assert_eq!(count(&database, "event_name = 'calm'"), 0);
    }

    fn the_line_and_a_pool_are_paused_apart(database) {
        let mut server = Server::start(&database);
        control(&mut server, "/pools/validators/pause");
        control(&mut server, "/pause");
        assert_eq!(reasons(&mut server), ["the pipeline is paused"]);
        let view = line(&mut server);
        assert_eq!(pool(&view, "persisters")["state"]["source"], "pipeline");
        assert_eq!(pool(&view, "validators")["state"]["source"], "stored");
        control(&mut server, "/resume");
        assert_eq!(reasons(&mut server), ["the validators are paused"]);
        control(&mut server, "/pools/validators/resume");
        assert_eq!(reasons(&mut server), [""; 0]);
        accepted(&server.client(), &event("after"));
    }
}

#[test]
fn a_database_that_is_away_takes_no_change() {
    let cluster = Cluster::start();
    let mut server = Server::start(&Database::at(cluster.fresh_database()));
    let operations = server.dashboard();
    assert_eq!(asked(&operations, "/pools/claimer/pause").status, 200);
    cluster.stop_immediate();
    for path in ["/pause", "/pools/claimer/resume", "/pools/validators/restart"] {
        let answer = asked(&operations, path);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("database_unavailable")),
            "{path}: {answer:?}"
        );
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    let view = line(&mut server);
    assert_eq!((&view["control_generation"], &view["state"]["value"]), (&json!(1), &json!("running")), "{view}");
    cluster.start_again();
    // With a spool a node is ready in an outage too.
    let resumed = || Some(asked(&operations, "/pools/claimer/resume")).filter(|answer| answer.status == 200);
    let answer = wait_for("the database", SOON, resumed, || server.log());
    assert_eq!(answer.json()["control_generation"], 2, "nothing else was changed: {answer:?}");
}

/// Deaths of processes at work on a unit of the spool after which it is set apart, and one more.
const DEATHS: usize = 5;

#[test]
fn a_pause_leaves_the_spool_alone_and_blames_no_unit_for_the_end_of_a_process() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config("timeouts.flush = \"1s\""));
    accepted(&server.client(), &event("before"));
    cluster.stop_immediate();
    let spooled = server.client().post_json(EVENTS, &event("spooled"));
    assert_eq!((spooled.status, &spooled.json()["durability"]), (202, &json!("spool")), "{spooled:?}");
    server.kill9();
    cluster.start_again();
    database.execute("INSERT INTO controls (target, paused, restarts) VALUES ('normalizers', TRUE, 0)");
    database.execute("UPDATE control_changes SET generation = generation + 1");
    let drained = server.setup().command(&["spool", "drain"]);
    let said = String::from_utf8_lossy(&drained.stderr).into_owned();
    assert!(drained.status.code() == Some(1) && said.contains("the normalizers are paused"), "{said}");
    for _ in 0..DEATHS {
        server.restart();
        assert_eq!(reasons(&mut server), ["the normalizers are paused"]);
        rest(Duration::from_millis(300));
        assert_eq!(server.spooled(), 1, "it is not drained");
        server.kill9();
    }
    server.restart();
    control(&mut server, "/pools/normalizers/resume");
    let done = finished(&server.client(), id_of(&spooled));
    assert_eq!((&done["status"], &done["attempts"]), (&json!("processed"), &json!(1)), "{done}");
    wait_for("the spool to be empty", SOON, || (server.spooled() == 0).then_some(()), || server.log());
}
