//! A trace goes on over retries, kills, other nodes and the spool.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::{CALLER, TRACE, named, only, parent, post_traced};
use crate::faults::rule;
use crate::support::collector::{Collector, Span};
use crate::support::database::Database;
use crate::support::events::{event, finished, id_of, stored};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};

const ATTEMPT: &str = "process events";

/// The span of the request, below which all attempts stand, as it is stored.
fn request_of(server: &Server, id: i64) -> String {
    let context = server.database().texts(&format!("SELECT trace_context FROM events WHERE id = {id}")).concat();
    let fields: Vec<&str> = context.split('-').collect();
    assert_eq!((fields.len(), fields[1], fields[3]), (4, TRACE, "01"), "{context}");
    assert_ne!(fields[2], CALLER, "the request has a span of its own");
    fields[2].to_owned()
}

/// Whether the attempt that processed the event is there.
fn is_processed(spans: &[Span]) -> bool {
    named(spans, ATTEMPT).iter().any(|span| span.attribute("gristmill.outcome") == "processed")
}

both_databases! {
    fn retries_and_their_waits_are_spans_of_the_same_trace(database) {
        let collector = Collector::start();
        let setup = Setup::new(&database).with_config(&collector.config());
        let setup = setup.with_config("retry = { delay = \"300ms\", jitter = 0.0 }");
        let mut server = Server::start(setup.with_config(&rule("normalizer", "unlucky", "error", 2)));
        let client = server.client();
        let id = id_of(&post_traced(&client, &event("unlucky")));
        assert_eq!(finished(&client, id)["status"], "processed");
        let request = request_of(&server, id);
        let spans = collector.await_spans(TRACE, is_processed);
        let attempts = named(&spans, ATTEMPT);
        let told: Vec<[&str; 4]> = attempts
            .iter()
            .map(|span| ["gristmill.attempt", "gristmill.outcome", "error.type", "gristmill.retry.delay"].map(|name| span.attribute(name)))
            .collect();
        let expected = [["1", "pending", "injected", "0.3"], ["2", "pending", "injected", "0.6"], ["3", "processed", "", ""]];
        assert_eq!(told, expected, "{spans:#?}");
        assert!(attempts.iter().all(|span| span.parent == request), "{spans:#?}");
        let normalized = named(&spans, "normalize");
        assert_eq!(normalized.iter().map(|span| span.attribute("error.type")).collect::<Vec<_>>(), ["injected", "injected", ""]);
        let waits = named(&spans, "wait");
        assert_eq!(waits.len(), 2, "{spans:#?}");
        for ((wait, pair), delay) in waits.iter().zip(attempts.windows(2)).zip([300_000_000, 600_000_000]) {
            assert_eq!((&wait.parent, wait.attribute("gristmill.attempt")), (&request, pair[1].attribute("gristmill.attempt")));
            assert!(wait.times.1 - wait.times.0 >= delay, "{wait:?}");
            assert!(pair[0].times.0 <= wait.times.0 && wait.times.1 <= pair[1].times.0 + 1_000_000, "{wait:?} between {pair:?}");
        }
    }

    fn a_trace_goes_on_after_a_kill_between_acknowledgement_and_processing(database) {
        let collector = Collector::start();
        let setup = Setup::new(&database).with_config(&collector.config());
        let setup = setup.with_config("retry = { delay = \"2s\", jitter = 0.0 }\nlease = { duration = \"2s\", poll = \"200ms\" }");
        let mut killed = Server::start(setup.clone().with_config(&rule("validator", "unlucky", "error", 0)));
        let id = id_of(&post_traced(&killed.client(), &event("unlucky")));
        killed.kill9();
        let request = request_of(&killed, id);
        let mut server = Server::start(setup);
        let client = server.client();
        assert_eq!(stored(&client, id)["trace_id"], TRACE);
        assert_eq!(finished(&client, id)["status"], "processed");
        let spans = collector.await_spans(TRACE, is_processed);
        let attempts = named(&spans, ATTEMPT);
        let last = attempts.last().expect("waited for");
        assert_eq!((last.attribute("gristmill.outcome"), &last.parent), ("processed", &request), "{spans:#?}");
        assert_ne!(last.attribute("gristmill.attempt"), "1", "{last:?}");
        let steps = ["validate", "normalize", "persist"].map(|name| named(&spans, name).into_iter().any(|step| step.parent == last.id));
        assert_eq!(steps, [true; 3], "{spans:#?}");
    }
}

