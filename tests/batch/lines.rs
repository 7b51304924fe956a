//! `application/x-ndjson`: any number of lines on one connection.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{BATCH, rows};
use crate::support::events::event;
use crate::support::http::{Answer, Client, try_get};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

fn post_lines(client: &Client, accept: &str, body: &[u8]) -> Answer {
    let headers = [("Content-Type", "application/x-ndjson"), ("Accept", accept)];
    client.call("POST", BATCH, &headers, Some(body))
}

fn lines_of(answer: &Answer) -> Vec<Value> {
    answer.body.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// So many events, each on a line.
fn many(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{}", event(&format!("line_{number}"))).expect("a string takes all");
        text
    })
}

both_databases! {
    fn each_line_is_an_event_and_a_bad_one_is_one_bad_result(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let mut body = format!("{}\n\n{{\"event_name\":\n  \r\n", event("a")).into_bytes();
        body.extend_from_slice(b"{\"event_name\":\"\xff\"}\n[1]\n");
        body.extend_from_slice(event("z").to_string().as_bytes());
        let answer = post_lines(&client, "*/*", &body);
        let report = answer.json();
        assert_eq!((answer.status, &report["status"], &report["complete"]), (207, &json!("partial"), &json!(true)));
        assert_eq!((&report["total_events"], &report["processed"], &report["failed"]), (&json!(5), &json!(2), &json!(3)));
        let results = report["results"].as_array().expect("results");
        let failures: Vec<Value> = results.iter().map(|one| json!([one["index"], one["code"]])).collect();
        assert_eq!(json!(failures), json!([[1, "invalid_json"], [2, "invalid_json"], [3, "event_not_object"]]));
        assert_eq!(rows(&server), 2);
    }

    fn many_lines_are_many_transactions_and_one_answer(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = post_lines(&client, "application/json", many(5_000).as_bytes());
        assert_eq!((answer.status, &answer.json()["processed"]), (200, &json!(5_000)), "{answer:?}");
        assert_eq!(answer.json()["results"], json!([]), "only what is no success");
        assert_eq!(rows(&server), 5_000);
    }

    fn results_are_streamed_in_order_when_lines_are_asked_for(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let mut body = many(3_000);
        body.push_str("nonsense");
        let answer = post_lines(&client, "application/x-ndjson", body.as_bytes());
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        let lines = lines_of(&answer);
        assert_eq!(lines.len(), 3_002);
        for (index, line) in lines[..3_001].iter().enumerate() {
            assert_eq!(line["index"], index, "{line}");
        }
        assert_eq!((&lines[2_999]["status"], &lines[2_999]["event_name"]), (&json!("processed"), &json!("line_2999")));
        assert_eq!(lines[3_000]["code"], "invalid_json");
        let summary = &lines[3_001]["summary"];
        assert_eq!((&summary["total_events"], &summary["failed"]), (&json!(3_001), &json!(1)), "{summary}");
        assert_eq!(rows(&server), 3_000);
    }

    fn a_stop_takes_the_lines_of_a_request_under_way_and_begins_nothing_new(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let head = |path: &str, header: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n{header}\r\n\r\n")
        };
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let open = || Connection::open(server.address()).expect("the server takes connections");
        let mut under_way = open();
        let mut begun = open();
        let lines = head(BATCH, "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked");
        under_way.send(format!("{lines}{}", chunk(&many(1_000))).as_bytes()).expect("the server reads");
        let stored = || (rows(&server) == 1_000).then_some(());
        wait_for("the first lines to be stored", SOON, stored, || server.log());
        begun.send(head("/api/v1/events/1/retry", "Content-Length: 2").as_bytes()).expect("the server reads");
        server.terminate();
        let dashboard = server.dashboard_address();
        let is_stopping = || try_get(dashboard, "/health/ready").filter(|answer| answer.status == 503).map(drop);
        wait_for("the stop", SOON, is_stopping, || server.log());
        begun.send(b"{}").expect("the server reads");
        let refused = begun.answer().expect("an answer");
        assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("draining")), "{refused:?}");
        under_way.send(format!("{}0\r\n\r\n", chunk(&many(1_000))).as_bytes()).expect("the server reads");
        let report = under_way.answer().expect("an answer").json();
        assert_eq!((&report["processed"], &report["complete"]), (&json!(2_000), &json!(true)), "{report}");
        assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", server.log());
        assert_eq!(rows(&server), 2_000);
    }

    fn a_line_over_the_limit_is_one_bad_result(database) {
        let setup = Setup::new(&database).with_config("limits.body_bytes = \"64KiB\"\nlimits.payload_bytes = \"64KiB\"\n");
        let mut server = Server::start(setup);
        let client = server.client();
        let long = format!("{}{{\"event_name\":\"{}\"}}\n{}", many(3), "x".repeat(300_000), many(2));
        let report = post_lines(&client, "*/*", long.as_bytes()).json();
        assert_eq!((&report["processed"], &report["failed"]), (&json!(5), &json!(1)), "{report}");
        assert_eq!((&report["results"][0]["index"], &report["results"][0]["code"]), (&json!(3), &json!("body_too_large")));
    }

    // Guards `Lines::without_long_line`: what is thrown away takes no room.
    fn a_line_beyond_all_room_in_flight_is_one_bad_result(database) {
        let config = "pipeline.in_flight_bytes = \"2MiB\"\npipeline.flush_bytes = \"1MiB\"\n";
        let mut server = Server::start(Setup::new(&database).with_config(config));
        let client = server.client();
        let long = format!("{}\"{}\"\n{}", many(3), "x".repeat(20 << 20), many(2));
        let memory = server.rss_bytes();
        let report = post_lines(&client, "*/*", long.as_bytes()).json();
        assert_eq!((&report["processed"], &report["failed"]), (&json!(5), &json!(1)), "{report}");
        let grown = server.rss_bytes().saturating_sub(memory);
        assert!(grown < 16 << 20, "{grown} bytes more");
    }

    fn keys_of_lines_make_a_second_sending_harmless(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let post = || {
            let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", "import-1")];
            client.call("POST", BATCH, &headers, Some(many(2_500).as_bytes())).json()
        };
        assert_eq!(post()["processed"], 2_500);
        let again = post();
        assert_eq!((&again["duplicates"], &again["status"]), (&json!(2_500), &json!("success")), "{again}");
        assert_eq!(rows(&server), 2_500);
    }

    fn lines_need_no_declared_type(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let one = event("one").to_string();
        let broken = "{\"event_name\":\n{}\n";
        let laid_out = serde_json::to_string_pretty(&json!({"events": [event("a"), event("b")]})).expect("JSON");
        let long = format!("{{\"x\":\"{}\",{}\n{one}\n", "y".repeat(300_000), &one[1..]);
        let other_first = json!({"a": 1, "events": [event("a")]}).to_string();
        let mut stored = 0;
        for kind in [None, Some("application/x-www-form-urlencoded")] {
            for (body, status, processed) in [
                (format!("{one}\n{one}\n"), 200, 2),
                (format!("\r\n {one} \r\n\r\n{one}"), 200, 2),
                (format!("{one}\nnonsense\n{one}"), 207, 2),
                (one.clone(), 200, 1),
                (format!("{one}\n"), 200, 1),
                (long.clone(), 200, 2),
                (many(3_000), 200, 3_000),
                (laid_out.clone(), 200, 2),
                (other_first.clone(), 200, 1),
                (format!("[{one},\n{one}]"), 200, 2),
            ] {
                let headers: Vec<_> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
                let answer = client.call("POST", BATCH, &headers, Some(body.as_bytes()));
                let told = (answer.status, answer.json()["processed"].as_u64());
                assert_eq!(told, (status, Some(processed)), "{kind:?} {:.60}: {answer:?}", body);
                stored += processed;
                let judged = client.call("POST", "/api/v1/events/validate", &headers, Some(body.as_bytes()));
                assert_eq!(judged.status, status, "{kind:?} {:.60}: {judged:?}", body);
            }
            for body in [broken.to_owned(), format!("{one}{one}\n"), format!("{one} {one}")] {
                let headers: Vec<_> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
                let answer = client.call("POST", BATCH, &headers, Some(body.as_bytes()));
                assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_json")), "{body}: {answer:?}");
            }
        }
        let declared = client.call("POST", BATCH, &[("Content-Type", "application/json")], Some(many(2).as_bytes()));
        assert_eq!(declared.status, 400, "what is declared is believed: {declared:?}");
        assert_eq!(rows(&server) as u64, stored);
    }

    fn lines_without_a_type_are_known_as_they_arrive_however_they_are_cut(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let mut connection = Connection::open(server.address()).expect("the server takes connections");
        let head = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        connection.send(head.as_bytes()).expect("the server reads");
        for byte in many(2).bytes() {
            connection.send(&[b"1\r\n", [byte].as_slice(), b"\r\n"].concat()).expect("the server reads");
        }
        // The first lines are stored while the body goes on.
        let stored = || (rows(&server) == 2).then_some(());
        wait_for("the first lines to be stored", SOON, stored, || server.log());
        connection.send(b"0\r\n\r\n").expect("the server reads");
        let report = connection.answer().expect("an answer").json();
        assert_eq!((&report["processed"], &report["complete"]), (&json!(2), &json!(true)), "{report}");
    }

    fn a_stream_that_falls_silent_is_told_how_much_of_it_came(database) {
        let mut server = Server::start(Setup::new(&database).with_config("http.body_timeout = \"300ms\"\n"));
        let token = server.token();
        let mut connection = Connection::open(server.address()).expect("the server takes connections");
        let line = format!("{}\n", event("a"));
        let request = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n",
            line.len()
        );
        connection.send(request.as_bytes()).expect("the server reads");
        let answer = connection.answer().expect("an answer");
        let report = answer.json();
        assert_eq!((answer.status, &report["processed"], &report["complete"]), (207, &json!(1), &json!(false)), "{report}");
        let bytes = line.len();
        let told = format!("silent for 0.3 s, bytes so far: {bytes}; a blank line now and then keeps a quiet stream open");
        assert!(report["error"].as_str().is_some_and(|error| error.ends_with(&told)), "{report}");
        assert_eq!(rows(&server), 1);
    }

    fn a_body_without_a_line_is_an_error(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for body in ["", "\n\n \r\n"] {
            let answer = post_lines(&client, "*/*", body.as_bytes());
            assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("batch_empty")), "{body:?}");
            let streamed = post_lines(&client, "application/x-ndjson", body.as_bytes());
            assert_eq!((streamed.status, &streamed.json()["code"]), (422, &json!("batch_empty")), "{body:?}");
        }
        // What is wrong before the first result still has a status, also where results would be streamed.
        let headers = [("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip"), ("Accept", "application/x-ndjson")];
        let packed = client.call("POST", BATCH, &headers, Some(b"plain"));
        assert_eq!((packed.status, &packed.json()["code"]), (400, &json!("invalid_content_encoding")), "{packed:?}");
        let unknown = client.call("POST", BATCH, &[("Content-Type", "text/csv")], Some(b"a,b"));
        assert_eq!(unknown.header("accept-post"), Some("application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json"), "{unknown:?}");
    }

    // Guards the wait for room in `Lines` and `bulk::settle`: a client is slowed down, not refused.
    fn lines_wait_for_room_where_a_batch_would_be_refused(database) {
        let setup = Setup::new(&database)
            .with_config("pipeline.in_flight_events = 700\npipeline.in_flight_bytes = \"2MiB\"\npipeline.flush_events = 500\npipeline.flush_bytes = \"1MiB\"\n");
        let mut server = Server::start(setup);
        let client = server.client();
        std::thread::scope(|scope| {
            let posts: Vec<_> =
                (0..3).map(|_| scope.spawn(|| post_lines(&client, "*/*", many(1_500).as_bytes()))).collect();
            for post in posts {
                let answer = post.join().expect("no panic");
                assert_eq!((answer.status, &answer.json()["processed"]), (200, &json!(1_500)), "{answer:?}");
            }
        });
        assert_eq!(rows(&server), 4_500);
    }
}
