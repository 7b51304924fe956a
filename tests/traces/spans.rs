//! The spans of events, as a collector gets them.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use super::{CALLER, OTHER, TRACE, metric, named, only, parent, post, post_traced};
use crate::support::collector::{Collector, Span};
use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, event, finished, id_of, stored, with_uid};
use crate::support::server::{Server, Setup};

const REQUEST: &str = "POST /api/v1/events";
const BATCH: &str = "POST /api/v1/events/batch";

/// An empty database of the same kind.
fn another(database: &Database) -> Database {
    match database.kind() {
        Kind::Sqlite => Database::sqlite(),
        Kind::Postgres => Database::postgres(),
    }
}

fn has_request(spans: &[Span]) -> bool {
    spans.iter().any(|span| span.name.starts_with("POST"))
}

both_databases! {
    fn an_event_has_a_span_for_each_step_below_its_request_and_that_below_its_caller(database) {
        let collector = Collector::start();
        let mut server = Server::start(Setup::new(&database).with_config(&collector.config()));
        let client = server.client();
        let answer = post(&client, &event("traced"), &[("traceparent", &parent()), ("tracestate", "rojo=1")]);
        let shown = finished(&client, id_of(&answer));
        let spans = collector.await_spans(TRACE, has_request);
        let [request, attempt] = [REQUEST, "process events"].map(|name| only(&spans, name));
        let steps = ["validate", "normalize", "persist"].map(|name| only(&spans, name));
        assert_eq!(spans.len(), 5, "{spans:#?}");
        assert_eq!((request.parent.as_str(), request.kind), (CALLER, SpanKind::Server), "{request:?}");
        assert_eq!((&attempt.parent, attempt.kind), (&request.id, SpanKind::Consumer), "{attempt:?}");
        for step in steps {
            assert_eq!(step.parent, attempt.id, "{step:?}");
            assert!(attempt.times.0 <= step.times.0 && step.times.1 <= attempt.times.1, "{step:?} in {attempt:?}");
        }
        let attribute = |span: &Span, name: &str| span.attribute(name).to_owned();
        for (name, value) in [
            ("http.request.method", "POST"),
            ("http.route", EVENTS),
            ("url.path", EVENTS),
            ("http.response.status_code", "202"),
        ] {
            assert_eq!(attribute(request, name), value, "{name}");
        }
        assert_eq!(attribute(attempt, "messaging.message.id"), shown["task_id"]);
        assert_eq!(attribute(attempt, "gristmill.event.id"), shown["id"].to_string());
        assert_eq!((attempt.attribute("gristmill.attempt"), attempt.attribute("gristmill.outcome")), ("1", "processed"));
        let system = if database.kind() == Kind::Postgres { "postgresql" } else { "sqlite" };
        assert_eq!((steps[2].attribute("db.system.name"), steps[2].kind), (system, SpanKind::Client));
        assert_eq!(steps[2].attribute("gristmill.flush.events"), "1");
        for span in &spans {
            assert!(!span.is_error && span.attribute("error.type").is_empty(), "{span:?}");
            assert_eq!((span.state.as_str(), span.resource("service.name")), ("rojo=1", "gristmill"), "{span:?}");
            assert!(!span.resource("service.instance.id").is_empty() && !span.resource("service.version").is_empty());
        }
        assert_eq!(metric(&server, "gristmill_spans_exported_total "), 5);
    }

    fn each_event_of_a_batch_has_its_spans_below_the_one_request_whatever_its_outcome(database) {
        let collector = Collector::start();
        let mut server = Server::start(Setup::new(&database).with_config(&collector.config()));
        let client = server.client();
        let first = accepted(&client, &with_uid("first"));
        let other = json!({"event_name": "page_view", "event_type": "other", "event_uid": "first"});
        let batch = json!([event("valid"), with_uid("first"), other, {"event_name": "refused"}]).to_string();
        let headers = [("Content-Type", "application/json"), ("traceparent", &parent())];
        client.call("POST", &format!("{EVENTS}/batch"), &headers, Some(batch.as_bytes()));
        let spans = collector.await_spans(TRACE, has_request);
        let request = only(&spans, BATCH);
        assert_eq!((request.parent.as_str(), request.attribute("http.response.status_code")), (CALLER, "207"));
        let attempts = named(&spans, "process events");
        assert!(attempts.iter().all(|attempt| attempt.parent == request.id), "{attempts:#?}");
        let mut outcomes: Vec<[&str; 3]> = attempts
            .iter()
            .map(|attempt| ["gristmill.outcome", "error.type", "gristmill.duplicate_of"].map(|name| attempt.attribute(name)))
            .collect();
        outcomes.sort_unstable();
        let first = first.to_string();
        assert_eq!(
            outcomes,
            [
                ["conflict", "event_uid_conflict", ""],
                ["duplicate", "", first.as_str()],
                ["processed", "", ""],
                ["validation_error", "missing_field", ""],
            ]
        );
        let refused = attempts.iter().find(|attempt| attempt.is_error && attempt.attribute("error.type") == "missing_field");
        let validated = named(&spans, "validate");
        let below = |span: &&&Span| Some(&span.parent) == refused.map(|attempt| &attempt.id);
        assert_eq!(validated.iter().find(below).map(|span| span.attribute("error.type")), Some("missing_field"));
        assert!(named(&spans, "persist").iter().all(|span| span.attribute("db.operation.batch.size") == "4"));
    }

    fn without_a_caller_a_trace_is_begun_and_one_that_is_not_sampled_is_only_passed_on(database) {
        let collector = Collector::start();
        let mut server = Server::start(Setup::new(&database).with_config(&collector.config()));
        let client = server.client();
        let quiet = parent().replace("-01", "-00");
        let id = id_of(&post(&client, &event("quiet"), &[("traceparent", &quiet)]));
        assert_eq!(finished(&client, id)["trace_id"], TRACE);
        let id = accepted(&client, &event("own"));
        let own = finished(&client, id)["trace_id"].as_str().expect("a trace").to_owned();
        let spans = collector.await_spans(&own, has_request);
        assert_eq!(only(&spans, REQUEST).parent, "");
        assert_eq!(only(&spans, "process events").parent, only(&spans, REQUEST).id);
        assert!(collector.spans(TRACE).is_empty(), "the caller did not want any");

        let mut none = Server::start(Setup::new(&another(&database)).with_config(&collector.config()).with_config("tracing.ratio = 0.0"));
        let client = none.client();
        let id = accepted(&client, &event("plain"));
        assert_eq!(finished(&client, id).get("trace_id"), None);
        post_traced(&client, &event("traced"));
        collector.await_spans(TRACE, has_request);
    }

    fn an_event_of_its_own_trace_is_linked_by_the_request_that_brought_it(database) {
        let collector = Collector::start();
        let mut server = Server::start(Setup::new(&database).with_config(&collector.config()));
        let client = server.client();
        let own = format!("00-{OTHER}-b7ad6b7169203331-01");
        let event = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "traceparent": own});
        let headers = [("Content-Type", "application/cloudevents-batch+json"), ("traceparent", &parent())];
        client.call("POST", &format!("{EVENTS}/batch"), &headers, Some(format!("[{event}]").as_bytes()));
        let request = collector.await_spans(TRACE, has_request);
        assert_eq!(only(&request, BATCH).links, [(OTHER.to_owned(), "b7ad6b7169203331".to_owned())]);
        let spans = collector.await_spans(OTHER, |spans| spans.iter().any(|span| span.name == "process events"));
        assert_eq!(only(&spans, "process events").parent, "b7ad6b7169203331");
    }

    fn spans_hold_no_text_of_clients(database) {
        let collector = Collector::start();
        let mut server = Server::start(Setup::new(&database).with_config(&collector.config()));
        let client = server.client();
        let canary = json!({"event_name": "canary-name", "event_type": "canary-type", "event_uid": "canary-uid",
            "timestamp": "canary-time", "payload": {"page": "canary-page", "email": "canary@example.org"}});
        let headers = [("traceparent", parent()), ("Idempotency-Key", "canary-key".to_owned()), ("X-Request-Id", "canary-id".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(post(&client, &canary, &headers).status, 422);
        assert_eq!(post(&client, &json!({"event_name": "canary-name", "event_type": "t", "payload": {"page": "canary"}}), &headers).status, 202);
        collector.await_spans(TRACE, |spans| named(spans, REQUEST).len() == 2);
        let text = collector.text();
        assert!(text.contains("process events"), "the bodies are kept: {text}");
        for secret in ["canary", "admin@localhost", client.token().expect("a token")] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_stranger_has_no_spans_made() {
    let collector = Collector::start();
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(&collector.config()));
    let stranger = server.client_with("gm_nobody");
    assert_eq!(post(&stranger, &event("strange"), &[("traceparent", &parent().replace(TRACE, OTHER))]).status, 401);
    let client = server.client();
    let id = id_of(&post_traced(&client, &event("traced")));
    assert_eq!(stored(&client, id)["trace_id"], TRACE);
    collector.await_spans(TRACE, has_request);
    assert!(collector.spans(OTHER).is_empty(), "spans are exported in the order in which they ended");
}
