//! Servers that take no writes: standbys, and primaries that were switched over.

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::{Client, try_get};
use crate::support::postgres::Cluster;
use crate::support::proxy::Proxy;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// An outage shorter than this passes without a word.
const QUICK: &str = "timeouts.flush = \"1s\"\n";

/// A primary with a standby that has this database as well.
fn pair() -> (Cluster, Cluster, Database) {
    let primary = Cluster::start();
    let database = Database::at(primary.fresh_database());
    let standby = primary.start_standby();
    (primary, standby, database)
}

fn durability(client: &Client) -> Option<String> {
    let answer = client.post_json(EVENTS, &event("page_view"));
    (answer.status == 202).then(|| answer.json()["durability"].as_str().unwrap_or_default().to_owned())
}

/// Waits until events go to `place` again.
fn await_durability(server: &Server, client: &Client, place: &str) {
    let arrived = || (durability(client).as_deref() == Some(place)).then_some(());
    wait_for(&format!("events to go to the {place}"), SOON, arrived, || server.log());
}

fn promote(standby: &Cluster) {
    assert_eq!(standby.sql("postgres", "SELECT pg_promote(true, 30)").trim(), "t");
}

/// Waits until this server has no session of the service.
fn await_left(cluster: &Cluster, server: &Server) {
    let sessions = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'gristmill'";
    let left = || (cluster.sql("postgres", sessions).trim() == "0").then_some(());
    wait_for("the server to be left", SOON, left, || server.log());
}

// Guards `Address::welcome`: a connection to a standby would be kept until it is old.
#[test]
fn a_standby_that_connections_are_led_to_for_a_moment_is_not_kept() {
    let (primary, standby, database) = pair();
    let (proxy, through) = Proxy::in_front_of(database.url());
    let mut server = Server::start(Setup::new(&Database::at(through)).with_config(QUICK));
    let client = server.client();
    accepted(&client, &event("before"));
    proxy.switch_to(standby.address());
    proxy.cut();
    await_durability(&server, &client, "spool");
    let told = || server.log().contains("takes no writes").then_some(());
    wait_for("the reason", SOON, told, || server.log());
    proxy.switch_to(primary.address());
    await_durability(&server, &client, "database");
    await_left(&standby, &server);
}

// Guards `Servers::renew` and `is_outdated`: no session is cut, so only the error says that the server is the wrong one.
#[test]
fn a_server_that_takes_no_writes_any_more_is_left_by_all_connections() {
    let (primary, standby, database) = pair();
    let (proxy, through) = Proxy::in_front_of(database.url());
    let mut server = Server::start(Setup::new(&Database::at(through)).with_config(QUICK));
    let client = server.client();
    accepted(&client, &event("before"));
    promote(&standby);
    primary.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    await_durability(&server, &client, "spool");
    proxy.switch_to(standby.address());
    await_durability(&server, &client, "database");
    await_left(&primary, &server);
    assert_eq!(client.get("/health/ready").status, 200);
    let heard =
        || (!server.log().contains("heartbeat fails") || server.log().contains("heartbeat works again")).then_some(());
    wait_for("the heartbeat", SOON, heard, || server.log());
}

// Guards `Address::first_writable` and `Upstream::follow`.
#[test]
fn of_several_hosts_the_one_that_takes_writes_is_used_whichever_it_is() {
    let (primary, standby, database) = pair();
    let name = database.url().rsplit_once('/').expect("the URL names a database").1;
    let hosts = format!("{},{}", standby.address(), primary.address());
    let url = format!("postgres://gristmill@{hosts}/{name}?target_session_attrs=read-write");
    let mut server = Server::start(Setup::new(&database).with_config(&format!("{QUICK}database.url = {url:?}")));
    let client = server.client();
    accepted(&client, &event("before"));
    assert_eq!(durability(&client).as_deref(), Some("database"));
    primary.stop_immediate();
    await_durability(&server, &client, "spool");
    promote(&standby);
    await_durability(&server, &client, "database");
    server.restart();
    let client = server.client();
    assert_eq!(durability(&client).as_deref(), Some("database"));
}

#[test]
fn a_node_that_finds_only_a_standby_waits_for_a_primary() {
    let (primary, standby, database) = pair();
    drop(primary);
    let name = database.url().rsplit_once('/').expect("the URL names a database").1;
    let mut server = Server::not_started(Setup::new(&Database::at(standby.url(name))));
    server.spawn();
    let waits = || server.log().contains("takes no writes").then_some(());
    wait_for("the reason", SOON, waits, || server.log());
    promote(&standby);
    server.await_ports();
    // Who waits for the database hands the port over.
    let is_ready = || try_get(server.address(), "/health/ready").filter(|answer| answer.status == 200).map(drop);
    wait_for("the node to be ready", SOON, is_ready, || server.log());
    assert_eq!(durability(&server.client()).as_deref(), Some("database"));
}
