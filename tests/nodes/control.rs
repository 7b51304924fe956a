//! Control of a cluster: what is changed at one node is so at all of them, each says so, and one that was away catches up.

use serde_json::{Value, json};

use super::cluster::{Nodes, view};
use crate::control::{asked, pool};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::Client;
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

fn operations(nodes: &Nodes, index: usize) -> Client {
    Client::new(nodes.servers[index].dashboard_address(), Some(nodes.token()))
}

fn changed(nodes: &Nodes, index: usize, path: &str) -> i64 {
    let answer = asked(&operations(nodes, index), path);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["control_generation"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
}

/// Name, state and acknowledged generation of the boots that have not stopped, by name.
fn acknowledged(view: &Value) -> Vec<(String, i64)> {
    let nodes = view["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {view}"));
    let alive = nodes.iter().filter(|node| node["state"] == "alive");
    let mut all: Vec<(String, i64)> = alive
        .map(|node| {
            (node["name"].as_str().expect("a name").to_owned(), node["control_generation"].as_i64().expect("a number"))
        })
        .collect();
    all.sort();
    all
}

fn await_acknowledged(nodes: &Nodes, wanted: &[(&str, i64)]) {
    let wanted: Vec<(String, i64)> = wanted.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
    let there = || (acknowledged(&nodes.view(0)) == wanted).then_some(());
    wait_for(&format!("{wanted:?}"), SOON, there, || format!("{}\n{}", nodes.view(0), nodes.logs()));
}

fn is_ready(server: &Server) -> bool {
    Client::new(server.address(), None).get("/health/ready").status == 200
}

#[test]
fn two_nodes_acknowledge_a_pause_that_survives_the_death_of_both() {
    let nodes = ["timeouts.accept = \"1s\"\ntimeouts.flush = \"1s\""; 2];
    let mut nodes = Nodes::start(&Database::postgres(), &nodes);
    let generation = changed(&nodes, 0, "/pause");
    await_acknowledged(&nodes, &[("node-1", generation), ("node-2", generation)]);
    for index in 0..2 {
        let answer = nodes.client(index).post_json(EVENTS, &event("refused"));
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overloaded")), "{answer:?}");
    }
    nodes.servers.iter_mut().for_each(Server::kill9);
    nodes.servers.iter_mut().for_each(Server::restart);
    for server in &nodes.servers {
        assert_eq!(view(server)["state"]["value"], "paused");
        assert!(!is_ready(server));
    }
    let generation = changed(&nodes, 1, "/resume");
    await_acknowledged(&nodes, &[("node-1", generation), ("node-2", generation)]);
    for index in 0..2 {
        accepted(&nodes.client(index), &event("after"));
    }
    nodes.await_quiet();
    assert_eq!(nodes.database.texts("SELECT event_name FROM events"), ["after", "after"]);
}

#[test]
fn a_node_that_was_cut_off_applies_what_it_missed_and_restarts_its_actors_once() {
    let database = Database::postgres();
    let (proxy, through) = Proxy::in_front_of(database.url());
    let away = format!("database.url = {through:?}");
    let nodes = Nodes::start(&database, &["", &away]);
    await_acknowledged(&nodes, &[("node-1", 0), ("node-2", 0)]);
    // A node that is cut off knows only the tokens that it has seen.
    view(&nodes.servers[1]);
    proxy.refuse();
    for path in ["/pools/normalizers/restart", "/pools/normalizers/restart", "/pools/persisters/pause"] {
        changed(&nodes, 0, path);
    }
    let answer = operations(&nodes, 0).post_json("/api/pipeline/pools/validators", &json!({"size": 5}));
    assert_eq!(answer.json()["control_generation"], 4, "{answer:?}");
    let behind = view(&nodes.servers[1]);
    assert_eq!((&behind["control_generation"], &behind["state"]["value"]), (&json!(0), &json!("running")));
    proxy.restore();
    await_acknowledged(&nodes, &[("node-1", 4), ("node-2", 4)]);
    let restarts = |index: usize| -> Vec<Value> {
        let pool = pool(&nodes.view(index), "normalizers");
        pool["actors"].as_array().expect("a list").iter().map(|actor| actor["restarts"].clone()).collect()
    };
    assert_eq!((restarts(0), restarts(1)), (vec![json!(2); 2], vec![json!(1); 2]), "what was missed is done once");
    let caught_up = nodes.view(1);
    assert_eq!(pool(&caught_up, "validators")["actors"].as_array().map(Vec::len), Some(5), "{caught_up}");
    assert_eq!(pool(&caught_up, "persisters")["state"]["value"], "paused");
    changed(&nodes, 1, "/pools/persisters/resume");
    for index in 0..2 {
        let goes_on = || (nodes.client(index).post_json(EVENTS, &event("after")).status == 202).then_some(());
        wait_for("the node to go on", SOON, goes_on, || nodes.logs());
    }
    nodes.await_quiet();
}
