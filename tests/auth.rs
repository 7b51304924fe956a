//! Who may do what: tokens, scopes, and changes that a running server sees.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::accounts::{prefix_of, token_of};
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::{Answer, Client, raw};
use crate::support::server::Server;
use crate::support::wait::wait_for;

/// A change is seen within a second; a busy machine gets some more.
const SEEN: Duration = Duration::from_secs(5);

/// Waits until the token gets this status for reading the list.
fn wait_for_status(server: &Server, token: &str, status: u16) -> Answer {
    let client = server.client_with(token);
    let read = || client.get(EVENTS);
    wait_for(
        &format!("status {status}"),
        SEEN,
        || Some(read()).filter(|answer| answer.status == status),
        || format!("{:?}", read()),
    )
}

/// Asserts a problem with this status and code, and that its detail has all these words.
fn assert_problem(answer: &Answer, status: u16, code: &str, words: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    for word in words {
        assert!(detail.contains(word), "{word:?} in {problem}");
    }
}

fn assert_unauthorized(answer: &Answer, words: &[&str]) {
    assert_problem(answer, 401, "unauthorized", words);
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{answer:?}");
}

/// A GET of the list with this text as its header lines.
fn get_with(server: &Server, headers: &[u8]) -> Answer {
    let mut request = b"GET /api/v1/events HTTP/1.1\r\nHost: test\r\n".to_vec();
    request.extend_from_slice(headers);
    request.extend_from_slice(b"\r\n");
    raw(server.address(), &request)
}

