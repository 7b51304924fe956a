//! `GET /api/pipeline` lists the nodes of the cluster.

use serde_json::{Value, json};

use super::cluster::{Nodes, setup, view};
use crate::support::database::Database;
use crate::support::postgres::Cluster;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Name and state of each boot, sorted.
fn states(view: &Value) -> Vec<String> {
    let nodes = view["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {view}"));
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_else(|| panic!("no {key}: {node}")).to_owned();
    let mut states: Vec<String> =
        nodes.iter().map(|node| format!("{} {}", text(node, "name"), text(node, "state"))).collect();
    states.sort();
    states
}

fn await_states(nodes: &Nodes, wanted: &[&str]) {
    let there = || (states(&nodes.view(0)) == wanted).then_some(());
    wait_for(&format!("{wanted:?}"), SOON, there, || format!("{}\n{}", nodes.view(0), nodes.logs()));
}

#[test]
fn every_node_is_listed_as_alive_silent_or_stopped() {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &["", ""]);
    await_states(&nodes, &["node-1 alive", "node-2 alive"]);
    for index in 0..2 {
        let view = nodes.view(index);
        let this = |node: &&Value| node["this"] == true;
        let this: Vec<&Value> = view["nodes"].as_array().expect("a list").iter().filter(this).collect();
        let [this] = this[..] else { panic!("{view}") };
        assert_eq!((&this["boot_id"], &this["name"]), (&view["node"]["boot_id"], &view["node"]["name"]));
        assert!(this["heartbeat_age_ms"].as_u64().is_some_and(|age| age < 2_000), "{this}");
        let figures = ["claims", "spool_events", "spool_bytes"].map(|key| this[key].clone());
        assert_eq!(figures, [json!(0), json!(0), json!(0)]);
        assert!(this["started_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{this}");
    }
    nodes.servers[1].kill9();
    await_states(&nodes, &["node-1 alive", "node-2 silent"]);
    nodes.servers[1].restart();
    await_states(&nodes, &["node-1 alive", "node-2 alive", "node-2 stopped"]);
    nodes.servers[1].terminate();
    nodes.servers[1].wait_exit(SOON);
    await_states(&nodes, &["node-1 alive", "node-2 stopped", "node-2 stopped"]);
}

// Guards the bound of `Pipeline::nodes`: the node itself is shown, above all when the database is away.
#[test]
fn the_pipeline_is_shown_while_the_database_is_away() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let server = Server::start(setup(&database, 0));
    // The token that asks is remembered.
    view(&server);
    cluster.stop_immediate();
    let shown = view(&server);
    assert_eq!(shown["nodes"], Value::Null, "{shown}");
    assert_eq!(shown["node"]["name"], "node-1");
    cluster.start_again();
    wait_for("the list", SOON, || view(&server)["nodes"].is_array().then_some(()), || server.log());
}
