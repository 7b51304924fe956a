//! "Return Values", "Example Usage": what comes back, word for word.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, keys, post_and_wait};
use crate::support::http::raw;
use crate::support::server::Server;

/// What `curl -X POST … -H "Authorization: Bearer <TOKEN>" -d '{…}'` of the reference sends, byte by byte.
fn curl_post(token: &str) -> String {
    let body = r#"{
    "event_name": "page_view",
    "event_type": "engagement",
    "payload": {"page": "/home", "duration": 45}
  }"#;
    let length = body.len();
    format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    )
}

/// What `curl … -H "Authorization: Bearer <TOKEN>"` of the reference sends.
fn curl_get(token: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

both_databases! {
    fn the_references_curl_session_works_as_it_stands(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let answer = raw(server.address(), curl_post(&token).as_bytes());
        assert_eq!(answer.status, 202, "{answer:?}");
        let receipt = answer.json();
        assert_eq!(receipt["event_id"], 1, "the first event of a database is number 1: {receipt}");
        assert_eq!(receipt["status"], "enqueued");
        assert!(receipt["task_id"].as_str().is_some_and(|id| !id.is_empty()), "{receipt}");
        finished(&server.client(), 1);
        let answer = raw(server.address(), curl_get(&token, "/api/v1/events/1").as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        let event = answer.json();
        assert_eq!((&event["id"], &event["processed"]), (&json!(1), &json!(true)));
        assert!(event["processed_at"].is_string());
        let properties = &event["properties"];
        assert_eq!(keys(properties), ["duration", "normalized_at", "original", "page"]);
        assert_eq!(properties["original"], json!({"page": "/home", "duration": 45}));
        assert_eq!(properties["page"], "/home");
        assert_eq!(properties["duration"], json!(45.0));
    }

    fn an_accepted_event_gets_a_receipt_that_says_where_it_rests(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = client.post_json(EVENTS, &event("page_view"));
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let receipt = answer.json();
        assert_eq!(keys(&receipt), ["duplicate", "durability", "event_id", "status", "task_id"]);
        assert_eq!(receipt["durability"], "database");
        assert_eq!(receipt["duplicate"], false);
        let id = receipt["event_id"].as_i64().expect("a number");
        assert_eq!(answer.header("location"), Some(format!("{EVENTS}/{id}").as_str()));
        let event = finished(&client, id);
        assert_eq!(event["task_id"], receipt["task_id"]);
        let task_id = event["task_id"].as_str().expect("a text");
        let version = uuid::Uuid::parse_str(task_id).expect("a UUID").get_version_num();
        assert_eq!(version, 7, "{task_id}");
    }

    fn waiting_gives_the_references_success_value(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = post_and_wait(&client, &event("page_view"), 30);
        assert_eq!(answer.status, 200, "{answer:?}");
        let value = answer.json();
        let wanted = ["event_id", "event_name", "event_type", "processed_at", "status", "user_id"];
        assert_eq!(keys(&value), wanted);
        assert_eq!(value["status"], "success");
        assert_eq!(value["event_name"], "page_view");
        assert_eq!(value["event_type"], "engagement");
        let event = finished(&client, value["event_id"].as_i64().expect("a number"));
        assert_eq!(event["processed_at"], value["processed_at"]);
        assert_eq!(event["user_id"], value["user_id"]);
    }

    fn a_validation_error_is_the_same_waited_for_or_not(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        // Two of them: the same one again would be counted as a repeat.
        let missing = |page: &str| json!({"event_name": "page_view", "payload": {"page": page}});
        let answers = [client.post_json(EVENTS, &missing("/a")), post_and_wait(&client, &missing("/b"), 5)];
        let mut problems = answers.map(|answer| {
            assert_eq!(answer.status, 422, "{answer:?}");
            answer.json()
        });
        for problem in &mut problems {
            assert_eq!(problem["outcome"], "validation_error");
            assert_eq!(problem["error"], "Missing event_name or event_type");
            assert_eq!(problem["type"], "/problems/missing_field");
            assert!(problem["event_id"].is_i64(), "{problem}");
            assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");
            problem["event_id"] = Value::Null;
            problem["request_id"] = Value::Null;
        }
        assert_eq!(problems[0], problems[1]);
    }

    fn every_answer_names_its_request(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("page_view"));
        for path in [format!("{EVENTS}/{id}"), "/health/live".into(), "/nowhere".into(), EVENTS.into()] {
            let answer = client.call("GET", &path, &[("X-Request-Id", "mine-1.2_3")], None);
            assert_eq!(answer.header("x-request-id"), Some("mine-1.2_3"), "{path}: {answer:?}");
            let answer = client.call("GET", &path, &[("X-Request-Id", "no spaces here")], None);
            let given = answer.header("x-request-id").unwrap_or_default();
            assert!(!given.is_empty() && !given.contains(' '), "{path}: {answer:?}");
            assert!(answer.header("server-timing").is_some(), "{path}: {answer:?}");
        }
        let problem = client.get("/nowhere");
        assert_eq!(problem.json()["request_id"], problem.header("x-request-id").expect("checked above"));
    }

    fn a_statement_that_the_database_refuses_is_an_internal_error_that_tells_nothing_of_it(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("a"));
        let path = format!("/api/v1/events/{id}/timeline");
        server.database().execute("ALTER TABLE attempts RENAME TO astray");
        let answer = client.get(&path);
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("internal_error")), "{answer:?}");
        assert!(!answer.body.contains("attempts"), "{answer:?}");
        server.database().execute("ALTER TABLE astray RENAME TO attempts");
        assert_eq!(client.get(&path).status, 200, "and nothing is left of it");
    }
}