#[test]
fn a_trace_goes_on_at_another_node() {
    let database = Database::postgres();
    let collector = Collector::start();
    let node = |name: &str, fault: &str| {
        let setup =
            Setup::new(&database).with_config(&collector.config()).with_config(&format!("node.name = {name:?}"));
        let timing = "retry = { delay = \"1s\", jitter = 0.0 }\nlease = { duration = \"2s\", poll = \"200ms\" }";
        Server::start(setup.with_config(timing).with_config(fault))
    };
    let mut first = node("first", &rule("validator", "unlucky", "error", 0));
    let mut second = node("second", "");
    second.share_token(&first.token());
    let id = id_of(&post_traced(&first.client(), &event("unlucky")));
    first.kill9();
    assert_eq!(finished(&second.client(), id)["status"], "processed");
    let spans = collector.await_spans(TRACE, is_processed);
    let attempts = named(&spans, ATTEMPT);
    let last = attempts.last().expect("waited for");
    assert_eq!(
        (last.attribute("gristmill.outcome"), last.resource("host.name")),
        ("processed", "second"),
        "{spans:#?}"
    );
    assert_eq!(last.parent, request_of(&second, id));
}

#[test]
fn a_trace_goes_on_through_the_spool_and_a_kill() {
    let cluster = Cluster::start();
    let collector = Collector::start();
    let database = Database::at(cluster.fresh_database());
    let setup = Setup::new(&database).with_config(&collector.config()).with_config("timeouts.flush = \"1s\"");
    let mut server = Server::start(setup);
    let client = server.client();
    post_traced(&client, &event("before"));
    collector.await_spans(TRACE, |spans| !named(spans, ATTEMPT).is_empty());
    cluster.stop_immediate();
    let answer = post_traced(&client, &event("meanwhile"));
    assert_eq!(answer.json()["durability"], "spool", "{answer:?}");
    let id = id_of(&answer);
    assert_eq!(stored(&client, id)["trace_id"], TRACE);
    let of_event = |spans: &[Span], outcome: &str| {
        let is_it = |span: &&Span| {
            span.attribute("gristmill.event.id") == id.to_string() && span.attribute("gristmill.outcome") == outcome
        };
        named(spans, ATTEMPT).into_iter().find(is_it).cloned()
    };
    let spans = collector.await_spans(TRACE, |spans| of_event(spans, "spooled").is_some());
    let spooled = of_event(&spans, "spooled").expect("waited for");
    assert_eq!(named(&spans, "spool").last().map(|span| &span.parent), Some(&spooled.id), "{spans:#?}");
    let failed = named(&spans, "persist").into_iter().find(|span| span.parent == spooled.id && span.is_error);
    assert_eq!(failed.map(|span| span.attribute("error.type")), Some("transient"), "{spans:#?}");
    server.kill9();
    cluster.start_again();
    server.restart();
    let shown = finished(&server.client(), id);
    assert_eq!((&shown["status"], &shown["trace_id"]), (&"processed".into(), &TRACE.into()), "{shown}");
    let spans = collector.await_spans(TRACE, |spans| of_event(spans, "processed").is_some());
    let drained = of_event(&spans, "processed").expect("waited for");
    assert_eq!((&drained.parent, request_of(&server, id)), (&spooled.parent, spooled.parent.clone()), "{spans:#?}");
    assert_ne!(drained.resource("service.instance.id"), spooled.resource("service.instance.id"));
}

// Guards the drop of `RequestSpan`.
#[test]
fn a_request_whose_client_goes_away_has_a_span_all_the_same() {
    let collector = Collector::start();
    let config = format!("retry.delay = \"1h\"\n{}", rule("validator", "late", "error", 1));
    let mut server =
        Server::start(Setup::new(&Database::sqlite()).with_config(&collector.config()).with_config(&config));
    let token = server.token();
    let body = event("late").to_string();
    let mut waiting = TcpStream::connect(server.address()).expect("the server takes connections");
    let request = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nPrefer: wait=60\r\n\
         traceparent: {}\r\nContent-Length: {}\r\n\r\n{body}",
        parent(),
        body.len(),
    );
    waiting.write_all(request.as_bytes()).expect("it takes requests");
    // The attempt is over, and the request waits for the next one.
    collector.await_spans(TRACE, |spans| !named(spans, ATTEMPT).is_empty());
    // Without a goodbye: the server hears of it at once.
    SockRef::from(&waiting).set_linger(Some(Duration::ZERO)).expect("a socket of ours");
    drop(waiting);
    let spans = collector.await_spans(TRACE, |spans| spans.iter().any(|span| span.name.starts_with("POST")));
    let request = only(&spans, "POST /api/v1/events");
    assert_eq!((request.is_error, request.attribute("error.type")), (true, "client_disconnected"), "{request:?}");
    assert_eq!(named(&spans, ATTEMPT)[0].parent, request.id);
}
