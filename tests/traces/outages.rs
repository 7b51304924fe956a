//! Collectors that are away, slow or refuse: the pipeline goes on, and what is lost is counted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{TRACE, metric, named, post_traced};
use crate::support::collector::{Collector, Manner};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::postgres::free_port;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

const QUEUE_FULL: &str = "gristmill_spans_dropped_total{reason=\"queue_full\"} ";
const NOT_TAKEN: &str = "gristmill_spans_dropped_total{reason=\"not_taken\"} ";

fn await_metric(server: &Server, sample: &str, least: u64) {
    let is_there = || (metric(server, sample) >= least).then_some(());
    wait_for(sample, SOON, is_there, || format!("{}\n{}", metric(server, sample), server.log()));
}

fn await_line(server: &Server, line: &str) {
    wait_for(line, SOON, || server.log().contains(line).then_some(()), || server.log());
}

both_databases! {
    fn without_its_collector_events_are_processed_and_the_spans_that_find_no_room_are_counted(database) {
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().expect("an address");
        let endpoint = format!("tracing = {{ endpoint = \"http://{address}\", queue = 8 }}");
        let mut server = Server::start(Setup::new(&database).with_config(&endpoint));
        let client = server.client();
        accepted(&client, &event("first"));
        await_line(&server, "exporting spans fails");
        for _ in 0..30 {
            let id = accepted(&client, &event("meanwhile"));
            assert_eq!(finished(&client, id)["status"], "processed");
        }
        await_metric(&server, QUEUE_FULL, 100);
        assert_eq!(client.get("/health/ready").status, 200);
        let collector = Collector::start_at(address);
        await_line(&server, "exporting spans works again");
        post_traced(&client, &event("after"));
        collector.await_spans(TRACE, |spans| !named(spans, "process events").is_empty());
        assert_eq!(server.log().matches("exporting spans fails").count(), 1, "{}", server.log());
    }
}

#[test]
fn a_busy_collector_gets_its_spans_again_and_one_that_refuses_them_does_not() {
    let collector = Collector::start();
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(&collector.config()));
    let client = server.client();
    collector.answer(Manner::Status(503));
    post_traced(&client, &event("busy"));
    let tried = || (collector.requests() >= 2).then_some(());
    wait_for("another try", SOON, tried, || server.log());
    collector.answer(Manner::Status(200));
    collector.await_spans(TRACE, |spans| spans.len() == 5);
    assert_eq!(metric(&server, NOT_TAKEN), 0);
    collector.answer(Manner::Status(400));
    let before = collector.requests();
    post_traced(&client, &event("refused"));
    await_metric(&server, NOT_TAKEN, 5);
    assert!(collector.requests() - before < 5, "there is no use in trying again");
    assert_eq!(collector.spans(TRACE).len(), 5);
}

#[test]
fn the_last_spans_are_exported_at_the_end() {
    let collector = Collector::start();
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(&collector.config()));
    post_traced(&server.client(), &event("last"));
    server.terminate();
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
    assert_eq!(collector.spans(TRACE).len(), 5, "{}", server.log());
}

#[test]
fn a_collector_that_never_answers_holds_up_neither_events_nor_the_end() {
    let collector = Collector::start();
    collector.answer(Manner::Silent);
    let setup = Setup::new(&Database::sqlite()).with_config(&collector.config());
    let mut server = Server::start(setup.with_config("tracing.timeout = \"60s\"\ntimeouts.shutdown = \"4s\""));
    let client = server.client();
    accepted(&client, &event("first"));
    wait_for("the silence", SOON, || (collector.requests() > 0).then_some(()), || server.log());
    for _ in 0..20 {
        let id = accepted(&client, &event("meanwhile"));
        assert_eq!(finished(&client, id)["status"], "processed");
    }
    let began = Instant::now();
    server.terminate();
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
    assert!(began.elapsed() < Duration::from_secs(20), "the end waited for the collector: {:?}", began.elapsed());
    assert!(server.log().contains("spans could not be exported in time"), "{}", server.log());
}
