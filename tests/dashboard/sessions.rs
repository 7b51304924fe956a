//! Sessions: what opens one, what it may do, what ends it, and that no other page can use it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::accounts::{prefix_of, token_of};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::{Answer, Client, raw};
use crate::support::server::{Server, Setup};
use crate::support::wait::wait_for;

/// What our own script sends with every change.
const OWN: (&str, &str) = ("X-Gristmill-Request", "1");
/// A change is seen within a second; a busy machine gets some more.
const SEEN: Duration = Duration::from_secs(5);

/// The port, with nothing but what the test adds.
fn port(server: &Server) -> Client {
    Client::new(server.dashboard_address(), None)
}

fn log_in(server: &Server, token: &str) -> Answer {
    let form = format!("token={token}");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    port(server).call("POST", "/login", &headers, Some(form.as_bytes()))
}

/// The cookie of a new session, as a browser sends it back.
fn session(server: &Server, token: &str) -> String {
    let answer = log_in(server, token);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("its value").to_owned()
}

fn get(server: &Server, cookie: &str, path: &str) -> Answer {
    port(server).call("GET", path, &[("Cookie", cookie)], None)
}

/// By hand: the document of the API, which clients hold answers against, knows nothing of cookies.
fn post(server: &Server, cookie: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = server.dashboard_address();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: 0\r\n{lines}\r\n");
    raw(host, request.as_bytes())
}

#[track_caller]
fn assert_ends(server: &Server, cookie: &str) {
    let ended = || Some(get(server, cookie, "/api/session")).filter(|answer| answer.status == 401);
    wait_for("the session's end", SEEN, ended, || format!("{:?}", get(server, cookie, "/api/session")));
}

