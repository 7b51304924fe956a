//! Lists, exports, streams and single events.

use std::collections::BTreeSet;

use gristmill::store::{FeedPosition, Filters};
use serde_json::{Value, json};

use super::{TOO_LONG_FOR_POSTGRES, assert_told, damage, damages, mixed, show};
use crate::durability::{WAIT, with_store};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// The ids on all pages of a list, of those that can be read and of the others.
fn walked(client: &Client, query: &str) -> (Vec<i64>, Vec<i64>) {
    let mut sound = Vec::new();
    let mut unreadable = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = client.get(&format!("{EVENTS}?{query}{cursor}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let ids = |list: &Value| {
            list.as_array().into_iter().flatten().filter_map(|event| event["id"].as_i64()).collect::<Vec<_>>()
        };
        sound.extend(ids(&page["data"]));
        unreadable.extend(ids(&page["unreadable"]));
        assert!(page["unreadable"] != json!([]), "an empty list is left out: {page}");
        let Some(next) = page["next_cursor"].as_str() else { return (sound, unreadable) };
        cursor = format!("&cursor={next}");
    }
}

both_databases! {
    fn a_list_shows_the_others_and_says_which_are_missing(database) {
        let mut server = Server::start(&database);
        let (sound, damaged) = mixed(&mut server);
        let client = server.client();
        let damaged: Vec<i64> = damaged.iter().map(|(id, _)| *id).collect();
        let first = show(&client, sound[0]).json()["received_at"].as_str().expect("a time").to_owned();
        let since = format!("limit=2&received_after={first}");
        let onwards = format!("limit=1&order=asc&received_after={first}");
        for query in ["limit=50", "limit=1", "limit=3&order=asc", &since, &onwards] {
            let (mut seen, mut missing) = walked(&client, query);
            seen.sort_unstable();
            missing.sort_unstable();
            assert_eq!((&seen, &missing), (&sound, &damaged), "{query}");
        }
        let page = client.get(&format!("{EVENTS}?limit=50")).json();
        for (told, (_, word)) in page["unreadable"].as_array().expect("a list").iter().rev().zip(damages(&database)) {
            assert!(told["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{told} has no {word}");
        }
        let (seen, missing) = walked(&client, "limit=1&event_name=sound");
        assert_eq!((seen.len(), missing), (sound.len(), Vec::new()));
        assert_eq!(client.get("/health/ready").status, 200);
        assert!(!server.log().contains("panic"), "{}", server.log());
    }

    fn an_export_names_what_it_lacks_and_counts_it(database) {
        let mut server = Server::start(&database);
        let (sound, damaged) = mixed(&mut server);
        let answer = server.client().get(&format!("{EVENTS}/export?order=asc"));
        let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let ids: Vec<i64> = lines.iter().filter_map(|line| line["id"].as_i64()).collect();
        let named: Vec<i64> = lines.iter().filter_map(|line| line["unreadable"]["id"].as_i64()).collect();
        assert_eq!(ids, sound);
        assert_eq!(named, damaged.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let summary = json!({"summary": {"events": sound.len(), "unreadable": damaged.len(), "complete": false}});
        assert_eq!(lines.last(), Some(&summary));

        let said = server.setup().command(&["export", "-o", "all.ndjson"]);
        let remarks = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{remarks}");
        assert!(remarks.contains(&format!("event {} cannot be read", damaged[0].0)), "{remarks}");
        assert!(remarks.contains(&format!("{} events cannot be read", damaged.len())), "{remarks}");
        let written = std::fs::read_to_string(server.data().join("all.ndjson")).expect("it has all that can be read");
        assert_eq!(written.lines().count(), sound.len());
        let whole = server.setup().command(&["export", "--name", "sound"]);
        assert!(whole.status.success(), "{whole:?}");
    }

    fn one_event_that_cannot_be_read_is_a_problem_of_its_own(database) {
        let mut server = Server::start(&database);
        let (sound, damaged) = mixed(&mut server);
        let client = server.client();
        for (id, (_, word)) in damaged {
            assert_told(&show(&client, id), id, word);
            let waited = client.call("GET", &format!("{EVENTS}/{id}"), &[("Prefer", "wait=30")], None);
            assert_told(&waited, id, word);
            let timeline = client.get(&format!("{EVENTS}/{id}/timeline"));
            if ["task_id", "received_at", "attempts"].contains(&word) {
                assert_told(&timeline, id, word);
            } else {
                assert_eq!((timeline.status, &timeline.json()["status"]), (200, &json!("processed")), "{timeline:?}");
            }
        }
        assert_eq!(show(&client, sound[0]).status, 200);
    }

    fn what_is_told_of_outcomes_goes_on(database) {
        let mut server = Server::start(&database);
        let (sound, damaged) = mixed(&mut server);
        let client = server.client();
        let lost = |what: &str| {
            let id = accepted(&client, &event("lost"));
            finished(&client, id);
            damage(&database, id, what);
            id
        };
        let never = if database.url().starts_with("sqlite") { "processed_at = 'never'" } else { "processed_at = 'infinity'" };
        let more = [lost(never), lost("attempts = -1")];
        let ids: BTreeSet<i64> = sound.into_iter().chain(damaged.into_iter().map(|(id, _)| id)).chain(more).collect();
        let told = || with_store(&database, async |store| {
            let mut told = BTreeSet::new();
            let mut place = FeedPosition::after(0);
            loop {
                let (events, next) = store.feed(place, &Filters::default(), WAIT).await.expect("the feed is read");
                told.extend(events.iter().map(|event| event.id));
                if next == place {
                    return told;
                }
                place = next;
            }
        });
        // On PostgreSQL the feed comes to a flush when no older transaction of the cluster is open.
        let is_complete = || (told() == ids).then_some(());
        wait_for("the feed to report every event", SOON, is_complete, || format!("{:?} of {ids:?}", told()));
        let again = client.post_json(EVENTS, &json!({"event_name": "a", "event_type": "b", "event_uid": "k"}));
        let first = again.json()["event_id"].as_i64().expect("an id");
        finished(&client, first);
        damage(&database, first, never);
        let repeated = client.post_json(EVENTS, &json!({"event_name": "a", "event_type": "b", "event_uid": "k"}));
        assert_eq!((repeated.status, &repeated.json()["event_id"]), (200, &json!(first)), "{repeated:?}");
        assert_eq!(client.get("/api/v1/stats").status, 200);
        assert_eq!(server.dashboard().get("/metrics").status, 200);
    }
}

/// The worst that could be posted before numbers were bounded as they are written out.
#[test]
fn a_payload_of_a_gigabyte_stops_neither_list_nor_export() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    let [before, bomb, after] = ["before", "bomb", "after"].map(|name| accepted(&client, &event(name)));
    finished(&client, after);
    finished(&client, bomb);
    damage(&database, bomb, TOO_LONG_FOR_POSTGRES);
    let (mut seen, missing) = walked(&client, "limit=50");
    seen.sort_unstable();
    assert_eq!((seen, missing), (vec![before, after], vec![bomb]));
    assert_told(&show(&client, bomb), bomb, "SQLSTATE 54000");
    let export = client.get(&format!("{EVENTS}/export"));
    assert!(export.body.contains(&format!("{{\"unreadable\":{{\"id\":{bomb},")), "{export:?}");
}
