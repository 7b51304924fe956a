//! Plans under statistics of another time: what a statement meets does not grow with the table.

mod report;

use std::time::Duration;

use serde_json::json;

use self::report::{OF_THE_TEST, Plan, plans};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, with_uid};
use crate::support::http::Client;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// Events of the table, which are processed, and those of them that become due at once.
const EVENTS_ALL: usize = 30_000;
const EVENTS_DUE: usize = 12_000;

/// Those of these that a dead node holds.
const EVENTS_HELD: usize = 10;

/// The first of their ids, far from those that the server gives out.
const FIRST: usize = 1_000_000;

/// Most events of a claim, by default.
const CLAIM: usize = 500;

/// How long the backlog may take, also on a busy machine.
const CLEARED: Duration = Duration::from_secs(120);

/// Parts of the statements that have to be met: otherwise nothing was shown of them.
const STATEMENTS: [(&str, &str); 16] = [
    ("find what waits", "suspect = FALSE AND next_attempt_at <= statement_timestamp() ORDER BY"),
    ("find suspects", "suspect = TRUE AND next_attempt_at"),
    ("claim", "UPDATE events SET lease_boot = $1, lease_token = $2"),
    ("write outcomes of claimed events", "UPDATE events AS e SET"),
    ("take over", "UPDATE events SET attempts = CASE"),
    ("release orphans", "UPDATE events SET lease_boot = NULL, lease_until = NULL WHERE status"),
    ("look at other nodes", "SELECT DISTINCT lease_boot"),
    ("find holders of keys", "JOIN dedupe_keys AS held"),
    ("count the backlog", "SELECT COUNT(*), MIN(received_at) FROM events"),
    ("statistics", "SELECT (SELECT COUNT(*) FROM events WHERE status = 'pending'), sums.*"),
    ("list", "SELECT id, received_at, CASE WHEN"),
    ("read events", "json_text(properties"),
    ("lock events", "FROM events e LEFT JOIN users"),
    ("reopen", "status = 'pending', suspect = FALSE"),
    ("last id", "SELECT COALESCE(MAX(id), 0) FROM events"),
    ("see what is crowded", "LIMIT 2001) AS due"),
];

/// When the table was last analyzed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Analyzed {
    /// Never.
    Never,
    /// While it was empty.
    Empty,
    /// When all of its events were processed.
    Processed,
    /// When all of them were pending.
    Pending,
}

#[test]
fn a_table_that_was_never_analyzed_is_searched_by_its_indexes() {
    search(Analyzed::Never, "force_generic_plan");
}

#[test]
fn a_table_that_was_analyzed_when_nothing_was_pending_is_searched_by_its_indexes() {
    search(Analyzed::Processed, "auto");
}

#[test]
fn a_table_that_was_analyzed_when_everything_was_pending_is_searched_by_its_indexes() {
    search(Analyzed::Pending, "force_custom_plan");
}

/// Also by plans that were made, and kept, when it was empty.
#[test]
fn a_table_that_was_analyzed_when_it_was_empty_is_searched_by_its_indexes() {
    search(Analyzed::Empty, "force_generic_plan");
}

fn search(analyzed: Analyzed, mode: &str) {
    let cluster = Cluster::start();
    let url = cluster.fresh_database();
    report::begin(&cluster, url.rsplit('/').next().expect("a name"), mode);
    let database = Database::at(url);
    // The poll is less often than in other tests, because each of its statements is reported.
    let setup = Setup::new(&database).with_config("lease = { duration = \"2s\", poll = \"200ms\" }");
    let mut server = Server::start(setup);
    accepted(&server.client(), &event("first"));
    for partition in ["events_p0", "events_p1"] {
        execute(&database, &format!("ALTER TABLE {partition} SET (autovacuum_enabled = off)"));
    }
    if analyzed == Analyzed::Empty {
        execute(&database, "ANALYZE");
        let searched = || plans(&cluster).iter().filter(|plan| plan.statement.contains(STATEMENTS[0].1)).count();
        wait_for("kept plans", SOON, || (searched() > 10).then_some(()), || server.log_tail());
    } else {
        server.kill9();
    }
    fill(&database, analyzed);
    if analyzed != Analyzed::Empty {
        server.restart();
    }
    look_around(&mut server);
    let left = || database.texts(&format!("{OF_THE_TEST} SELECT COUNT(*)::text FROM events WHERE status = 'pending'"));
    let is_done = || (left() == ["0"]).then_some(());
    wait_for("the backlog to go", CLEARED, is_done, || format!("{:?} are left\n{}", left(), server.log_tail()));
    operate(&server.client());
    server.kill9();
    judge(&plans(&cluster));
}

