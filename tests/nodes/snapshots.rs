//! What every node can be asked of the line of every other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{LEASE, Nodes, view};
use crate::control::{asked, pool};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};
use crate::support::session::Session;
use crate::support::wait::{SOON, wait_for, within};
use crate::support::wire::Connection;

/// Locks are waited for longer than a node may be silent.
const PATIENT: &str = "database = { lock_timeout = \"6s\", acquire_timeout = \"6s\", statement_timeout = \"10s\" }\n\
    timeouts = { flush = \"12s\", accept = \"12s\" }";

/// The line of `node`, asked for at this server.
fn told(server: &Server, node: &str) -> Answer {
    server.dashboard().get(&format!("/api/pipeline?node={node}"))
}

/// The line as this server tells it once it fits; a failure shows the last one.
#[track_caller]
fn await_told(server: &Server, node: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let look = || Some(told(server, node)).filter(|answer| answer.status == 200).map(|answer| answer.json());
    wait_for(what, SOON, || look().filter(|view| fits(view)), || format!("{:?}", told(server, node)))
}

/// Events that the actors of a pool have worked on, and their restarts.
fn worked(view: &Value, name: &str) -> (u64, u64) {
    let pool = pool(view, name);
    let sum =
        |key: &str| pool["actors"].as_array().expect("a list").iter().filter_map(|actor| actor[key].as_u64()).sum();
    (sum("events"), sum("restarts"))
}

fn state_of(view: &Value, boot_id: &Value) -> String {
    let nodes = view["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {view}"));
    let node = nodes.iter().find(|node| node["boot_id"] == *boot_id).unwrap_or_else(|| panic!("no {boot_id}: {view}"));
    node["state"].as_str().expect("a text").to_owned()
}

#[test]
fn each_of_two_nodes_shows_the_line_of_the_other_as_that_one_does() {
    let nodes = Nodes::start(&Database::postgres(), &["", ""]);
    let one = &nodes.servers[0];
    let other = &nodes.servers[1];
    for _ in 0..3 {
        finished(&nodes.client(1), accepted(&nodes.client(1), &event("there")));
    }
    let operator = Client::new(one.dashboard_address(), Some(nodes.token()));
    assert_eq!(asked(&operator, "/pools/claimer/pause").status, 200);
    assert_eq!(asked(&operator, "/pools/normalizers/restart").status, 200);
    let seen = await_told(one, "node-2", "the other's events and restarts", |view| {
        worked(view, "persisters").0 == 3
            && worked(view, "normalizers").1 == 2
            && pool(view, "claimer")["state"]["value"] == "paused"
    });
    let own = view(other);
    for part in ["node", "generation", "control_generation", "state", "pools"] {
        assert_eq!(seen[part], own[part], "{part}");
    }
    assert_eq!((&seen["node"]["name"], &own["snapshot"]), (&json!("node-2"), &Value::Null));
    assert_eq!(seen["snapshot"]["is_old"], false, "{seen}");
    assert!(seen["snapshot"]["age_ms"].as_u64().is_some_and(|age| age < 15_000), "{seen}");
    let this = seen["nodes"].as_array().expect("nodes").iter().find(|node| node["this"] == true).expect("one");
    assert_eq!(this["name"], "node-1", "who answers is told as ever");

    let boot = own["node"]["boot_id"].as_str().expect("a boot").to_owned();
    assert_eq!(told(one, &boot).json()["node"], own["node"], "by its boot");
    for name in ["node-2", boot.as_str()] {
        let answer = told(other, name).json();
        assert_eq!((&answer["node"], &answer["snapshot"]), (&own["node"], &Value::Null), "its own line is no snapshot");
    }
    assert_eq!(await_told(other, "node-1", "the first one's line", |_| true)["node"]["name"], "node-1");
    let table = nodes.servers[0].setup().run(&["pipeline", "show", "--node", "node-2"]);
    assert!(table.starts_with("node node-2 (alive), as it was ") && table.contains("\nthe line is running"), "{table}");
}

#[test]
fn a_node_that_died_or_stopped_is_seen_as_it_was_and_said_to_be_so() {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &["", "", ""]);
    let [killed, stopped] = [1, 2].map(|index| view(&nodes.servers[index])["node"]["boot_id"].clone());
    for name in ["node-2", "node-3"] {
        await_told(&nodes.servers[0], name, "the first word", |_| true);
    }
    nodes.servers[1].kill9();
    nodes.servers[2].terminate();
    assert!(nodes.servers[2].wait_exit(SOON).success());
    let gone = |view: &Value| state_of(view, &killed) == "silent" && state_of(view, &stopped) == "stopped";
    let seen = await_told(&nodes.servers[0], "node-2", "both to be gone", gone);
    assert!(!pool(&seen, "validators")["actors"].as_array().expect("a list").is_empty(), "{seen}");
    database.execute("UPDATE snapshots SET told_at = told_at - interval '1 minute'");
    for name in ["node-2", "node-3"] {
        let seen = told(&nodes.servers[0], name).json();
        assert_eq!(seen["snapshot"]["is_old"], true, "{seen}");
        assert!(seen["snapshot"]["age_ms"].as_u64().is_some_and(|age| age >= 60_000), "{seen}");
    }
    let table = nodes.servers[0].setup().run(&["pipeline", "show", "--node", "node-3"]);
    assert!(table.starts_with("node node-3 (stopped), as it was ") && table.contains(", which is old:"), "{table}");
}

