//! The list: newest first, page by page, each row once.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, id_of};
use crate::support::http::Client;
use crate::support::server::Server;

/// The ids of one page and its cursor.
fn page(client: &Client, query: &str) -> (Vec<i64>, Option<String>) {
    let answer = client.get(&format!("{EVENTS}{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let value = answer.json();
    let data = value["data"].as_array().unwrap_or_else(|| panic!("no data: {value}"));
    let ids = data.iter().map(|event| event["id"].as_i64().expect("ids are numbers")).collect();
    let cursor = value["next_cursor"].as_str().map(str::to_owned);
    assert_eq!(answer.header("link").is_some(), cursor.is_some(), "Link goes with next_cursor: {answer:?}");
    (ids, cursor)
}

both_databases! {
    fn the_list_gives_every_event_once_newest_first_and_ignores_what_comes_later(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let mut posted: Vec<i64> = (0..7).map(|n| accepted(&client, &event(&format!("n{n}")))).collect();
        posted.sort_unstable_by(|a, b| b.cmp(a));
        let (all, cursor) = page(&client, "");
        assert_eq!((&all, cursor), (&posted, None));
        let mut seen = Vec::new();
        let (first, mut cursor) = page(&client, "?limit=3");
        seen.extend(first);
        accepted(&client, &event("later"));
        while let Some(next) = cursor {
            let (ids, following) = page(&client, &format!("?limit=3&cursor={next}"));
            seen.extend(ids);
            cursor = following;
        }
        assert_eq!(seen, posted);
    }

    fn a_listed_event_is_the_event_as_it_is_read_alone(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("page_view"));
        let alone = finished(&client, id);
        client.post_json(EVENTS, &json!({"event_name": "rejected"}));
        let listed = client.get(EVENTS).json();
        let listed = listed["data"].as_array().expect("a page").clone();
        assert_eq!(listed.len(), 2, "rejected events are listed too");
        assert_eq!(listed[1], alone);
        assert_eq!(listed[0]["status"], "validation_error");
    }

    // PostgreSQL writes each of these numbers with 309 digits, in the payload and in `properties`.
    fn a_page_is_bounded_by_what_the_database_writes_out(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let body = format!(r#"{{"event_name":"a","event_type":"b","payload":{{"a":[0{}]}}}}"#, ",1e308".repeat(3_000));
        let mut posted: Vec<i64> = (0..12).map(|_| id_of(&client.post_text(EVENTS, &body))).collect();
        posted.sort_unstable_by(|a, b| b.cmp(a));
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = client.get(&format!("{EVENTS}?limit=100{cursor}"));
            assert!(answer.body.len() < 9 << 20, "{} bytes", answer.body.len());
            let (ids, next) = page(&client, &format!("?limit=100{cursor}"));
            seen.extend(ids);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, posted);
    }

    fn an_empty_list_is_a_page_without_events(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = client.get(&format!("{EVENTS}?limit=500"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({"data": [], "next_cursor": Value::Null}));
    }
}