both_databases! {
    fn a_token_opens_a_session_that_a_cookie_holds(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        for wrong in ["", "x", "gm_", "gm_unknown", "%0D%0Agm_a"] {
            let answer = log_in(&server, wrong);
            assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{wrong}: {answer:?}");
            assert!(answer.body.contains("role=\"alert\"") && answer.body.contains("<form"), "{answer:?}");
        }
        let answer = log_in(&server, &token);
        let cookie = answer.header("set-cookie").expect("a cookie");
        let (pair, attributes) = cookie.split_once("; ").expect("attributes");
        let mut attributes: Vec<&str> = attributes.split("; ").collect();
        attributes.sort_unstable();
        assert_eq!(attributes, ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"]);
        let (name, secret) = pair.split_once('=').expect("a value");
        assert!(name == "gristmill_session" && secret.starts_with("gm_") && secret != token, "{cookie}");
        let who = get(&server, pair, "/api/session").json();
        assert_eq!((&who["email"], &who["scopes"][5]), (&json!("admin@localhost"), &json!("admin")), "{who}");
        assert_eq!(get(&server, pair, EVENTS).status, 200);
        let elsewhere = Client::new(server.address(), None).call("GET", EVENTS, &[("Cookie", pair)], None);
        assert_eq!(elsewhere.status, 401, "a cookie counts on its own port only");
        assert!(!server.log().contains(secret), "no secret in the log");

        let listed = server.client().get(&format!("/api/v1/tokens/{}", who["token_id"])).json();
        assert_eq!((&listed["name"], &listed["parent_id"]), (&json!("dashboard session"), &json!(1)), "{listed}");
        assert!(listed["expires_at"].is_string(), "{listed}");
        assert_eq!(log_in(&server, secret).status, 401, "a session opens no session");

        let left = post(&server, pair, "/logout", &[OWN]);
        assert!(left.status == 204 && left.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{left:?}");
        assert_eq!(get(&server, pair, "/api/session").status, 401, "at once");
        assert_eq!(server.client().get(EVENTS).status, 200, "the token itself goes on");
        assert_eq!(server.dashboard().call("POST", "/logout", &[], None).status, 204);
        assert_eq!(server.client().get(EVENTS).status, 200, "which nobody logs out");
    }

    fn logging_in_and_out_leaves_a_row_each_and_a_refused_try_only_a_line(database) {
        let mut server = Server::start(&database);
        let token = server.setup().create_user_with_token("ana@example.org", "read");
        for wrong in ["gm_unknown", "nonsense"] {
            assert_eq!(log_in(&server, wrong).status, 401);
        }
        let cookie = session(&server, &token);
        let own = get(&server, &cookie, "/api/session").json();
        for _ in 0..2 {
            post(&server, &cookie, "/logout", &[OWN]);
        }
        let admin = server.client();
        let rows = admin.get("/api/v1/audit?by_user=2").json()["data"].as_array().expect("rows").clone();
        let told = |row: &Value| [&row["action"], &row["object"], &row["by_token"], &row["detail"]["parent_id"]].map(Value::clone);
        let object = json!(format!("tokens/{}", own["token_id"]));
        assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), [
            [json!("session_closed"), object.clone(), own["token_id"].clone(), json!(2)],
            [json!("session_opened"), object, json!(2), json!(2)],
        ], "{rows:?}");
        assert_eq!(admin.get("/api/v1/audit?action=token_revoked").json()["data"], json!([]));
        let log = server.log();
        assert_eq!(log.matches("login refused peer=127.0.0.1 code=unauthorized").count(), 2, "{log}");
        assert!(!log.contains("gm_unknown") && !log.contains("nonsense") && !log.contains(&token), "{log}");
    }

    fn a_session_ends_with_its_token_and_its_user(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let revoked = setup.create_user_with_token("ana@example.org", "read");
        let cookie = session(&server, &revoked);
        assert_eq!(get(&server, &cookie, EVENTS).status, 200);
        setup.run(&["token", "revoke", prefix_of(&revoked)]);
        assert_ends(&server, &cookie);

        let rotated = setup.create_token("ana@example.org", "read");
        let cookie = session(&server, &rotated);
        let lasting = token_of(&setup.run(&["token", "rotate", prefix_of(&rotated), "--overlap", "1h", "--json"]));
        assert_eq!(get(&server, &cookie, "/api/session").status, 200, "the overlap is an hour");
        let second = session(&server, &lasting);
        setup.run(&["token", "rotate", prefix_of(&lasting), "--overlap", "0s"]);
        assert_ends(&server, &second);

        let create = ["token", "create", "--user", "ana@example.org", "--scopes", "read", "--json", "--expires", "2s"];
        assert_ends(&server, &session(&server, &token_of(&setup.run(&create))));

        let kept = session(&server, &setup.create_token("ana@example.org", "read"));
        setup.run(&["user", "disable", "ana@example.org"]);
        assert_ends(&server, &kept);
    }

    fn a_session_may_do_what_its_token_may_and_stays_one_when_it_is_rotated(database) {
        let mut server = Server::start(&database);
        let first = server.client();
        let id = accepted(&first, &event("a"));
        finished(&first, id);
        let reader = server.setup().create_user_with_token("ana@example.org", "read");
        let cookie = session(&server, &reader);
        assert_eq!(get(&server, &cookie, EVENTS).json()["data"], json!([]), "only one's own events");
        for path in ["/api/v1/stats", "/api/v1/stats/series", "/api/live", "/api/v1/jobs", "/api/v1/tokens", "/api/v1/users", "/api/v1/audit"] {
            assert_eq!(get(&server, &cookie, path).status, 403, "{path}");
        }
        for path in [&format!("{EVENTS}/{id}/retry"), "/api/pipeline/pools/validators", "/api/v1/tokens"] {
            assert_eq!(post(&server, &cookie, path, &[OWN]).status, 403, "{path}");
        }
        let admin = server.setup().create_token("ana@example.org", "admin,read");
        let cookie = session(&server, &admin);
        let own = get(&server, &cookie, "/api/session").json()["token_id"].clone();
        let rotated = post(&server, &cookie, &format!("/api/v1/tokens/{own}/rotate"), &[OWN]).json();
        assert!(rotated["parent_id"].is_number(), "{rotated}");
        let rotated = format!("gristmill_session={}", rotated["token"].as_str().expect("a secret"));
        assert_eq!(get(&server, &rotated, "/api/session").status, 200);
        server.setup().run(&["token", "revoke", prefix_of(&admin)]);
        assert_ends(&server, &rotated);
    }

    fn no_page_of_another_site_can_use_a_session(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = client.post_json(EVENTS, &json!({"event_name": "a", "event_type": "b", "payload": []})).json()["event_id"].clone();
        let token = server.token();
        let cookie = session(&server, &token);
        let cancel = format!("{EVENTS}/{id}/retry");
        let host = server.dashboard_address().to_string();
        let own_origin = format!("http://{host}");
        let foreign: [&[(&str, &str)]; 6] = [
            &[],
            &[OWN, ("Origin", "http://evil.example")],
            &[OWN, ("Origin", "null")],
            &[OWN, ("Sec-Fetch-Site", "cross-site")],
            &[OWN, ("Sec-Fetch-Site", "same-site"), ("Origin", &own_origin)],
            &[("Sec-Fetch-Site", "same-origin"), ("Origin", &own_origin)],
        ];
        for headers in foreign {
            let answer = post(&server, &cookie, &cancel, headers);
            assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("cross_site")), "{headers:?}: {answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
            for path in ["/logout", "/api/pipeline/pools/validators", "/api/v1/tokens"] {
                assert_eq!(post(&server, &cookie, path, headers).status, 403, "{path} {headers:?}");
            }
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "http://evil.example")];
        let forced = port(&server).call("POST", "/login", &form, Some(format!("token={token}").as_bytes()));
        assert_eq!((forced.status, forced.header("set-cookie")), (403, None), "nobody is logged in from elsewhere");
        let event = client.get(&format!("{EVENTS}/{id}")).json();
        assert_eq!((&event["status"], &event["attempts"]), (&json!("validation_error"), &json!(1)), "nothing was changed");
        for headers in [&[OWN][..], &[OWN, ("Origin", &own_origin)], &[OWN, ("Sec-Fetch-Site", "same-origin")]] {
            let answer = post(&server, &cookie, &cancel, headers);
            assert_ne!(answer.status, 403, "{headers:?}: {answer:?}");
        }
        let bearer = Client::new(server.dashboard_address(), Some(&token)).call("POST", "/logout", &[], None);
        assert_eq!(bearer.status, 204, "a token in the header needs no more");
    }
}

