//! Rules 2 and 4 over a network that loses the answer to a COMMIT.

use super::{event, id_of, number, post, warm_up};
use crate::support::database::Database;
use crate::support::events::EVENTS;
use crate::support::http::Client;
use crate::support::proxy::{Loss, Proxy};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// A server without a spool whose database is behind a proxy, warm: ids, users and the token are in memory.
fn behind_proxy(config: &str) -> (Database, Proxy, Server, Client) {
    let database = Database::postgres();
    let (proxy, through) = Proxy::in_front_of(database.url());
    let setup = Setup::new(&Database::at(through)).with_config("spool.enabled = false").with_config(config);
    let mut server = Server::start(setup);
    let client = server.client();
    warm_up(&client, &database);
    (database, proxy, server, client)
}

fn is_stored_and_counted_once(database: &Database, name: &str) {
    let rows = format!("SELECT COUNT(*) FROM events WHERE event_name = '{name}' AND status = 'processed'");
    assert_eq!(number(database, &rows), 1, "rows of {name}");
    let id = format!("(SELECT id FROM events WHERE event_name = '{name}')");
    let flushes =
        format!("SELECT COUNT(*) FROM flushes WHERE event_ids @> to_jsonb({id}) AND jsonb_exists(counts, 'processed')");
    assert_eq!(number(database, &flushes), 1, "flushes that count {name}");
}

// Guards `Kind::Transient | Kind::Conflict => … Ended::Again` in `Writer::after_error`: the write is repeated.
#[test]
fn an_answer_to_commit_that_a_cut_connection_loses_is_asked_for_again() {
    let (database, proxy, _server, client) = behind_proxy("");
    proxy.lose_answer_to_commit_of("cut_name", Loss::Cut);
    let answer = post(&client, "cut_name", "key");
    assert_eq!((answer.status, proxy.lost()), (202, 1), "{answer:?}");
    assert_eq!(event(&client, id_of(&answer))["status"], "processed");
    is_stored_and_counted_once(&database, "cut_name");
}

// Guards the wait of `Store::run`: without it the flush would hang as long as the connection is silent.
#[test]
fn an_answer_to_commit_that_never_comes_is_asked_for_again() {
    let (database, proxy, _server, client) = behind_proxy("timeouts.flush = \"1s\"");
    proxy.lose_answer_to_commit_of("silent_name", Loss::Silence);
    let answer = post(&client, "silent_name", "key");
    assert_eq!((answer.status, proxy.lost()), (202, 1), "{answer:?}");
    is_stored_and_counted_once(&database, "silent_name");
}

// Guards `is_first_write` in `Writer::header` and the long way after the short one in `Store::flush`.
#[test]
fn a_lost_answer_to_a_write_in_one_statement_is_asked_for_again() {
    let (database, proxy, _server, client) = behind_proxy("timeouts.flush = \"1s\"");
    for (name, loss) in [("cut_statement", Loss::Cut), ("silent_statement", Loss::Silence)] {
        let before = proxy.lost();
        proxy.lose_answer_to_statement_of(name, loss);
        let answer = post(&client, name, "");
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(proxy.lost() > before, "nothing was lost");
        is_stored_and_counted_once(&database, name);
    }
}

// Guards the table `repeats`: the ids of repeats tell one that was counted already.
#[test]
fn a_repeat_of_a_refused_event_is_counted_once_though_the_answer_was_lost() {
    let (_database, proxy, _server, client) = behind_proxy("timeouts.flush = \"1s\"");
    let refused = || client.post_json(EVENTS, &serde_json::json!({"event_name": "x", "payload": {}}));
    let id = refused().json()["event_id"].as_i64().expect("the row that is kept");
    for (times, loss) in [(1, Loss::Cut), (2, Loss::Silence)] {
        proxy.lose_answer_to_commit_of("INSERT INTO repeats", loss);
        let answer = refused();
        assert_eq!((answer.status, proxy.lost()), (422, times), "{answer:?}");
        assert_eq!(event(&client, id)["repeats"], times, "{answer:?}");
    }
}

// Guards `unit.work.maybe_stored = true` in `Writer::flush`: without it the answer would be 503.
#[test]
fn an_answer_to_commit_that_is_lost_for_good_is_told_as_unknown() {
    let (database, proxy, _server, client) = behind_proxy("timeouts = { accept = \"2s\", flush = \"1s\" }");
    proxy.lose_answer_to_commit_of("unknown_name", Loss::CutForGood);
    let answer = post(&client, "unknown_name", "key");
    assert_eq!((answer.status, proxy.lost()), (504, 1), "{answer:?}");
    assert_eq!((&answer.json()["code"], &answer.json()["retryable"]), (&"outcome_unknown".into(), &true.into()));
    is_stored_and_counted_once(&database, "unknown_name");
    proxy.restore();
    let sent_again = || Some(post(&client, "unknown_name", "key")).filter(|answer| answer.status == 200);
    let again =
        wait_for("the database to come back", SOON, sent_again, || format!("{:?}", client.get("/health/ready")));
    assert_eq!(again.json()["duplicate"], true);
    assert_eq!(event(&client, id_of(&again))["status"], "processed");
    is_stored_and_counted_once(&database, "unknown_name");
}

// Guards `before_commit` on errors of `begin_write`: nothing was sent, so nothing can be stored.
#[test]
fn an_event_that_never_reached_the_database_is_told_as_not_stored() {
    let (database, proxy, _server, client) = behind_proxy("timeouts = { accept = \"2s\", flush = \"1s\" }");
    proxy.refuse();
    assert_not_stored(&post(&client, "refused_name", "key"));
    proxy.restore();
    let taken = || Some(post(&client, "later", "")).filter(|answer| answer.status == 202);
    wait_for("the database to come back", SOON, taken, || format!("{:?}", client.get("/health/ready")));
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_name = 'refused_name'"), 0);
}

/// 503 with everything that a client needs to try again.
pub fn assert_not_stored(answer: &crate::support::http::Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!((&answer.json()["code"], &answer.json()["retryable"]), (&"not_stored".into(), &true.into()));
    let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{answer:?}");
}
