//! A node that takes events and cannot claim those that wait.

use serde_json::Value;

use super::scrape;
use crate::support::database::{Database, Kind};
use crate::support::events::{accepted, event, finished};
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// The id of an event that waits, far from those that the server gives out.
const WAITS: i64 = 1_000_000;

const FAILING: &str = "gristmill_claims_failing_seconds";

/// What has the database refuse every claim, and no new event.
fn refuse_claims(database: &Database) {
    if database.kind() == Kind::Sqlite {
        database.execute(
            "CREATE TRIGGER no_claims BEFORE UPDATE OF lease_boot ON events \
             BEGIN SELECT RAISE(ABORT, 'no claims today'); END",
        );
        return;
    }
    database.execute(
        "CREATE FUNCTION no_claims() RETURNS trigger LANGUAGE plpgsql \
         AS $$ BEGIN RAISE EXCEPTION 'no claims today'; END $$",
    );
    database.execute(
        "CREATE TRIGGER no_claims BEFORE UPDATE OF lease_boot ON events FOR EACH ROW EXECUTE FUNCTION no_claims()",
    );
}

fn allow_claims(database: &Database) {
    let on = if database.kind() == Kind::Postgres { " ON events" } else { "" };
    database.execute(&format!("DROP TRIGGER no_claims{on}"));
}

/// An event that is due, like another one that is stored.
fn insert_waiting(database: &Database, like: i64) {
    let inserted = database.execute(&format!(
        "INSERT INTO events (id, task_id, user_id, event_name, event_type, payload, status, received_at, \
         next_attempt_at) SELECT {WAITS}, task_id, user_id, event_name, event_type, payload, 'pending', received_at, \
         received_at FROM events WHERE id = {like}"
    ));
    assert_eq!(inserted, 1);
}

/// What the body of a node that is ready says of claiming.
fn failing(client: &Client) -> Option<Value> {
    let answer = client.get("/health/ready");
    assert_eq!(answer.status, 200, "events are taken: {answer:?}");
    let failing = answer.json()["failing"].as_array().cloned().unwrap_or_default();
    failing.into_iter().find(|failing| failing["what"] == "claiming")
}

both_databases! {
    fn a_node_that_cannot_claim_is_ready_and_says_so(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("first"));
        assert_eq!((failing(&client), scrape(&server).figure(FAILING)), (None, 0));
        refuse_claims(&database);
        insert_waiting(&database, id);
        let told = wait_for("a word", SOON, || failing(&client), || server.log_tail());
        assert!(told["since"].is_string() && told["failures"].as_u64() > Some(0), "{told}");
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{told}");
        let has_failed = || (scrape(&server).samples[FAILING] > 0.0).then_some(());
        wait_for("the metric", SOON, has_failed, || scrape(&server).text);
        accepted(&client, &event("meanwhile"));
        allow_claims(&database);
        assert_eq!(finished(&client, WAITS)["status"], "processed");
        let is_over = || (failing(&client).is_none() && scrape(&server).samples[FAILING] == 0.0).then_some(());
        wait_for("the end of it", SOON, is_over, || format!("{:?}", failing(&client)));
    }
}
