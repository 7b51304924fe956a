//! An event's trace context: taken from its request or from itself, stored, and shown.

use serde_json::{Value, json};

use super::{CALLER, OTHER, TRACE, metric, parent, post};
use crate::support::events::{EVENTS, accepted, event, finished, id_of, stored};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// What the database has of the event's trace.
fn column(server: &Server, id: i64) -> String {
    server.database().texts(&format!("SELECT COALESCE(trace_context, '-') FROM events WHERE id = {id}")).concat()
}

fn cloud_event(id: &str, more: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "com.example.some", "source": "/here", "id": id, "data": {}});
    let members = event.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    event
}

both_databases! {
    fn an_event_its_timeline_and_its_lines_show_the_trace_that_its_request_names(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let headers = [("traceparent", parent()), ("tracestate", "rojo=1, congo=2".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let id = id_of(&post(&client, &event("traced"), &headers));
        assert_eq!(finished(&client, id)["trace_id"], TRACE);
        assert_eq!(client.get(&format!("{EVENTS}/{id}/timeline")).json()["trace_id"], TRACE);
        assert_eq!(client.get(EVENTS).json()["data"][0]["trace_id"], TRACE);
        assert_eq!(column(&server, id), format!("{} rojo=1,congo=2", parent()));
        let last = format!("[Event {id}] Processing completed successfully");
        let line = || server.log().lines().find(|line| line.contains(&last)).map(str::to_owned);
        let line = wait_for("the event's last line", SOON, line, || server.log());
        assert!(line.contains(&format!("trace_id={TRACE}")), "{line}");

        let id = accepted(&client, &event("plain"));
        assert_eq!(finished(&client, id).get("trace_id"), None, "nothing is exported, so nothing begins");
        assert_eq!(column(&server, id), "-");
        assert!(!server.log().lines().any(|line| line.contains(&format!("[Event {id}]")) && line.contains("trace_id")));
        assert_eq!(metric(&server, "gristmill_spans_exported_total "), 0);
        assert_eq!(metric(&server, "gristmill_spans_dropped_total{reason=\"queue_full\"}"), 0);
    }

    fn malformed_contexts_are_ignored_and_never_an_error(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for wrong in ["", "x", "00-1-2-01", &parent().to_uppercase(), &format!("{}-", parent()), &parent().replace(CALLER, &"0".repeat(16))] {
            let answer = post(&client, &event("plain"), &[("traceparent", wrong), ("tracestate", "a=1")]);
            assert_eq!(answer.status, 202, "{wrong}: {answer:?}");
            assert_eq!(stored(&client, id_of(&answer)).get("trace_id"), None, "{wrong}");
        }
        let twice = post(&client, &event("plain"), &[("traceparent", &parent()), ("traceparent", &parent())]);
        assert_eq!(stored(&client, id_of(&twice)).get("trace_id"), None);
        let state = post(&client, &event("traced"), &[("traceparent", &parent()), ("tracestate", "a")]);
        assert_eq!(column(&server, id_of(&state)), parent(), "a wrong state alone is left out");
    }

    fn each_event_of_a_batch_or_of_lines_is_part_of_its_requests_trace(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let keyed = |uid: &str| json!({"event_name": "a", "event_type": "b", "event_uid": uid});
        let batch = json!([event("one"), event("two"), keyed("key"), {"event_name": "refused"}]).to_string();
        let lines = format!("{}\n{}\n", event("three"), event("four"));
        for (kind, body, events) in [("application/json", batch, 4), ("application/x-ndjson", lines, 2)] {
            let headers = [("Content-Type", kind), ("traceparent", &parent())];
            let answer = client.call("POST", &format!("{EVENTS}/batch"), &headers, Some(body.as_bytes()));
            assert!([200, 207].contains(&answer.status), "{answer:?}");
            let sql = format!("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE trace_context = '{}'", parent());
            assert_eq!(server.database().texts(&sql), [events.to_string()], "{answer:?}");
            server.database().execute("DELETE FROM events");
        }
    }

    fn a_cloud_events_own_trace_goes_before_its_requests(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let own = format!("00-{OTHER}-b7ad6b7169203331-01");
        let structured = |id, more| {
            let headers = [("Content-Type", "application/cloudevents+json"), ("traceparent", &parent())];
            let answer = client.call("POST", EVENTS, &headers, Some(cloud_event(id, more).to_string().as_bytes()));
            column(&server, id_of(&answer))
        };
        assert_eq!(structured("1", json!({"traceparent": own, "tracestate": "a=1"})), format!("{own} a=1"));
        assert_eq!(structured("2", json!({})), parent());
        assert_eq!(structured("3", json!({"traceparent": "x"})), parent(), "what is malformed is not there");
        let binary = [
            ("Content-Type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-type", "t"),
            ("ce-source", "/here"),
            ("ce-id", "4"),
            ("ce-traceparent", &own),
        ];
        let answer = client.call("POST", EVENTS, &binary, Some(b"{}"));
        assert_eq!(column(&server, id_of(&answer)), own);
    }
}
