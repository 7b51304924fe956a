//! `/api/v1/audit`: every change has its row, and who may not look does not.

use serde_json::{Value, json};

use super::{TOKENS, USERS, body, patch, walk};
use crate::support::events::{EVENTS, keys};
use crate::support::http::Client;
use crate::support::server::Server;

const AUDIT: &str = "/api/v1/audit";

/// Action and object of each row, the oldest first.
fn told(client: &Client, query: &str) -> Vec<String> {
    let rows = walk(client, &format!("{AUDIT}?{query}"), 2);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("no {key}: {row}")).to_owned();
    rows.iter().rev().map(|row| format!("{} {}", text(row, "action"), text(row, "object"))).collect()
}

both_databases! {
    fn users_and_tokens_leave_a_row_for_each_change_and_no_secret(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        assert_eq!(told(&admin, ""), ["user_created users/1", "token_created tokens/1"], "by the first start");
        let ana = body(&admin.post_json(USERS, &json!({"email": "ana@example.org"})), 201);
        let made = body(&admin.post_json(TOKENS, &json!({"user_id": ana["id"], "scopes": ["read"]})), 201);
        let rotated = body(&admin.post_json(&format!("{TOKENS}/2/rotate"), &json!({"overlap": "0s"})), 201);
        for disabled in [true, true, false] {
            body(&patch(&admin, &format!("{USERS}/2"), &json!({"disabled": disabled}).to_string()), 200);
        }
        for _ in 0..2 {
            assert_eq!(admin.call("DELETE", &format!("{TOKENS}/3"), &[], None).status, 204);
        }
        admin.post_json(USERS, &json!({"email": "ana@example.org"}));
        server.setup().run(&["user", "disable", "ana@example.org"]);
        let all = told(&admin, "");
        assert_eq!(all[2..], [
            "user_created users/2", "token_created tokens/2", "token_rotated tokens/2", "user_disabled users/2",
            "user_enabled users/2", "token_revoked tokens/3", "user_disabled users/2",
        ], "what changes nothing has no row");
        let page = admin.get(&format!("{AUDIT}?limit=3"));
        let rows = body(&page, 200)["data"].clone();
        assert_eq!(keys(&rows[0]), ["action", "at", "by_token", "by_user", "detail", "id", "node", "object"]);
        assert_eq!((&rows[0]["by_user"], &rows[0]["by_token"]), (&Value::Null, &Value::Null), "a command: {rows}");
        assert_eq!((&rows[1]["by_user"], &rows[1]["by_token"]), (&json!(1), &json!(1)), "{rows}");
        let text = database.texts("SELECT CAST(detail AS TEXT) || object FROM audit").concat();
        for secret in [&made["token"], &rotated["token"], &json!("ana@example.org")] {
            assert!(!text.contains(secret.as_str().expect("a text")), "{text}");
        }

        assert_eq!(told(&admin, "action=user_disabled&"), ["user_disabled users/2"; 2]);
        assert_eq!(told(&admin, "by_user=1&").len(), 6);
        assert_eq!(told(&admin, "action=user_disabled&by_user=1&"), ["user_disabled users/2"]);
        assert_eq!(told(&admin, "by_user=2&"), [""; 0]);
    }

    fn replays_cancellations_and_jobs_leave_one_row_each(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let wrong = |n: i64| json!({"event_name": "wrong", "event_type": "x", "payload": [n]});
        let ids: Vec<i64> = (0..3)
            .map(|n| admin.post_json(EVENTS, &wrong(n)).json()["event_id"].as_i64().expect("a rejected event is kept"))
            .collect();
        body(&admin.post_json(&format!("{EVENTS}/{}/retry", ids[0]), &json!({"patch": {"a": 1}})), 200);
        admin.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": ids}));
        admin.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [ids[0]]}));
        admin.post_json(&format!("{EVENTS}/{}/cancel", ids[0]), &json!({}));
        let job = body(&admin.post_json(&format!("{EVENTS}/retry"), &json!({"filter": {"event_name": "wrong"}})), 202);
        admin.post_json(&format!("/api/v1/jobs/{}/cancel", job["id"]), &json!({}));
        let all = told(&admin, "");
        let one = format!("events_replayed events/{}", ids[0]);
        let job = format!("job_made jobs/{}", job["id"]);
        assert_eq!(all[2..5], [one, "events_replayed events".to_owned(), job], "{all:?}");
        let row = walk(&admin, &format!("{AUDIT}?action=events_replayed&"), 1).remove(0);
        assert_eq!(row["detail"], json!({"events": 2, "event_ids": ids[1..], "force": false, "patched": false}));
        assert!(all[5..].iter().all(|row| row.starts_with("job_stopped")) && all.len() < 7, "once, if it still ran: {all:?}");
    }

    fn only_an_admin_reads_the_log_and_wrong_parameters_are_named(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let others = server.setup().create_user_with_token("ana@example.org", "write,read,read:all,write:all,operate");
        assert_eq!(server.client_with(&others).get(AUDIT).status, 403);
        assert_eq!(Client::new(server.address(), None).get(AUDIT).status, 401);
        for query in ["action=nonsense", "by_user=0", "by_user=me", "user_id=1", "limit=0", "limit=501", "action=job_made&action=job_made"] {
            let answer = admin.get(&format!("{AUDIT}?{query}"));
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{query}: {answer:?}");
        }
        let cursor = body(&admin.get(&format!("{AUDIT}?limit=1")), 200)["next_cursor"].clone();
        let other = admin.get(&format!("{AUDIT}?action=job_made&cursor={}", cursor.as_str().expect("more rows")));
        assert_eq!((other.status, &other.json()["code"]), (400, &json!("invalid_cursor")), "{other:?}");
    }
}
