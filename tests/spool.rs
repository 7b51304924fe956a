//! The spool: what is accepted while PostgreSQL is away, what becomes of it, and what its users are told.

mod bounds;
mod file;
mod keys;
mod parked;
mod starts;

use serde_json::Value;

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, id_of, stored};
use crate::support::http::{Answer, Client};
use crate::support::load::Load;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Answers of an outage come soon.
const QUICK: &str = "timeouts.flush = \"1s\"\n";

/// A cluster of its own, which may be stopped, and a server that has stored something there.
fn at_work(config: &str) -> (Cluster, Server) {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(config));
    let client = server.client();
    let id = accepted(&client, &event("before"));
    assert_eq!(finished(&client, id)["status"], "processed");
    (cluster, server)
}

/// Posts an event that has to be spooled, and gives the receipt.
fn spooled(client: &Client, event: &Value) -> Value {
    let answer = client.post_json(EVENTS, event);
    assert_eq!(answer.status, 202, "{answer:?}");
    let receipt = answer.json();
    assert_eq!((&receipt["durability"], &receipt["duplicate"]), (&"spool".into(), &false.into()), "{answer:?}");
    assert!(answer.header("location").is_some(), "{answer:?}");
    receipt
}

fn id_in(receipt: &Value) -> i64 {
    receipt["event_id"].as_i64().expect("a number")
}

/// Waits until the node's spool is empty.
fn await_drained(server: &Server) {
    let is_empty = || (server.spooled() == 0).then_some(());
    wait_for("the spool to be empty", SOON, is_empty, || format!("{} events\n{}", server.spooled(), server.log()));
}

fn number(database: &Database, sql: &str) -> i64 {
    let texts = database.texts(&format!("SELECT CAST(({sql}) AS TEXT)"));
    texts[0].parse().unwrap_or_else(|error| panic!("{sql}: {texts:?}: {error}"))
}

// Guards `Outage::begin` in `Writer::after_error` and all of `persister/spooling.rs` and `drainer.rs`.
#[test]
fn events_of_an_outage_are_accepted_shown_as_pending_and_stored_once_it_is_over() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..20).map(|_| id_in(&spooled(&client, &event("meanwhile")))).collect();
    for id in &ids {
        let shown = stored(&client, *id);
        assert_eq!((&shown["status"], &shown["processed"]), (&"pending".into(), &false.into()), "{shown}");
        assert_eq!(shown["payload"]["page"], "/home", "{shown}");
    }
    assert_eq!(client.get("/health/ready").status, 200, "it can accept durably");
    cluster.start_again();
    for id in &ids {
        let event = finished(&client, *id);
        assert_eq!((&event["status"], &event["attempts"]), (&"processed".into(), &1.into()), "{event}");
    }
    await_drained(&server);
    let direct = client.post_json(EVENTS, &event("after")).json();
    assert_eq!(direct["durability"], "database", "{direct}");
    assert_eq!(number(server.database(), "SELECT COUNT(*) FROM events"), 22);
    let log = server.log();
    assert_eq!(log.matches("writing events fails").count(), 1, "{log}");
    assert_eq!(log.matches("writing events works again").count(), 1, "{log}");
}

// Guards `Spare`: without ids laid by, the first block would be the end of what an outage can take.
#[test]
fn an_outage_under_load_refuses_nobody_and_loses_and_doubles_nothing() {
    let (cluster, mut server) = at_work("");
    let token = server.token();
    let load = Load::start(server.ports(), &token, 4);
    let await_more = |count: usize| {
        let enough = load.acknowledged() + count;
        let reached = || (load.acknowledged() >= enough).then_some(());
        wait_for(&format!("{count} more acknowledgements"), SOON, reached, || server.log());
    };
    await_more(100);
    cluster.kill_postmaster();
    await_more(500);
    cluster.start_again();
    await_more(100);
    let ledger = load.stop();
    let (acknowledged, rejected, unknown) = ledger.counts();
    assert_eq!((rejected, unknown), (0, 0), "of {acknowledged}");
    await_drained(&server);
    ledger.verify(&server.client(), server.database());
    assert_eq!(number(server.database(), "SELECT COUNT(*) FROM events WHERE attempts <> 1"), 0, "charged");
}

// Guards `maybe_stored` in `Drainer::unit` and the identity of repeated writes: the first write of a spooled event
// may have been committed.
#[test]
fn a_write_of_unknown_fate_goes_to_the_spool_and_is_stored_once() {
    use crate::support::proxy::{Loss, Proxy};

    let cluster = Cluster::start();
    let url = cluster.fresh_database();
    let (proxy, through) = Proxy::in_front_of(&url);
    let database = Database::at(through);
    let behind = Database::at(url);
    let mut server = Server::start(Setup::new(&database).with_config(QUICK));
    let client = server.client();
    accepted(&client, &event("before"));
    for (loss, name) in [(Loss::Silence, "silent"), (Loss::Cut, "cut")] {
        let lost = proxy.lost();
        proxy.lose_answer_to_statement_of(name, loss);
        let receipt = spooled(&client, &event(name));
        assert!(proxy.lost() > lost, "the answer was not lost");
        let event = finished(&client, id_in(&receipt));
        assert_eq!((&event["status"], &event["attempts"]), (&"processed".into(), &1.into()), "{event}");
        let rows = format!("SELECT COUNT(*) FROM events WHERE event_name = '{name}'");
        assert_eq!(number(&behind, &rows), 1);
        await_drained(&server);
    }
    let counted = "SELECT COALESCE(SUM((counts -> 'processed' ->> 'engagement')::int), 0) FROM flushes";
    assert_eq!(number(&behind, counted), 3, "each event counts once");
}

#[test]
fn waiting_for_the_outcome_of_a_spooled_event_is_answered_at_once() {
    let (cluster, mut server) = at_work("");
    let client = server.client();
    cluster.stop_immediate();
    spooled(&client, &event("meanwhile"));
    let answer: Answer = crate::support::events::post_and_wait(&client, &event("meanwhile"), 60);
    assert_eq!((answer.status, answer.json()["durability"].as_str()), (202, Some("spool")), "{answer:?}");
    let refused = client.post_json(EVENTS, &serde_json::json!({"event_name": "a", "event_type": "b", "payload": []}));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(refused.json().get("event_id"), None, "what was refused is not kept: {refused:?}");
    cluster.start_again();
    assert_eq!(finished(&client, id_of(&answer))["status"], "processed");
}
