//! Old rows are removed: which, in which pieces, and what goes on counting them.

#[cfg(feature = "fault-injection")]
mod archive;
#[cfg(feature = "fault-injection")]
mod kills;
mod space;

use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, id_of, stored, with_uid};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// A run each second.
const OFTEN: &str = "retention.interval = \"1s\"\n";

/// A time before every age.
const LONG_AGO: &str = "2020-01-01T00:00:00.000000+00:00";

/// Makes everything as old as can be. Ids come last: once they are old, the next run goes that far.
fn make_old(database: &Database) {
    let of_end = format!("UPDATE events SET finished_at = '{LONG_AGO}' WHERE finished_at IS NOT NULL");
    database.execute(&of_end);
    assert!(database.execute(&format!("UPDATE events SET received_at = '{LONG_AGO}'")) > 0, "there are events");
    database.execute(&format!("UPDATE attempts SET ended_at = '{LONG_AGO}'"));
    database.execute(&format!("UPDATE replays SET at = '{LONG_AGO}'"));
    database.execute(&format!("UPDATE id_blocks SET reserved_at = '{LONG_AGO}'"));
}

fn number(database: &Database, sql: &str) -> i64 {
    database.texts(&format!("SELECT CAST(({sql}) AS TEXT)"))[0].parse().expect("a number")
}

/// What all runs have removed.
fn removed(database: &Database) -> Value {
    database.texts("SELECT removed_total FROM retention")[0].parse().expect("JSON")
}

/// Waits until runs have removed this.
fn await_removed(server: &Server, expected: &Value) {
    let is_removed = || (removed(server.database()) == *expected).then_some(());
    let state = || format!("{}, not {expected}\n{}", removed(server.database()), server.log_tail());
    wait_for("old rows to be removed", SOON, is_removed, state);
}

fn metric(server: &Server, series: &str) -> u64 {
    let page = server.dashboard().get("/metrics").body;
    let line = page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series}"));
    line.trim().parse().expect("a whole number")
}

/// Waits until two more runs have ended: one that began after this call is among them.
fn await_runs(server: &Server) {
    let runs = || metric(server, "gristmill_retention_runs_total");
    let wanted = runs() + 2;
    wait_for("two runs", SOON, || (runs() >= wanted).then_some(()), || server.log_tail());
}

fn exists(client: &Client, id: i64) -> bool {
    client.get(&format!("{EVENTS}/{id}")).status == 200
}

fn refused(client: &Client, event_type: &str, n: usize) -> i64 {
    let answer = client.post_json(EVENTS, &json!({"event_name": "bad", "event_type": event_type, "payload": [n]}));
    assert_eq!(answer.status, 422, "{answer:?}");
    id_of(&answer)
}

fn of_type(event_type: &str) -> Value {
    json!({"event_name": "a", "event_type": event_type, "payload": {}})
}

