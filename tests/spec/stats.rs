//! The statistics: the reference's five figures, and a balance that adds up.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, keys, with_uid};
use crate::support::http::Client;
use crate::support::server::Server;
#[cfg(feature = "fault-injection")]
use crate::support::server::Setup;

const STATS: &str = "/api/v1/stats";

fn stats(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("{STATS}{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

fn close_to(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-9)
}

fn percentiles(window: &Value) -> [f64; 3] {
    ["p50_ms", "p95_ms", "p99_ms"].map(|name| window[name].as_f64().unwrap_or_else(|| panic!("no {name}: {window}")))
}

both_databases! {
    fn the_five_figures_and_the_balance_follow_what_became_of_the_events(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let empty = stats(&client, "");
        assert_eq!((&empty["failure_rate"], &empty["balance"]["received"]), (&Value::Null, &json!(0)));
        assert_eq!([&empty["p50_ms"], &empty["p95_ms"], &empty["p99_ms"]], [&Value::Null; 3]);
        for n in 0..6 {
            accepted(&client, &event(&format!("n{n}")));
        }
        assert_eq!(client.post_json(EVENTS, &with_uid("a")).status, 202);
        assert_eq!(client.post_json(EVENTS, &with_uid("a")).status, 200);
        assert_eq!(client.post_json(EVENTS, &json!({"event_name": "nameless"})).status, 422);
        let figures = stats(&client, "?window=15m");
        let expected = json!({"received": 9, "processed": 7, "duplicate": 1, "validation_error": 1, "failed": 0,
            "cancelled": 0, "pending": 0});
        assert_eq!(figures["balance"], expected);
        assert_eq!((&figures["window"], &figures["spool"]["events"]), (&json!("15m"), &json!(0)));
        assert!(close_to(&figures["failure_rate"], 0.0) && close_to(&figures["retry_rate"], 0.0), "{figures}");
        assert!(figures["average_processing_ms"].as_f64().is_some_and(|ms| (0.0..10_000.0).contains(&ms)), "{figures}");
        let [p50, p95, p99] = percentiles(&figures);
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 < 10_000.0, "{figures}");
        let rate = figures["events_per_minute"].as_f64().expect("a rate");
        assert!((7.0 / 17.0..=7.0 / 14.0).contains(&rate), "seven events over fifteen to sixteen minutes: {figures}");
        assert_eq!(keys(&figures["batch_throughput"]), ["events_per_flush", "flushes_per_minute"]);
        assert_eq!(figures.get("event_types"), None, "they were not asked for");
        for query in ["?window=8d", "?window=1", "?since=1h", "?by=event_name"] {
            assert_eq!(client.get(&format!("{STATS}{query}")).status, 400, "{query}");
        }
    }

    // Guards `counts` and `correct` in `flush/counts.rs`, and both statements of `store/stats.rs`.
    fn the_figures_are_told_over_three_windows_and_of_each_event_type(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let typed = |event_type: &str| json!({"event_name": "a", "event_type": event_type, "payload": {"page": "/"}});
        for (event_type, count) in [("often", 6), ("seldom", 2)] {
            for _ in 0..count {
                accepted(&client, &typed(event_type));
            }
        }
        let refused = client.post_json(EVENTS, &json!({"event_name": "a", "event_type": "seldom", "payload": []}));
        assert_eq!(refused.status, 422);
        assert_eq!(client.post_json(EVENTS, &json!({"event_name": "nameless"})).status, 422);
        let figures = stats(&client, "?by=event_type");
        let windows = |of: &Value| of["windows"].as_array().cloned().expect("windows");
        let names = |of: &Value| windows(of).iter().map(|window| window["window"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&figures), ["1m", "5m", "1h"]);
        let types = figures["event_types"].as_array().expect("types");
        assert_eq!(figures["event_types_complete"], true);
        let of_types: Vec<&Value> = types.iter().map(|found| &found["event_type"]).collect();
        assert_eq!(of_types, [&json!("often"), &json!("seldom"), &Value::Null], "{figures}");
        for (place, window) in windows(&figures).iter().enumerate() {
            let of_type = |at: usize, figure: &str| windows(&types[at])[place][figure].as_f64().expect("a rate");
            let all = window["events_per_minute"].as_f64().expect("a rate");
            let sum: f64 = (0..3).map(|at| of_type(at, "events_per_minute")).sum();
            assert!((all - sum).abs() < 1e-9 && all > 0.0, "{figures}");
            assert!((of_type(0, "events_per_minute") - 3.0 * of_type(1, "events_per_minute")).abs() < 1e-9, "{figures}");
            // Work adds up as well: each type's share of what was finished.
            let finished = [6.0, 3.0, 1.0];
            let works = finished.iter().enumerate().map(|(at, count)| count * of_type(at, "average_processing_ms"));
            let work: f64 = works.sum();
            let whole = 10.0 * window["average_processing_ms"].as_f64().expect("a time");
            assert!((work - whole).abs() < 1e-6, "{work} and {whole}: {figures}");
            assert_eq!(windows(&types[0])[place]["batch_throughput"]["events_per_flush"], 1.0, "{figures}");
            assert_eq!((of_type(1, "failure_rate"), of_type(1, "retry_rate")), (0.0, 0.0));
            assert_eq!(keys(window), keys(&windows(&types[0])[place]));
        }
        // What a replay undoes is taken back from its type.
        let id = refused.json()["event_id"].as_i64().expect("it is kept");
        let answer = client.post_json(&format!("{EVENTS}/{id}/retry"), &json!({"patch": {"page": "/"}}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let after = stats(&client, "?by=event_type");
        let rate = |at: usize| after["event_types"][at]["windows"][2]["events_per_minute"].as_f64().expect("a rate");
        assert!((rate(0) - 2.0 * rate(1)).abs() < 1e-9, "six and three: {after}");
        let flush = |at: usize| after["event_types"][at]["windows"][2]["batch_throughput"]["events_per_flush"].clone();
        assert_eq!((flush(0), flush(1)), (json!(1.0), json!(0.75)), "of four outcomes one was taken back: {after}");
    }

    fn statistics_need_a_scope_over_everyone_or_over_the_pipeline(database) {
        let mut server = Server::start(&database);
        let setup = server.setup().clone();
        server.client();
        setup.create_user("ana@example.org");
        for (scopes, status) in [("write,read", 403), ("read:all", 200), ("operate", 200)] {
            let client = server.client_with(&setup.create_token("ana@example.org", scopes));
            assert_eq!(client.get(STATS).status, status, "{scopes}");
        }
        assert_eq!(Client::new(server.address(), None).get(STATS).status, 401);
    }
}

// Guards that types are summed up over all flushes, whoever wrote them.
#[test]
fn the_figures_of_each_type_are_those_of_all_nodes() {
    let database = crate::support::database::Database::postgres();
    let mut one = Server::start(&database);
    let token = one.token();
    let mut other = Server::start(&database);
    other.share_token(&token);
    let at_one = one.client();
    let at_other = other.client();
    let event = event("a");
    for _ in 0..3 {
        accepted(&at_one, &event);
    }
    for _ in 0..5 {
        accepted(&at_other, &event);
    }
    for client in [&at_one, &at_other] {
        let figures = stats(client, "?by=event_type");
        let of_type = &figures["event_types"][0]["windows"][2];
        let rate = of_type["events_per_minute"].as_f64().expect("a rate");
        assert!((8.0 / 61.0..=8.0 / 60.0).contains(&rate), "{figures}");
        assert_eq!(of_type["batch_throughput"], figures["windows"][2]["batch_throughput"], "{figures}");
    }
}

// Guards that times are summed up over all flushes, whoever wrote them, and never averaged.
#[cfg(feature = "fault-injection")]
#[test]
fn percentiles_are_the_same_at_every_node_and_after_restarts() {
    const STALL: &str =
        "[[faults]]\nstage = \"normalizer\"\nevent_name = \"slow\"\naction = \"stall\"\nduration = \"300ms\"\n";
    let database = crate::support::database::Database::postgres();
    let mut one = Server::start(Setup::new(&database).with_config(STALL));
    let token = one.token();
    let mut other = Server::start(&database);
    other.share_token(&token);
    accepted(&one.client(), &event("slow"));
    for _ in 0..9 {
        accepted(&other.client(), &event("a"));
    }
    let look = |server: &mut Server| {
        let client = server.client();
        let course = client.get("/api/v1/stats/series?window=10m").json();
        let buckets = course["buckets"].as_array().expect("buckets").clone();
        let times = buckets.iter().flat_map(|bucket| bucket["processing_times"].as_array().expect("counts").clone());
        assert_eq!(times.map(|count| count.as_i64().expect("a number")).sum::<i64>(), 10, "{course}");
        let idle = buckets.iter().find(|bucket| bucket["processed"] == 0).expect("an idle one");
        assert_eq!(idle["p50_ms"], Value::Null);
        percentiles(&stats(&client, "?window=1h"))
    };
    let [p50, p95, p99] = look(&mut one);
    assert!(p50 < 262.144, "nine of ten were quick: {p50}");
    assert!(
        (262.144..524.288).contains(&p95) && (p95..524.288).contains(&p99),
        "300 ms in the bounds of its class: {p95}, {p99}"
    );
    assert_eq!(look(&mut other), [p50, p95, p99]);
    one.kill9();
    one.restart();
    assert_eq!(look(&mut one), [p50, p95, p99]);
}
