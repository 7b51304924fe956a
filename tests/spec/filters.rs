//! The list's filters: what is found, what is refused, and how a page leads to the next.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

fn listed(client: &Client, query: &str) -> Answer {
    let answer = client.get(&format!("{EVENTS}?{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer
}

fn ids(answer: &Answer) -> Vec<i64> {
    let value = answer.json();
    let data = value["data"].as_array().unwrap_or_else(|| panic!("no data: {value}"));
    data.iter().map(|event| event["id"].as_i64().expect("ids are numbers")).collect()
}

/// Follows the header `Link` to the end of the list.
fn followed(client: &Client, query: &str) -> Vec<i64> {
    let mut answer = listed(client, query);
    let mut all = ids(&answer);
    while let Some(link) = answer.header("link") {
        let path = link.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("a link").0.to_owned();
        answer = client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        all.extend(ids(&answer));
    }
    all
}

fn refused(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("{EVENTS}?{query}"));
    assert_eq!(answer.status, 400, "{query}: {answer:?}");
    answer.json()
}

/// The time of receipt of an event, ready for a URL.
fn received(client: &Client, id: i64) -> String {
    let event = finished(client, id);
    event["received_at"].as_str().expect("a time").replace(':', "%3A")
}

both_databases! {
    fn each_filter_finds_its_events_and_the_link_carries_them_on(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let post = |name: &str, kind: &str| {
            accepted(&client, &json!({"event_name": name, "event_type": kind, "payload": {}}))
        };
        let (a, b, c, d) = (post("a & b", "x"), post("other", "y"), post("a & b", "y"), post("a & b", "x"));
        let rejected = client.post_json(EVENTS, &json!({"event_name": "a & b"})).json();
        let rejected = rejected["event_id"].as_i64().expect("it is kept");
        let since = format!("received_after={}", received(&client, a));
        assert_eq!(ids(&listed(&client, "event_name=a+%26+b")), [rejected, d, c, a]);
        assert_eq!(ids(&listed(&client, "event_name=other&order=asc")), [b]);
        assert_eq!(ids(&listed(&client, "status=validation_error")), [rejected]);
        assert_eq!(ids(&listed(&client, "status=failed")), Vec::<i64>::new());
        assert_eq!(ids(&listed(&client, "status=validation_error&error_code=missing_field")), [rejected]);
        assert_eq!(ids(&listed(&client, &format!("event_type=x&{since}"))), [d, a]);
        assert_eq!(ids(&listed(&client, &format!("error_code=missing_field&{since}"))), [rejected]);
        assert_eq!(ids(&listed(&client, &format!("status=processed&event_name=a+%26+b&{since}&order=asc"))), [a, c, d]);
        assert_eq!(followed(&client, "event_name=a+%26+b&limit=1"), [rejected, d, c, a]);
        let query = format!("status=processed&{since}&order=asc&limit=1");
        assert_eq!(followed(&client, &query), [a, b, c, d]);
    }

    fn adjoining_time_ranges_have_each_event_once(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let all: Vec<i64> = (0..6).map(|n| accepted(&client, &event(&format!("n{n}")))).collect();
        let from = received(&client, all[0]);
        let cut = received(&client, all[3]);
        let below = followed(&client, &format!("received_after={from}&received_before={cut}&order=asc&limit=2"));
        let above = followed(&client, &format!("received_after={cut}&order=asc&limit=2"));
        assert_eq!((below, above), (all[..3].to_vec(), all[3..].to_vec()));
    }

    fn filters_without_an_index_or_a_range_are_refused(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for query in ["event_type=a", "status=processed", "error_code=a", "event_type=a&event_name=b"] {
            let problem = refused(&client, query);
            assert_eq!(problem["code"], "invalid_request");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("received_after")), "{problem}");
        }
        let detail = refused(&client, "received_after=2020-01-01T00%3A00%3A00Z")["detail"].to_string();
        assert!(detail.contains("31 days"), "{detail}");
        assert_eq!(refused(&client, "event_name=%00")["code"], "invalid_request");
    }

    fn a_cursor_is_bound_to_filters_order_and_viewer(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for _ in 0..3 {
            accepted(&client, &event("same"));
        }
        let page = listed(&client, "event_name=same&limit=1").json();
        let cursor = page["next_cursor"].as_str().expect("there is more");
        assert_eq!(ids(&listed(&client, &format!("event_name=same&limit=2&cursor={cursor}"))).len(), 2);
        for other in ["", "event_name=other&", "event_name=same&order=asc&", "event_name=same&user_id=1&"] {
            assert_eq!(refused(&client, &format!("{other}cursor={cursor}"))["code"], "invalid_cursor", "{other}");
        }
    }

    fn a_list_shows_other_users_events_only_to_who_may_read_all(database) {
        let mut server = Server::start(&database);
        let setup = server.setup().clone();
        let admin = server.client();
        let ana = server.client_with(&setup.create_user_with_token("ana@example.org", "write,read"));
        let hers = accepted(&ana, &event("seen"));
        let ours = accepted(&admin, &event("seen"));
        let her_id = finished(&ana, hers)["user_id"].clone();
        let since = format!("received_after={}", received(&ana, hers));
        for query in ["", "event_name=seen", &since, &format!("user_id={her_id}"), &format!("{since}&event_type=engagement")] {
            assert_eq!(ids(&listed(&ana, query)), [hers], "{query}");
        }
        assert_eq!(ids(&listed(&admin, &format!("event_name=seen&user_id={her_id}"))), [hers]);
        assert_eq!(ids(&listed(&admin, &since)), [ours, hers]);
        let foreign = ana.get(&format!("{EVENTS}?user_id=1"));
        assert_eq!((foreign.status, foreign.json()["code"].clone()), (403, json!("forbidden")), "{foreign:?}");
    }
}
