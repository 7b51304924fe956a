//! A node whose wall clock is wrong, beside one whose clock is right: what it asks the database goes by the database's.

use serde_json::json;

use crate::jobs::{ended, made, misshapen};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::lacks::skips;
use crate::support::machine::clock::Clock;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

#[test]
fn a_node_with_a_wrong_clock_tells_the_same_figures_and_makes_whole_jobs() {
    if skips(&[Clock::lacks()]) {
        return;
    }
    let database = Database::postgres();
    let mut steady = Server::start(&database);
    let token = steady.token();
    let client = steady.client();
    finished(&client, accepted(&client, &event("a")));
    misshapen(&client, "b", None, 1);
    let clock = Clock::new();
    for shift in ["+1h", "-1h"] {
        clock.shift(shift);
        let mut shifted = Server::start(clock.around(Setup::new(&database)));
        shifted.share_token(&token);
        let its_client = shifted.client();
        let stats = its_client.get("/api/v1/stats").json();
        // Of the last minute, which begins with a whole one.
        assert!(stats["windows"][1]["events_per_minute"].as_f64().is_some_and(|rate| rate > 0.0), "{shift}: {stats}");
        let series = its_client.get("/api/v1/stats/series?window=10m").json();
        let buckets = series["buckets"].as_array().expect("a list");
        let processed: i64 = buckets.iter().filter_map(|bucket| bucket["processed"].as_i64()).sum();
        assert!(processed > 0, "{shift}: {series}");
        let wanted = json!({"filter": {"event_name": "b", "status": "validation_error"}});
        let job = made(&its_client, "retry", &wanted);
        assert_eq!(ended(&shifted, &its_client, job)["matched"], 1, "{shift}");
        // It is refused again, for the next clock.
        let balance = || client.get("/api/v1/stats").json()["balance"].clone();
        let is_refused = || (balance()["validation_error"] == 1).then_some(());
        wait_for("the retry to be refused", SOON, is_refused, || balance().to_string());
    }
}