fn execute(database: &Database, sql: &str) {
    database.execute(&format!("{OF_THE_TEST} {sql}"));
}

fn fill(database: &Database, analyzed: Analyzed) {
    let pending = "status = 'pending', attempts = 0, next_attempt_at = received_at, processed_at = NULL";
    execute(
        database,
        &format!(
            "INSERT INTO events (id, task_id, user_id, event_name, event_type, payload, status, attempts, received_at, \
             processed_at) SELECT {FIRST} + n, gen_random_uuid(), (SELECT MIN(id) FROM users), 'a', 'b', \
             jsonb_build_object('page', n), 'processed', 1, now(), now() FROM generate_series(1, {EVENTS_ALL}) AS n"
        ),
    );
    let due = format!("id BETWEEN {FIRST} AND {}", FIRST + EVENTS_DUE);
    match analyzed {
        Analyzed::Never | Analyzed::Empty => {}
        Analyzed::Processed => execute(database, "VACUUM ANALYZE"),
        Analyzed::Pending => {
            execute(database, &format!("UPDATE events SET {pending}"));
            execute(database, "VACUUM ANALYZE");
            execute(database, &format!("UPDATE events SET status = 'processed' WHERE NOT {due}"));
        }
    }
    let dead = "md5('dead')::uuid";
    execute(
        database,
        &format!(
            "INSERT INTO nodes (boot_id, name, folder, started_at, heartbeat, heartbeat_at, stopped_at) \
             VALUES ({dead}, 'dead', {dead}, now(), 1, now(), now())"
        ),
    );
    let held = FIRST + EVENTS_HELD;
    execute(
        database,
        &format!("UPDATE events SET {pending}, lease_boot = CASE WHEN id <= {held} THEN {dead} END WHERE {due}"),
    );
}

/// Reads in all ways that there are.
fn look_around(server: &mut Server) {
    let client = server.client();
    let today = chrono::Utc::now().date_naive();
    let lists = [
        "limit=5",
        "status=failed&limit=5",
        "event_name=a&limit=5",
        "event_name=a&user_id=1&limit=5",
        "user_id=1&limit=5&order=asc",
        &format!("received_after={today}T00:00:00Z&status=processed&event_type=b&limit=5"),
    ];
    for list in lists {
        let answer = client.get(&format!("{EVENTS}?{list}"));
        assert_eq!(answer.status, 200, "{list}: {answer:?}");
    }
    for path in
        [&format!("{EVENTS}/{FIRST}1"), &format!("{EVENTS}/1/timeline"), "/api/v1/stats", "/api/v1/stats/series"]
    {
        let status = client.get(path).status;
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(server.dashboard().get("/metrics").status, 200);
    let mut stream = Connection::open(server.address()).expect("the server takes connections");
    let token = server.token();
    let request = format!("GET {EVENTS}/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.send(request.as_bytes()).expect("it reads requests");
    stream.lines_until("data: ").expect("an outcome");
}

/// What clients and operators do with stored events.
fn operate(client: &Client) {
    accepted(client, &with_uid("a"));
    assert_eq!(client.post_json(EVENTS, &with_uid("a")).status, 200, "a duplicate");
    let one = FIRST + 1;
    let other = FIRST + 2;
    let again = client.post_json("/api/v1/events/process", &json!({"event_ids": [one, other], "force": true}));
    assert_eq!(again.status, 200, "{again:?}");
    let done = client.call("POST", &format!("{EVENTS}/{one}/cancel"), &[], Some(b""));
    assert_eq!(done.status, 409, "{done:?}");
    let filter = json!({"filter": {"event_name": "first"}, "force": true});
    let job = client.post_json(&format!("{EVENTS}/retry"), &filter);
    assert_eq!(job.status, 202, "{job:?}");
    let id = job.json()["id"].clone();
    let job = || client.get(&format!("/api/v1/jobs/{id}")).json();
    wait_for("the job to end", SOON, || (job()["status"] == "done").then_some(()), || job().to_string());
    assert_eq!(job()["changed"], 1);
}

fn judge(plans: &[Plan]) {
    for (what, part) in STATEMENTS {
        assert!(plans.iter().any(|plan| plan.statement.contains(part)), "nothing was reported of: {what}");
    }
    for plan in plans.iter().filter(|plan| plan.statement.contains("events")) {
        assert!(!plan.reads_all_events(), "{}", plan.text());
        // A count of what is pending meets all of it.
        let counted = if plan.statement.contains("COUNT(*)") { EVENTS_DUE } else { 0 };
        let most = 10 * CLAIM + counted;
        assert!(plan.rows() <= most as f64, "{} rows, not {most}: {}", plan.rows(), plan.text());
    }
}