both_databases! {
    fn parameters_and_ids_are_looked_at_once_the_token_is_known(database) {
        let mut server = Server::start(&database);
        let wrong = [format!("{EVENTS}?limit=0"), format!("{EVENTS}/x"), "/api/v1/users?nonsense=1".to_owned()];
        for (at, path) in wrong.iter().enumerate() {
            // It is looked up the first time, and remembered from then on.
            let unknown = server.client_with(&format!("gm_unknown{at}"));
            for _ in 0..2 {
                assert_unauthorized(&unknown.get(path), &["the token is unknown"]);
            }
        }
        let made = server.client().post_json("/api/v1/tokens", &json!({"scopes": ["write"]})).json();
        let writer = server.client_with(made["token"].as_str().expect("a token"));
        for path in &wrong {
            assert_eq!(writer.get(path).status, 403, "{path}");
        }
    }

    fn without_a_good_token_the_answer_is_401_and_says_how_to_ask(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let nobody = Client::new(server.address(), None);
        for answer in [nobody.get(EVENTS), nobody.get(&format!("{EVENTS}/1")), nobody.post_json(EVENTS, &event("a"))] {
            assert_unauthorized(&answer, &["token"]);
        }
        let unknown = format!("gm_{}", "A".repeat(43));
        assert_unauthorized(&server.client_with(&unknown).get(EVENTS), &["unknown"]);
        let long = "x".repeat(65_536 - 100);
        let lines: [&[u8]; 8] = [
            b"Authorization: Bearer\r\n",
            b"Authorization: Bearer \r\n",
            b"Authorization: bearer x\r\n",
            b"Authorization: Basic YTpi\r\n",
            b"Authorization: gm_abc\r\n",
            b"Authorization: Bearer gm_\xc3\xa9\r\n",
            b"Authorization: Bearer gm_\xff\r\n",
            b"Authorization: \r\n",
        ];
        for line in lines {
            assert_unauthorized(&get_with(&server, line), &[]);
        }
        let twice = format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n");
        assert_unauthorized(&get_with(&server, twice.as_bytes()), &[]);
        let answer = get_with(&server, format!("Authorization: Bearer {long}\r\n").as_bytes());
        assert!(matches!(answer.status, 401 | 431), "{answer:?}");
        let lower = format!("authorization: bearer {token}\r\n");
        assert_eq!(get_with(&server, lower.as_bytes()).status, 200, "the scheme is case-insensitive");
        assert_eq!(nobody.get("/health/live").status, 200);
        assert_eq!(nobody.get("/health/ready").status, 200);
    }

    fn a_revoked_expired_or_disabled_token_stops_working_while_the_server_runs(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let revoked = setup.create_user_with_token("ana@example.org", "read,write");
        let kept = setup.create_token("ana@example.org", "read,write");
        for token in [&revoked, &kept] {
            wait_for_status(&server, token, 200);
        }
        setup.run(&["token", "revoke", prefix_of(&revoked)]);
        assert_unauthorized(&wait_for_status(&server, &revoked, 401), &["revoked"]);
        assert_eq!(server.client_with(&kept).get(EVENTS).status, 200, "the other token still works");

        let create = ["token", "create", "--user", "ana@example.org", "--scopes", "read", "--json", "--expires", "2s"];
        let short = token_of(&setup.run(&create));
        assert_unauthorized(&wait_for_status(&server, &short, 401), &["expired"]);

        setup.run(&["user", "disable", "ana@example.org"]);
        assert_unauthorized(&wait_for_status(&server, &kept, 401), &["disabled"]);
        setup.run(&["user", "enable", "ana@example.org"]);
        wait_for_status(&server, &kept, 200);
    }

    fn a_rotated_token_overlaps_with_its_successor_as_long_as_asked(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let first = setup.create_user_with_token("ana@example.org", "read");
        wait_for_status(&server, &first, 200);
        let second = token_of(&setup.run(&["token", "rotate", prefix_of(&first), "--overlap", "1h", "--json"]));
        assert_ne!(first, second);
        wait_for_status(&server, &second, 200);
        assert_eq!(server.client_with(&first).get(EVENTS).status, 200, "the overlap is an hour");
        assert_problem(&server.client_with(&second).post_json(EVENTS, &event("a")), 403, "forbidden", &["write"]);
        let third = token_of(&setup.run(&["token", "rotate", prefix_of(&second), "--overlap", "0s", "--json"]));
        wait_for_status(&server, &third, 200);
        assert_unauthorized(&wait_for_status(&server, &second, 401), &[]);
    }

    fn each_scope_allows_what_it_says_and_no_more(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        setup.create_user("ana@example.org");
        let client = |scopes: &str| server.client_with(&setup.create_token("ana@example.org", scopes));
        let writer = client("write");
        let reader = client("read");
        let admin = client("admin,operate");
        let id = accepted(&writer, &event("a"));
        let path = format!("{EVENTS}/{id}");
        assert_eq!(reader.get(&path).status, 200);
        assert_eq!(reader.get(EVENTS).status, 200);
        assert_problem(&reader.post_json(EVENTS, &event("a")), 403, "forbidden", &["write"]);
        assert_problem(&writer.get(&path), 403, "forbidden", &["read"]);
        assert_problem(&writer.get(EVENTS), 403, "forbidden", &["read"]);
        assert_problem(&admin.get(EVENTS), 403, "forbidden", &["read"]);
        assert_problem(&admin.post_json(EVENTS, &event("a")), 403, "forbidden", &["write"]);
        assert_eq!(client("read:all").get(&path).status, 200, "read:all reads too");
        accepted(&client("write:all"), &event("a"));
    }

    fn a_token_sees_its_own_users_events_and_read_all_everyones(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let ana = server.client_with(&setup.create_user_with_token("ana@example.org", "read,write"));
        let bob = server.client_with(&setup.create_user_with_token("bob@example.org", "read,write"));
        let all = server.client_with(&setup.create_token("bob@example.org", "read:all"));
        let of_ana = accepted(&ana, &event("a"));
        let of_bob = accepted(&bob, &event("b"));
        let foreign = bob.get(&format!("{EVENTS}/{of_ana}"));
        let unknown = bob.get(&format!("{EVENTS}/{}", of_ana + 1_000_000));
        assert_problem(&foreign, 404, "not_found", &[&of_ana.to_string()]);
        let shape = |answer: &Answer, id: i64| {
            let mut problem = answer.json();
            problem["request_id"] = Value::Null;
            problem.to_string().replace(&id.to_string(), "N")
        };
        let foreign = shape(&foreign, of_ana);
        let unknown = shape(&unknown, of_ana + 1_000_000);
        assert_eq!(foreign, unknown, "a foreign id answers as an unknown one");
        let ids = |client: &Client| -> Vec<i64> {
            let list = client.get(EVENTS).json();
            list["data"].as_array().expect("a page").iter().filter_map(|event| event["id"].as_i64()).collect()
        };
        assert_eq!((ids(&ana), ids(&bob)), (vec![of_ana], vec![of_bob]));
        let mut both = ids(&all);
        both.sort_unstable();
        let mut wanted = vec![of_ana, of_bob];
        wanted.sort_unstable();
        assert_eq!(both, wanted);
        assert_eq!(all.get(&format!("{EVENTS}/{of_ana}")).status, 200);
    }

    fn writing_for_another_user_needs_write_all(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let bob = server.client_with(&setup.create_user_with_token("bob@example.org", "read,write"));
        let ana = setup.create_user_with_token("ana@example.org", "read,write");
        let all = server.client_with(&setup.create_token("ana@example.org", "write:all,read:all"));
        let ana = server.client_with(&ana);
        let id_of_bob = finished(&bob, accepted(&bob, &event("b")))["user_id"].clone();
        let for_bob = json!({"event_name": "a", "event_type": "b", "user_id": id_of_bob});
        assert_problem(&ana.post_json(EVENTS, &for_bob), 403, "forbidden", &["write:all"]);
        let id = accepted(&all, &for_bob);
        assert_eq!(finished(&all, id)["user_id"], id_of_bob);
        assert_eq!(finished(&bob, id)["user_id"], id_of_bob, "it is bob's event");
        accepted(&bob, &for_bob);
    }
}

#[test]
fn a_cursor_does_not_open_what_its_bearer_may_not_see() {
    let server = Server::start(&crate::support::database::Database::sqlite());
    let setup = server.setup();
    let ana = server.client_with(&setup.create_user_with_token("ana@example.org", "read,write"));
    let all = server.client_with(&setup.create_token("ana@example.org", "read:all"));
    for _ in 0..3 {
        accepted(&ana, &event("a"));
    }
    let page = all.get(&format!("{EVENTS}?limit=1")).json();
    let cursor = page["next_cursor"].as_str().expect("there are two more");
    let answer = ana.get(&format!("{EVENTS}?limit=1&cursor={cursor}"));
    assert_problem(&answer, 400, "invalid_cursor", &["cursor"]);
}
