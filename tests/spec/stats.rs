//! The statistics: the reference's five figures, and a balance that adds up.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, keys, with_uid};
use crate::support::http::Client;
use crate::support::server::Server;

const STATS: &str = "/api/v1/stats";

fn stats(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("{STATS}{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

fn close_to(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-9)
}

both_databases! {
    fn the_five_figures_and_the_balance_follow_what_became_of_the_events(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let empty = stats(&client, "");
        assert_eq!((&empty["failure_rate"], &empty["balance"]["received"]), (&Value::Null, &json!(0)));
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
        let rate = figures["events_per_minute"].as_f64().expect("a rate");
        assert!((7.0 / 17.0..=7.0 / 14.0).contains(&rate), "seven events over fifteen to sixteen minutes: {figures}");
        assert_eq!(keys(&figures["batch_throughput"]), ["events_per_flush", "flushes_per_minute"]);
        for query in ["?window=8d", "?window=1", "?since=1h"] {
            assert_eq!(client.get(&format!("{STATS}{query}")).status, 400, "{query}");
        }
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