#[test]
fn a_session_is_good_on_every_node_and_ends_on_all_of_them() {
    let database = Database::postgres();
    let mut one = Server::start(&database);
    let mut other = Server::start(Setup::new(&database));
    other.share_token(&one.token());
    let token = one.setup().create_user_with_token("ana@example.org", "read");
    let cookie = session(&one, &token);
    assert_eq!(get(&other, &cookie, EVENTS).status, 200);
    let admin = one.client();
    let tokens = admin.get("/api/v1/tokens").json();
    let id =
        tokens["data"].as_array().and_then(|all| all.iter().find(|token| token["user_id"] == 2)).expect("hers")["id"]
            .clone();
    assert_eq!(admin.call("DELETE", &format!("/api/v1/tokens/{id}"), &[], None).status, 204);
    assert_eq!(get(&one, &cookie, EVENTS).status, 401, "at once on the node that was told");
    assert_ends(&other, &cookie);
}

#[test]
fn logins_without_a_known_token_count_as_unknown_tokens_of_their_address() {
    let mut server = Server::start(&Database::sqlite());
    let token = server.token();
    session(&server, &token);
    let wrong = ["gm_wrong", "nonsense", ""];
    let answers: Vec<Answer> = wrong.into_iter().cycle().take(90).map(|wrong| log_in(&server, wrong)).collect();
    let (limited, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 429);
    assert!(limited.len() >= 15 && answers[..30].iter().all(|answer| answer.status == 401), "{}", limited.len());
    assert!(refused.iter().all(|answer| answer.status == 401), "{refused:?}");
    for answer in limited {
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        assert!(answer.body.contains("too many unknown tokens"), "{answer:?}");
    }
    let log = server.log();
    assert_eq!(log.matches("login refused").count(), refused.len(), "{log}");
    let unknown = server.client_with("gm_wrong_too");
    let limited = || {
        log_in(&server, "gm_wrong");
        (unknown.get(EVENTS).status == 429).then_some(())
    };
    wait_for("a refusal on the other port", SEEN, limited, || server.log());
    assert_eq!(log_in(&server, &token).status, 303, "who is known is not held up");
}

#[test]
fn a_session_is_counted_with_its_token_where_there_is_a_rate() {
    let setup =
        Setup::new(&Database::sqlite()).with_config("limits.requests_per_second = 1\nlimits.requests_burst = 2");
    let mut server = Server::start(setup);
    let token = server.token();
    let secrets: Vec<String> =
        (0..4).map(|_| session(&server, &token).split_once('=').expect("a value").1.to_owned()).collect();
    let statuses: Vec<Value> =
        secrets.iter().map(|secret| server.client_with(secret).get(EVENTS).status.into()).collect();
    assert!(statuses.contains(&json!(429)), "{statuses:?}");
}
