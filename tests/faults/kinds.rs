//! Each kind of actor that dies, and a process that aborts at each point of the line.

use serde_json::{Value, json};

use super::{QUICK, assert_undisturbed, count, rule, stages};
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// A rule that strikes once, beside all events.
fn at_turn(stage: &str, action: &str) -> String {
    format!("[[faults]]\nstage = {stage:?}\npoint = \"turn\"\naction = {action:?}\ntimes = 1\n")
}

/// Posts an event without waiting for an answer.
fn post_and_look_away(server: &mut Server, name: &str) {
    let token = server.token();
    let body = event(name).to_string();
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    let request = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(request.as_bytes()).expect("it still runs");
}

both_databases! {
    fn every_kind_of_actor_is_replaced_when_it_dies_beside_its_events(database) {
        let kinds = ["validator", "normalizer", "persister", "retry", "claimer"];
        let rules: String = kinds.map(|stage| at_turn(stage, "crash")).concat();
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("actors.restart_backoff = \"10ms\"\nlease.poll = \"200ms\"")
            .with_config(&format!("{rules}{}", rule("validator", "late", "error", 1)));
        let mut server = Server::start(setup);
        let client = server.client();
        let ids: Vec<i64> = (0..20).map(|_| accepted(&client, &event("calm"))).collect();
        assert_undisturbed(&client, &ids);
        // The timer that would wake it dies with the Retry actor; the poll finds it.
        let late = finished(&client, accepted(&client, &event("late")));
        assert_eq!((&late["status"], &late["attempts"]), (&json!("processed"), &json!(2)), "{late}");
        for pool in ["validators", "normalizers", "persisters", "retry", "claimer"] {
            let is_replaced = || (count(&mut server, pool, "restarts") == 1).then_some(());
            wait_for(&format!("a new actor in {pool}"), SOON, is_replaced, String::new);
        }
        assert_eq!(client.get("/health/ready").status, 200);
    }

    fn the_death_of_the_supervisor_ends_the_process_and_loses_nothing(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let ids: Vec<i64> = (0..20).map(|_| accepted(&client, &event("calm"))).collect();
        server.kill9();
        let mut dying = Server::not_started(server.setup().clone().with_config(&at_turn("supervisor", "crash")));
        dying.spawn();
        assert_eq!(dying.wait_exit(SOON).code(), Some(1), "{}", dying.log());
        server.restart();
        assert_undisturbed(&server.client(), &ids);
    }

    fn a_process_that_aborts_at_any_point_loses_nothing_that_it_acknowledged(database) {
        let setup = Setup::new(&database).with_config(QUICK);
        let mut server = Server::start(setup.clone());
        let client = server.client();
        let mut ids: Vec<i64> = vec![accepted(&client, &event("calm"))];
        let late = rule("validator", "doom", "error", 1);
        let mut rules: Vec<String> = stages().map(|(stage, _)| rule(stage, "doom", "abort", 1)).collect();
        rules.extend(["validator", "normalizer", "persister", "claimer"].map(|stage| at_turn(stage, "abort")));
        rules.push(format!("{late}{}", at_turn("retry", "abort")));
        for rule in rules {
            server.kill9();
            let mut doomed = Server::not_started(setup.clone().with_config(&rule));
            if rule.contains("claimer") {
                doomed.spawn();
            } else {
                doomed.restart();
                post_and_look_away(&mut doomed, "doom");
            }
            let status = doomed.wait_exit(SOON);
            assert!(!status.success(), "{rule}: {status}");
            server.restart();
            let client = server.client();
            ids.push(accepted(&client, &event("calm")));
            assert_undisturbed(&client, &ids);
        }
        let is_empty = || server.database().texts("SELECT CAST(id AS TEXT) FROM events WHERE status = 'pending'").is_empty();
        wait_for("nothing to be left pending", SOON, || is_empty().then_some(()), || server.log());
        assert_eq!(server.dashboard().get("/api/pipeline").json()["claims_held"], Value::from(0));
    }
}