both_databases! {
    // Guards the condition, its order of types and statuses, and what hangs on an event.
    fn old_events_go_by_status_and_type_and_all_others_stay(database) {
        let config = "retention.types = { view = \"10d\", order = \"off\" }\nretry.delay = \"1h\"\n";
        let rules = "[[faults]]\nstage = \"validator\"\nevent_name = \"late\"\naction = \"error\"\ntimes = 1\n";
        let mut server = Server::start(Setup::new(&database).with_config(&format!("{OFTEN}{config}{rules}")));
        let client = server.client();
        let kept = [
            accepted(&client, &event("calm")),
            refused(&client, "order", 0),
            accepted(&client, &json!({"event_name": "late", "event_type": "view", "payload": {}})),
        ];
        let gone = [accepted(&client, &of_type("view")), refused(&client, "view", 1), refused(&client, "b", 2)];
        let replayed = refused(&client, "b", 3);
        client.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [replayed]}));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 1);
        let balance = client.get("/api/v1/stats").json()["balance"].clone();
        make_old(&database);
        let young = refused(&client, "b", 4);
        await_removed(&server, &json!({"attempts": 1, "processed": 1, "validation_error": 3}));
        await_runs(&server);
        for id in kept.into_iter().chain([young]) {
            assert!(exists(&client, id), "{id} is gone\n{}", server.log_tail());
        }
        for id in gone.into_iter().chain([replayed]) {
            assert!(!exists(&client, id), "{id} is there");
        }
        assert_eq!(stored(&client, kept[2])["status"], "pending");
        for table in ["attempts", "replays"] {
            let orphans = format!("SELECT COUNT(*) FROM {table} WHERE event_id NOT IN (SELECT id FROM events)");
            assert_eq!(number(&database, &orphans), 0, "{table}");
        }
        let mut counted = balance;
        counted["received"] = json!(counted["received"].as_i64().expect("a count") + 1);
        counted["validation_error"] = json!(counted["validation_error"].as_i64().expect("a count") + 1);
        assert_eq!(client.get("/api/v1/stats").json()["balance"], counted, "statistics go on counting what is gone");
        for (what, rows) in [("processed", 1), ("validation_error", 3), ("attempts", 1), ("failed", 0)] {
            assert_eq!(metric(&server, &format!("gristmill_retention_rows_removed_total{{what=\"{what}\"}}")), rows, "{what}");
        }
        let audit = client.get("/api/v1/audit?action=rows_removed").json();
        let rows = audit["data"].as_array().expect("a list");
        let sum: i64 = rows.iter().filter_map(|row| row["detail"]["removed"]["validation_error"].as_i64()).sum();
        assert_eq!((sum, &rows[0]["object"]), (3, &json!("retention")), "{audit}");
        assert!(rows.len() <= 3, "a run that removed nothing leaves no row: {audit}");
        assert!(server.log().contains("old rows removed"));
    }

    // Guards `EventTerms::age`: without its event a key finds nothing.
    fn no_event_goes_before_its_key(database) {
        let config = "retention.types = { engagement = \"1h\" }\n";
        let mut server = Server::start(Setup::new(&database).with_config(&format!("{OFTEN}{config}")));
        let client = server.client();
        let id = accepted(&client, &with_uid("a"));
        // By the clock of keys six days have passed since. It comes first: runs go on meanwhile.
        database.execute("UPDATE key_clock SET at = '2020-01-07T00:00:00.000000+00:00'");
        database.execute(&format!("UPDATE dedupe_keys SET created_at = '{LONG_AGO}'"));
        make_old(&database);
        await_runs(&server);
        let again = client.post_json(EVENTS, &with_uid("a"));
        assert_eq!((again.status, id_of(&again)), (200, id), "{again:?}");
        database.execute("UPDATE key_clock SET at = '2020-01-08T02:00:00.000000+00:00'");
        await_removed(&server, &json!({"processed": 1}));
        assert!(!exists(&client, id));
    }

    fn old_attempts_audit_rows_and_jobs_go_beside_events_that_stay(database) {
        let rules = "[[faults]]\nstage = \"validator\"\nevent_name = \"late\"\naction = \"error\"\ntimes = 2\n";
        let config = format!("{OFTEN}retry.delay = \"10ms\"\n{rules}");
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        let id = accepted(&client, &json!({"event_name": "late", "event_type": "b", "payload": {}}));
        let is_done = || (stored(&client, id)["status"] == "processed").then_some(());
        wait_for("the event to be processed", SOON, is_done, || server.log_tail());
        let job = client.post_json(&format!("{EVENTS}/cancel"), &json!({"filter": {"event_name": "none"}}));
        assert_eq!(job.status, 202, "{job:?}");
        let has_ended = || (number(&database, "SELECT COUNT(*) FROM jobs WHERE status = 'running'") == 0).then_some(());
        wait_for("the job to end", SOON, has_ended, || server.log_tail());
        let audit = number(&database, "SELECT COUNT(*) FROM audit");
        database.execute(&format!("UPDATE jobs SET finished_at = '{LONG_AGO}'"));
        database.execute(&format!("UPDATE audit SET at = '{LONG_AGO}'"));
        make_old(&database);
        await_removed(&server, &json!({"attempts": 2, "audit": audit, "jobs": 1}));
        assert_eq!(stored(&client, id)["status"], "processed");
        let attempts = client.get(&format!("{EVENTS}/{id}/timeline")).json()["attempts"].clone();
        assert_eq!((attempts.as_array().map(Vec::len), &attempts[0]["attempt"]), (Some(1), &json!(3)), "{attempts}");
    }

    fn a_paused_pruner_removes_nothing(database) {
        let mut server = Server::start(Setup::new(&database).with_config(OFTEN));
        let client = server.client();
        let id = refused(&client, "b", 5);
        let control = |what: &str| server.dashboard().call("POST", &format!("/api/pipeline/pools/pruner/{what}"), &[], None).status;
        assert_eq!(control("pause"), 200);
        make_old(&database);
        let runs = metric(&server, "gristmill_retention_runs_total");
        crate::support::wait::rest(std::time::Duration::from_secs(3));
        assert!(exists(&client, id));
        assert!(metric(&server, "gristmill_retention_runs_total") <= runs + 1);
        assert_eq!(control("resume"), 200);
        await_removed(&server, &json!({"validation_error": 1}));
    }
}
