//! Scrapes while the database is away.

use std::time::{Duration, Instant};

use super::counts::counted;
use super::{METRICS, Page, scrape};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::http::try_get;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Answers of an outage come soon.
const QUICK: &str = "timeouts.flush = \"1s\"\n";

/// A scrape that is not answered by then is given up by most Prometheus servers.
const SCRAPE_MAX: Duration = Duration::from_secs(5);

fn await_page(server: &Server, what: &str, is_so: impl Fn(&Page) -> bool) -> Page {
    wait_for(what, SOON, || Some(scrape(server)).filter(|page| is_so(page)), || scrape(server).text)
}

// Guards `figures` in `http/metrics.rs`: what asks the database is bounded, and left out.
#[test]
fn a_scrape_in_an_outage_tells_everything_else_and_counts_agree_afterwards() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config(QUICK));
    let client = server.client();
    accepted(&client, &event("before"));
    assert_eq!(scrape(&server).figure("gristmill_database_up"), 1);
    cluster.stop_immediate();
    let ids: Vec<i64> = (0..20).map(|_| accepted(&client, &event("meanwhile"))).collect();
    let page = await_page(&server, "the outage", |page| page.figure("gristmill_database_up") == 0);
    let began = Instant::now();
    scrape(&server);
    assert!(began.elapsed() < SCRAPE_MAX, "{:?}", began.elapsed());
    assert!(!page.metrics.contains_key("gristmill_pending_events"), "nobody knows\n{}", page.text);
    assert_eq!((page.figure("gristmill_spooled_events_total"), page.figure("gristmill_spool_events")), (20, 20));
    assert!(page.figure("gristmill_spool_bytes") > 0 && page.samples["gristmill_spool_oldest_age_seconds"] > 0.0);
    assert!(page.figure("gristmill_failures_total{what=\"writing events\"}") > 0, "{}", page.text);
    assert_eq!((page.figure("gristmill_ready"), page.figure("gristmill_in_flight_events")), (1, 0), "{}", page.text);
    cluster.start_again();
    ids.into_iter().for_each(|id| assert_eq!(finished(&client, id)["status"], "processed"));
    let page = await_page(&server, "the end of the outage", |page| {
        page.figure("gristmill_drained_events_total") == 20 && page.samples.contains_key("gristmill_pending_events")
    });
    assert_eq!((page.figure("gristmill_database_up"), page.figure("gristmill_spool_events")), (1, 0));
    assert_eq!(page.figure("gristmill_spool_oldest_age_seconds"), 0);
    assert_eq!(counted(&page, "processed"), 21, "{}", page.text);
    assert_eq!(database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE status = 'processed'"), ["21"]);
    assert_eq!(page.figure("gristmill_events_received_total"), 21, "the drain receives nothing");
    assert_eq!(counted(&page, "not_stored") + counted(&page, "unknown"), 0);
}

// Guards `given_up` in `Settlement::abandon`.
#[test]
fn what_neither_database_nor_spool_takes_is_counted_as_not_stored() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let config = "timeouts.accept = \"1s\"\nspool.enabled = false\n";
    let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(config));
    let client = server.client();
    accepted(&client, &event("before"));
    cluster.stop_immediate();
    let answer = client.post_json("/api/v1/events", &event("meanwhile"));
    assert!([503, 504].contains(&answer.status), "{answer:?}");
    let page = scrape(&server);
    let lost = [counted(&page, "not_stored"), counted(&page, "unknown")];
    assert_eq!(lost, if answer.status == 503 { [1, 0] } else { [0, 1] }, "{}", page.text);
}

// Guards `metrics` in `http/waiting.rs`.
#[test]
fn a_node_that_waits_for_its_database_says_so_on_the_operations_port() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config("dashboard.trust_local = true"));
    cluster.stop_immediate();
    server.kill9();
    server.restart();
    let page = scrape(&server);
    assert_eq!((page.figure("gristmill_database_up"), page.figure("gristmill_ready")), (0, 0));
    assert!(page.samples.contains_key("process_resident_memory_bytes"), "{}", page.text);
    assert!(!page.metrics.contains_key("gristmill_spool_events"), "nobody has looked");
    let elsewhere = try_get(server.address(), METRICS).expect("it answers");
    assert_eq!(elsewhere.status, 503, "{elsewhere:?}");
}