#[test]
fn a_node_is_asked_for_by_a_name_that_only_one_has() {
    let database = Database::postgres();
    let config = "node.name = \"twin\"";
    let mut servers = [(); 2].map(|()| Server::start(Setup::new(&database).with_config(config)));
    let token = servers[0].token();
    servers[1].share_token(&token);
    let refused = |query: &str| {
        let answer = servers[0].dashboard().get(&format!("/api/pipeline?{query}"));
        (answer.status, answer.json()["code"].as_str().expect("a code").to_owned())
    };
    let wrong = (400, "invalid_request".to_owned());
    assert_eq!(refused("node=twin"), wrong);
    assert_eq!((refused("nod=twin"), refused("node=a&node=b")), (wrong.clone(), wrong));
    assert_eq!(refused("node=nobody"), (404, "not_found".to_owned()));
    let boot = view(&servers[1])["node"]["boot_id"].clone();
    let seen = await_told(&servers[0], boot.as_str().expect("a boot"), "its line", |_| true);
    assert_eq!((&seen["node"]["boot_id"], &seen["snapshot"]["is_old"]), (&boot, &json!(false)), "{seen}");
    database.execute("DELETE FROM snapshots");
    let silent = || (told(&servers[0], boot.as_str().expect("a boot")).status == 404).then_some(());
    assert!(within(SOON, silent).is_some(), "what nobody has told is not made up");
}

// Guards that `Publisher` writes a row and on a connection that the heartbeat does not need.
#[test]
fn a_snapshot_that_cannot_be_written_delays_no_heartbeat() {
    let database = Database::postgres();
    let nodes = Nodes::start(&database, &[PATIENT, PATIENT]);
    await_told(&nodes.servers[0], "node-2", "the first word", |_| true);
    let lock = Session::begin(&database, "LOCK TABLE snapshots IN ACCESS EXCLUSIVE MODE");
    let late = || {
        let view = nodes.view(0);
        view["nodes"].as_array().expect("nodes").iter().any(|node| node["state"] != "alive").then_some(view)
    };
    assert_eq!(within(LEASE * 2, late), None, "{}", nodes.logs());
    accepted(&nodes.client(1), &event("meanwhile"));
    lock.commit();
    await_told(&nodes.servers[0], "node-2", "what was held up", |view| worked(view, "persisters").0 == 1);
}

both_databases! {
    fn an_idle_line_is_told_seldom_and_the_last_boots_is_kept(database) {
        let mut server = Server::start(&database);
        let boot = view(&server)["node"]["boot_id"].as_str().expect("a boot").to_owned();
        let mut moments = BTreeSet::new();
        within(Duration::from_secs(7), || {
            moments.extend(database.texts("SELECT CAST(told_at AS TEXT) FROM snapshots"));
            None::<()>
        });
        assert!((1..=4).contains(&moments.len()), "{moments:?}");
        assert_eq!(told(&server, &boot).json()["snapshot"], Value::Null, "its own line is seen directly");
        server.restart();
        let seen = await_told(&server, &boot, "the line of the boot before", |_| true);
        assert_eq!((&seen["node"]["boot_id"], state_of(&seen, &json!(boot)).as_str()), (&json!(boot), "stopped"), "{seen}");
        assert_ne!(view(&server)["node"]["boot_id"], json!(boot));
        let name = view(&server)["node"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(told(&server, &name).json()["snapshot"], Value::Null, "a name is that of the boot that lives");
    }
}

#[test]
fn the_line_of_another_node_is_pushed_until_nobody_can_tell_it() {
    let database = Database::postgres();
    let nodes = Nodes::start(&database, &["", ""]);
    let watch = |node: &str| {
        let mut connection = Connection::open(nodes.servers[0].dashboard_address()).expect("it takes connections");
        let request = format!(
            "GET /api/live/pipeline?node={node} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            nodes.token()
        );
        connection.send(request.as_bytes()).expect("it reads requests");
        connection
    };
    await_told(&nodes.servers[0], "node-2", "the other's line", |_| true);
    let mut watchers = [watch("node-2"), watch("node-2")];
    finished(&nodes.client(1), accepted(&nodes.client(1), &event("there")));
    for watcher in &mut watchers {
        let mut pushed = || {
            watcher.lines_until("event: pipeline").expect("a line");
            let text = watcher.lines_until("data: ").expect("its data").concat();
            let view: Value = serde_json::from_str(&text[6..]).expect("JSON");
            Some(()).filter(|()| view["node"]["name"] == "node-2" && worked(&view, "persisters").0 == 1)
        };
        wait_for("the other's event to be pushed", SOON, &mut pushed, String::new);
    }
    database.execute("DELETE FROM snapshots");
    watchers[0].lines_until("event: doubt").expect("a doubt");
    let refused = Client::new(nodes.servers[0].dashboard_address(), Some(nodes.token()));
    assert_eq!(refused.get("/api/live/pipeline?node=nobody").status, 404);
    assert_eq!(refused.get("/api/live/pipeline").status, 400);
}
