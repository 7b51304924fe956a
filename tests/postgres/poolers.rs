//! PgBouncer between the service and PostgreSQL, with the real program.

use std::path::Path;

use serde_json::json;

use super::{number, refusal};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, id_of, with_uid};
use crate::support::lacks::{Lack, skips};
use crate::support::pooler::{Pooler, programs};
use crate::support::postgres::psql;
use crate::support::server::{Server, Setup};
use crate::support::session::Session;
use crate::support::wait::{SOON, wait_for};

/// Runs the test with each version that is there, which it says.
fn with_each(test: impl Fn(&Path)) {
    let programs = programs();
    let lacks = programs.is_empty().then(|| Lack::Tool("the program pgbouncer".to_owned()));
    if !skips(&[lacks]) {
        programs.iter().for_each(|program| {
            println!("with {}", program.display());
            test(program);
        });
    }
}

/// A server whose `database.url` leads through the pooler, with this in the URL's query.
fn behind(pooler: &Pooler, database: &Database, query: &str, config: &str) -> Server {
    let setup = Setup::new(database).with_config(&format!(
        "database.url = \"{}{query}\"\ndatabase.direct_url = {:?}\n{config}",
        pooler.url(database.url()),
        database.url(),
    ));
    Server::start(setup)
}

/// What a client can do, one thing of each kind.
fn is_used(server: &mut Server) {
    let client = server.client();
    let id = accepted(&client, &event("page_view"));
    assert_eq!(finished(&client, id)["status"], "processed");
    let keyed = accepted(&client, &with_uid("k-1"));
    let again = client.post_json(EVENTS, &with_uid("k-1"));
    assert_eq!((again.status, id_of(&again)), (200, keyed), "{again:?}");
    let batch: Vec<_> = (0..50).map(|n| event(&format!("of_batch_{n}"))).collect();
    let answer = client.post_json("/api/v1/events/batch", &json!(batch));
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    let invalid = client.post_json(EVENTS, &json!({"event_name": "x", "payload": {"page": "/"}}));
    assert_eq!(invalid.status, 422, "{invalid:?}");
    let listed = client.get(&format!("{EVENTS}?limit=100"));
    assert_eq!(listed.json()["data"].as_array().map(Vec::len), Some(53), "{listed:?}");
    let job = client.post_json("/api/v1/events/cancel", &json!({"filter": {"event_name": "page_view"}}));
    assert_eq!(job.status, 202, "{job:?}");
    let of_job = format!("/api/v1/jobs/{}", job.json()["id"]);
    let done = || (client.get(&of_job).json()["status"] != "running").then_some(());
    wait_for("the job", SOON, done, || server.log());
    let paused = server.dashboard().call("POST", "/api/pipeline/pools/validators/pause", &[], None);
    assert_eq!(paused.status, 200, "{paused:?}");
    let resumed = server.dashboard().call("POST", "/api/pipeline/pools/validators/resume", &[], None);
    assert_eq!(resumed.status, 200, "{resumed:?}");
    is_claimed(server);
    let log = server.log();
    assert!(!log.contains(" fails"), "{log}");
}

/// Work that was left in the table is claimed, worked on and written under its lease.
fn is_claimed(server: &Server) {
    let database = server.database().clone();
    let left = "UPDATE events SET status = 'pending', processed_at = NULL, properties = NULL, next_attempt_at = now() \
                WHERE event_name LIKE 'of_batch_%'";
    assert_eq!(database.execute(left), 50);
    let done = "SELECT COUNT(*) FROM events WHERE event_name LIKE 'of_batch_%' AND status = 'processed'";
    let done = || (number(&database, done) == 50).then_some(());
    wait_for("what was left to be claimed", SOON, done, || server.log());
}

/// What another client of the pooler finds in the sessions that it is given.
fn finds_defaults(pooler: &Pooler, database: &Database) {
    let through = pooler.url(database.url());
    for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        for _ in 0..10 {
            let found = psql(&through, &format!("SHOW {setting}"));
            assert_eq!(found.as_deref().map(str::trim), Ok("0"), "{setting} leaks to other clients");
        }
    }
}

// Guards `Link`, `session::prelude` and `session::keeps_statements`.
#[test]
fn the_service_works_through_a_pooler_of_transactions_and_leaves_nothing_in_its_sessions() {
    with_each(|program| {
        let database = Database::postgres();
        let pooler = Pooler::start(program, database.url(), "pool_mode = transaction\ndefault_pool_size = 4");
        let mut server = behind(&pooler, &database, "", "");
        is_used(&mut server);
        finds_defaults(&pooler, &database);
    });
}

#[test]
fn the_service_works_through_a_pooler_of_sessions() {
    with_each(|program| {
        let database = Database::postgres();
        let pooler = Pooler::start(program, database.url(), "pool_mode = session\ndefault_pool_size = 20");
        is_used(&mut behind(&pooler, &database, "?statement-cache-capacity=100", ""));
    });
}

#[test]
fn named_statements_can_be_turned_off_by_the_address() {
    with_each(|program| {
        let database = Database::postgres();
        let pooler = Pooler::start(program, database.url(), "pool_mode = transaction\ndefault_pool_size = 4");
        is_used(&mut behind(&pooler, &database, "?statement-cache-capacity=0", ""));
    });
    let database = Database::postgres();
    let url = format!("{}?statement-cache-capacity=0", database.url());
    is_used(&mut Server::start(Setup::new(&database).with_config(&format!("database.url = {url:?}"))));
}

// Guards the time-outs in `session::prelude`, also in sessions that the pooler has made anew.
#[test]
fn a_held_lock_is_told_through_a_pooler_as_well() {
    with_each(|program| {
        let database = Database::postgres();
        let pooler = Pooler::start(program, database.url(), "pool_mode = transaction");
        let config = "spool.enabled = false\ntimeouts.accept = \"2s\"\ndatabase.lock_timeout = \"200ms\"";
        let mut server = behind(&pooler, &database, "", config);
        let client = server.client();
        accepted(&client, &event("before"));
        let cut = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(number(&database, cut) > 0);
        let works = || (client.post_json(EVENTS, &event("again")).status == 202).then_some(());
        wait_for("new sessions", SOON, works, || server.log());
        let lock = Session::lock_events(&database);
        let refused = client.post_json(EVENTS, &event("meanwhile"));
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("not_stored")), "{refused:?}");
        lock.commit();
        wait_for("the lock to be gone", SOON, works, || server.log());
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_name = 'meanwhile'"), 0);
    });
}

// Guards `through_a_pooler` in `store/postgres/session.rs`.
#[test]
fn a_pooler_where_sessions_are_needed_is_refused_with_what_to_set() {
    with_each(|program| {
        for settings in [
            "pool_mode = transaction",
            "pool_mode = session",
            "pool_mode = transaction\nignore_startup_parameters = options,extra_float_digits",
        ] {
            let database = Database::postgres();
            let pooler = Pooler::start(program, database.url(), settings);
            let through = Database::at(pooler.url(database.url()));
            let log = refusal(Setup::new(&through));
            assert!(log.contains("leads through a pooler") && log.contains("database.direct_url"), "{settings}: {log}");
        }
    });
}
