//! Counts agree with the database.

use serde_json::json;

use super::{Page, scrape};
use crate::support::database::Database;
use crate::support::events::{EVENTS, with_uid};
use crate::support::http::Client;
use crate::support::load::{Load, Plan};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// Every final state that an attempt gives.
const STATES: [&str; 4] = ["processed", "duplicate", "validation_error", "failed"];

fn number(database: &Database, sql: &str) -> u64 {
    let texts = database.texts(&format!("SELECT CAST(({sql}) AS TEXT)"));
    texts[0].parse().unwrap_or_else(|error| panic!("{sql}: {texts:?}: {error}"))
}

/// Events that the page counts in this state.
pub fn counted(page: &Page, outcome: &str) -> u64 {
    page.sum(&format!("gristmill_events_total{{outcome=\"{outcome}\""))
}

/// Asserts that page and database say the same of every state: of one node that was never started again.
pub fn assert_agree(server: &Server) -> Page {
    let page = scrape(server);
    let database = server.database();
    for state in STATES {
        let balance = number(database, &format!("SELECT COALESCE(SUM({state}), 0) FROM flushes"));
        assert_eq!(counted(&page, state), balance, "{state}\n{}", page.text);
    }
    let rows = number(database, "SELECT COUNT(*) FROM events WHERE status = 'processed'");
    assert_eq!(counted(&page, "processed"), rows, "{}", page.text);
    let attempts = number(database, "SELECT COUNT(*) FROM attempts");
    let retries = page.sum("gristmill_retries_total");
    let given_up = page.figure("gristmill_events_total{outcome=\"failed\",code=\"retries_exhausted\"}")
        + page.figure("gristmill_events_total{outcome=\"failed\",code=\"poison\"}");
    assert_eq!(retries + given_up, attempts, "each failed attempt\n{}", page.text);
    page
}

both_databases! {
    // Guards every count in `facts/event.rs`, and `follow_up` and `settle`, which state them.
    fn counts_agree_with_the_database_after_load(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let token = server.token();
        let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(5));
        let enough = || (load.acknowledged() >= 2_000).then_some(());
        wait_for("2,000 acknowledgements", SOON, enough, || server.log());
        for n in 0..30 {
            let wanted = [202, 200, 409, 422, 200][n % 5];
            let uid = format!("uid-{}", n / 5);
            let event = match n % 5 {
                2 => json!({"event_name": "other", "event_type": "other", "event_uid": uid}),
                3 => json!({"event_name": "nameless", "payload": {"n": n}}),
                _ => with_uid(&uid),
            };
            let answer = client.post_json(EVENTS, &event);
            assert_eq!(answer.status, wanted, "{answer:?}");
        }
        let (acknowledged, rejected, unknown) = load.stop().counts();
        assert_eq!((rejected, unknown), (0, 0));
        let page = assert_agree(&server);
        let all = acknowledged as u64 + 30;
        assert_eq!(page.figure("gristmill_events_received_total"), all);
        assert_eq!(page.figure("gristmill_attempts_started_total"), all);
        let counts = ["processed", "duplicate", "conflict", "validation_error"].map(|outcome| counted(&page, outcome));
        assert_eq!(counts, [acknowledged as u64 + 6, 12, 6, 6]);
        assert_eq!(page.sum("gristmill_events_total{"), all, "each event came to one end\n{}", page.text);
        assert_eq!(page.figure("gristmill_events_validated_total"), all - 6);
        assert_eq!(page.figure("gristmill_flush_events_sum"), all);
        let flushes = number(&database, "SELECT COUNT(*) FROM flushes");
        // A flush of nothing but conflicts has no row.
        let counted_flushes = page.figure("gristmill_flush_duration_seconds_count");
        assert!((flushes..=flushes + 6).contains(&counted_flushes), "{counted_flushes} of {flushes}");
        for stage in ["validator", "normalizer", "persister"] {
            assert_eq!(page.figure(&format!("gristmill_stage_events_total{{stage=\"{stage}\"}}")), all, "{stage}");
        }
        for (method, status) in [("POST", "2xx"), ("POST", "4xx")] {
            let series = format!("gristmill_http_requests_total{{route=\"/api/v1/events\",method=\"{method}\",status=\"{status}\"}}");
            let wanted = if status == "2xx" { all - 12 } else { 12 };
            assert_eq!(page.figure(&series), wanted, "{series}");
        }
        assert_eq!((page.figure("gristmill_in_flight_events"), page.figure("gristmill_in_flight_bytes")), (0, 0));
        assert_eq!(page.figure("gristmill_pending_events"), 0);
    }

    fn what_is_not_kept_is_counted_as_that(database) {
        let mut server = Server::start(Setup::new(&database).with_config("pipeline.keep_rejected = false"));
        let client = server.client();
        assert_eq!(client.post_json(EVENTS, &json!({"event_name": "nameless"})).status, 422);
        // Only the line knows the users: what the request alone tells never gets there.
        let mut stranger = with_uid("b");
        stranger["user_id"] = json!(4_711);
        let strict = json!([stranger, with_uid("a")]).to_string();
        let headers = [("Prefer", "handling=strict")];
        let answer = client.call("POST", "/api/v1/events/batch", &headers, Some(strict.as_bytes()));
        assert_eq!(answer.status, 422, "{answer:?}");
        let nameless = json!([{"event_name": "nameless"}, with_uid("a")]).to_string();
        assert_eq!(client.call("POST", "/api/v1/events/batch", &headers, Some(nameless.as_bytes())).status, 422);
        let page = assert_agree(&server);
        assert_eq!(["not_kept", "withheld", "processed"].map(|outcome| counted(&page, outcome)), [2, 1, 0]);
    }
}

// Guards `rate_limited` and `problem_answered`.
#[test]
fn problems_and_requests_over_the_rate_are_counted() {
    let setup = Setup::new(&Database::sqlite()).with_config("[limits]\nrequests_per_second = 1\nrequests_burst = 2");
    let mut server = Server::start(setup);
    let client = server.client();
    let limited = (0..10).filter(|_| client.get("/api/v1/limits").status == 429).count() as u64;
    assert!(limited > 0);
    let unknown = Client::new(server.address(), Some("gm_no-such-token"));
    assert_eq!(unknown.get("/api/v1/limits").status, 401);
    let page = scrape(&server);
    assert_eq!(page.figure("gristmill_http_rate_limited_total"), limited);
    assert_eq!(page.figure("gristmill_http_problems_total{code=\"rate_limited\"}"), limited);
    assert_eq!(page.figure("gristmill_http_problems_total{code=\"unauthorized\"}"), 1);
}

// Guards `Asked` and `broken` in `http/body.rs`.
#[test]
fn a_client_that_leaves_is_counted() {
    let mut server = Server::start(&Database::sqlite());
    let token = server.token();
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n{{"
    );
    connection.send(head.as_bytes()).expect("it takes requests");
    assert_eq!(scrape(&server).figure("gristmill_http_client_disconnects_total"), 0);
    drop(connection);
    let left = || (scrape(&server).figure("gristmill_http_client_disconnects_total") == 1).then_some(());
    wait_for("the client to be counted", SOON, left, || scrape(&server).text);
}
