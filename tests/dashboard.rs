//! The dashboard's port over HTTP: who gets what, sessions, files, and what is pushed. What it looks like is in `browser.rs`.

mod sessions;

use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, id_of};
use crate::support::http::{Answer, Client, raw};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// Where routes stand, a line each.
const ROUTES: &str = include_str!("../src/http/routes.rs");
/// What a browser asks for when an address is typed.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// Paths that say the same to everyone.
const OPEN: [&str; 6] =
    ["/login", "/assets/app.js", "/health/live", "/health/ready", "/problems", "/problems/not_found"];

/// Method and path of every route of the port, with something in the place of what varies.
fn routes() -> Vec<(String, String)> {
    let of = |name: &str| {
        let begin = ROUTES.find(&format!("fn {name}(")).expect("the function");
        ROUTES[begin..].split_once("\n}").expect("its end").0
    };
    let lines = ["operations_of", "shared", "both"].into_iter().flat_map(|name| of(name).lines());
    let mut routes = Vec::new();
    for (_, rest) in lines.filter_map(|line| line.split_once(".service(at(\"")) {
        let (path, rest) = rest.split_once("\", \"").expect("a path");
        let (methods, _) = rest.split_once('"').expect("its methods");
        let path = path.replace("{id}", "1").replace("{pool}", "validators").replace("{name}", "app.js");
        let path = path.replace("{code}", "not_found");
        routes.extend(methods.split(", ").map(|method| (method.to_owned(), path.clone())));
    }
    routes
}

/// A request as it comes through a name that is not this machine's own.
fn from_afar(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: dashboard.example\r\nContent-Length: 0\r\n{headers}\r\n");
    if method == "HEAD" {
        // An answer to HEAD has no body, whatever its length says: only its first line counts here.
        let mut connection = Connection::open(server.dashboard_address()).expect("the server takes connections");
        connection.send(request.as_bytes()).expect("it reads requests");
        let head = connection.lines_until("").expect("a status line");
        let status = head[0].split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        return Answer { status, headers: Vec::new(), body: String::new() };
    }
    raw(server.dashboard_address(), request.as_bytes())
}

/// A stream that has begun.
fn watch(server: &Server, path: &str, token: &str) -> Connection {
    let mut connection = Connection::open(server.dashboard_address()).expect("the server takes connections");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.send(request.as_bytes()).expect("it reads requests");
    connection.lines_until(": connected").expect("a stream");
    connection
}

/// The data of the next event of this name; a heartbeat comes only where nothing was told for long.
fn told(watcher: &mut Connection, name: &str) -> Value {
    loop {
        let line = watcher.lines_until("").expect("the stream goes on").concat();
        assert!(!line.starts_with(": heartbeat"), "no {name} is told");
        if line == format!("event: {name}") {
            let lines = watcher.lines_until("data: ").expect("its data");
            return serde_json::from_str(&lines.concat()[6..]).expect("JSON");
        }
    }
}

/// The outcomes that are told next.
fn outcomes(watcher: &mut Connection) -> Value {
    told(watcher, "outcomes")
}

/// The names in the order in which they are told, so many of them.
fn names(watcher: &mut Connection, many: usize) -> Vec<String> {
    let mut names = Vec::new();
    while names.len() < many {
        let told = outcomes(watcher);
        let some = told["outcomes"].as_array().expect("a list").iter();
        names.extend(some.map(|one| one["event_name"].as_str().expect("a name").to_owned()));
    }
    names
}

#[test]
fn every_route_of_the_port_needs_a_token_but_those_that_say_the_same_to_everyone() {
    let server = Server::start(&Database::sqlite());
    let routes = routes();
    assert!(routes.len() > 30, "{routes:?}");
    for (method, path) in &routes {
        let answer = from_afar(&server, method, path, "");
        if OPEN.contains(&path.as_str()) {
            // Logging in with nothing is refused as well.
            assert_eq!(answer.status, if method == "POST" { 401 } else { 200 }, "{method} {path}: {answer:?}");
            continue;
        }
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        let browsing = from_afar(&server, method, path, &format!("Accept: {BROWSER}\r\n"));
        if method == "GET" {
            assert_eq!((browsing.status, browsing.header("location")), (303, Some("/login")), "{path}: {browsing:?}");
        } else if method != "HEAD" {
            assert_eq!(browsing.status, 401, "{method} {path}: {browsing:?}");
        }
    }
}

#[test]
fn what_is_open_to_programs_of_a_trusted_machine_is_not_open_to_its_browsers() {
    let server = Server::start(Setup::new(&Database::sqlite()).with_config("dashboard.trust_local = true"));
    let nobody = Client::new(server.dashboard_address(), None);
    assert_eq!(nobody.get("/api/pipeline").status, 200);
    for headers in [("Sec-Fetch-Site", "none"), ("Origin", "http://localhost:1"), ("X-Forwarded-For", "10.0.0.1")] {
        assert_eq!(nobody.call("GET", "/api/pipeline", &[headers], None).status, 401, "{headers:?}");
    }
    assert_eq!(nobody.get("/").status, 401);
    assert_eq!(nobody.get("/api/live").status, 401);
}

#[test]
fn who_logs_in_through_a_proxy_that_changes_the_host_is_told_what_to_set() {
    let server = Server::start(&Database::sqlite());
    let login = |accept: &str, origin: &str| {
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: dash.example\r\nOrigin: {origin}\r\nAccept: {accept}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\ntoken=x"
        );
        raw(server.dashboard_address(), request.as_bytes())
    };
    let page = login(BROWSER, "http://dash.example:8080");
    assert_eq!((page.status, page.header("content-type")), (403, Some("text/html; charset=utf-8")), "{page:?}");
    for word in ["http://dash.example:8080", "proxy_set_header Host $http_host", "<form"] {
        assert!(page.body.contains(word), "{word} is missing in {page:?}");
    }
    let hostile = login(BROWSER, "http://<script>x</script>");
    assert!(hostile.status == 403 && !hostile.body.contains("<script>"), "{hostile:?}");
    let problem = login("application/json", "http://dash.example:8080");
    assert_eq!((problem.status, &problem.json()["code"]), (403, &"cross_site".into()), "{problem:?}");
    assert_eq!(login(BROWSER, "http://dash.example").status, 401, "only the token is wrong");
}

#[test]
fn every_answer_tells_browsers_to_keep_it_to_themselves() {
    let server = Server::start(&Database::sqlite());
    let dashboard = server.dashboard();
    let page = dashboard.call("GET", "/", &[("Accept", BROWSER)], None);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{page:?}");
    let nobody = Client::new(server.dashboard_address(), None);
    for answer in
        [page, dashboard.get(EVENTS), nobody.get("/login"), nobody.get("/api/session"), dashboard.get("/none")]
    {
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{answer:?}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert!(["no-referrer", "same-origin"].contains(&answer.header("referrer-policy").expect("one")), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    }
}

#[test]
fn files_are_packed_and_sent_again_only_when_they_have_changed() {
    let server = Server::start(&Database::sqlite());
    let nobody = Client::new(server.dashboard_address(), None);
    let script = nobody.call("GET", "/assets/app.js", &[("Accept-Encoding", "identity")], None);
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    let tag = script.header("etag").expect("a tag").to_owned();
    let again = nobody.call("GET", "/assets/app.js", &[("If-None-Match", &tag)], None);
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag.as_str())), "{again:?}");
    let other = nobody.call("GET", "/assets/app.js", &[("If-None-Match", "W/\"0\"")], None);
    assert_eq!((other.status, other.body), (200, script.body));
    let request = b"GET /assets/style.css HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    let packed = raw(server.dashboard_address(), request);
    assert_eq!(packed.header("content-encoding"), Some("gzip"), "{:?}", packed.headers);
    for path in ["/assets/none.js", "/assets/..%2fmod.rs", "/assets/"] {
        assert_eq!(nobody.get(path).status, 404, "{path}");
    }
}

#[test]
fn events_are_not_taken_on_the_port_and_no_rate_holds_operators_up() {
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config("limits.requests_per_second = 1"));
    let dashboard = server.dashboard();
    let bearer = format!("Authorization: Bearer {}\r\n", server.token());
    for path in [EVENTS, "/api/v1/events/batch", "/api/v1/events/process"] {
        assert_eq!(from_afar(&server, "POST", path, &bearer).status, 405, "{path}");
    }
    for _ in 0..10 {
        let page = dashboard.get(EVENTS);
        assert_eq!((page.status, page.header("ratelimit")), (200, None), "{page:?}");
    }
}

both_databases! {
    fn the_course_of_the_figures_adds_up_and_survives_a_restart(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for name in ["a", "b", "c"] {
            finished(&client, accepted(&client, &event(name)));
        }
        client.post_json(EVENTS, &json!({"event_name": "no type"}));
        let sum = |series: &Value, name: &str| -> i64 {
            let buckets = series["buckets"].as_array().unwrap_or_else(|| panic!("{series}"));
            buckets.iter().map(|bucket| bucket[name].as_i64().expect("a number")).sum()
        };
        for _ in 0..2 {
            for (window, step) in [("5m", 5), ("1h", 60), ("1d", 900), ("7d", 7_200)] {
                let series = server.client().get(&format!("/api/v1/stats/series?window={window}")).json();
                assert_eq!((&series["window"], &series["step_seconds"]), (&json!(window), &json!(step)), "{series}");
                assert_eq!((sum(&series, "received"), sum(&series, "processed")), (4, 3), "{series}");
                assert_eq!((sum(&series, "validation_error"), sum(&series, "failed")), (1, 0), "{series}");
                let times: Vec<&str> = series["buckets"].as_array().expect("buckets").iter().filter_map(|bucket| bucket["at"].as_str()).collect();
                assert!(times.is_sorted() && (60..=121).contains(&times.len()), "{times:?}");
                let last = series["buckets"].as_array().and_then(|all| all.iter().rfind(|bucket| bucket["processed"] != 0)).expect("one");
                assert!(last["average_processing_ms"].is_number(), "{last}");
            }
            server.restart();
        }
    }

    fn what_changes_is_pushed_until_the_token_ends(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let token = server.setup().create_user_with_token("ana@example.org", "operate");
        let mut connection = Connection::open(server.dashboard_address()).expect("the server takes connections");
        let request = format!("GET /api/live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        connection.send(request.as_bytes()).expect("it reads requests");
        connection.lines_until("event: pipeline").expect("the pipeline");
        connection.lines_until("event: figures").expect("the figures");
        finished(&client, accepted(&client, &event("a")));
        let mut told = || {
            let lines = connection.lines_until("data: {\"step_seconds\"").expect("figures");
            let figures: Value = serde_json::from_str(&lines.last().expect("a line")[6..]).expect("JSON");
            let processed = |bucket: &Value| bucket["processed"].as_i64().expect("a number");
            Some(()).filter(|()| figures["buckets"].as_array().expect("buckets").iter().map(processed).sum::<i64>() == 1)
        };
        wait_for("the event to be told", SOON, &mut told, || server.log());
        server.setup().run(&["token", "revoke", crate::support::accounts::prefix_of(&token)]);
        while connection.lines_until("").is_ok() {}
        let reader = server.setup().create_token("ana@example.org", "read,write,admin");
        let refused = Client::new(server.dashboard_address(), Some(&reader)).get("/api/live");
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("forbidden")));
    }

    fn the_newest_outcomes_are_pushed_to_all_who_may_see_them(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let everyone = server.token();
        let ana = server.setup().create_user_with_token("ana@example.org", "read");
        let mut all: Vec<Connection> = (0..3).map(|_| watch(&server, "/api/live/events", &everyone)).collect();
        let mut named = watch(&server, "/api/live/events?event_name=b&status=processed", &everyone);
        let mut anas = watch(&server, "/api/live/events", &ana);
        for name in ["a", "b"] {
            finished(&client, accepted(&client, &event(name)));
        }
        let own = server.client_with(&server.setup().create_token("ana@example.org", "write"));
        let own = accepted(&own, &event("c"));
        for watcher in &mut all {
            assert_eq!(names(watcher, 3), ["a", "b", "c"]);
        }
        assert_eq!(names(&mut named, 1), ["b"]);
        let told = outcomes(&mut anas);
        assert_eq!((&told["outcomes"][0]["id"], &told["complete"]), (&json!(own), &json!(true)), "{told}");
        let reader = server.client_with(&ana);
        let reader = Client::new(server.dashboard_address(), reader.token());
        assert_eq!(reader.get("/api/live/events?user_id=1").status, 403);
        assert_eq!(reader.get("/api/live/events?received_after=2026-01-01T00:00:00Z").status, 400);
    }

    fn of_a_moment_with_too_many_outcomes_the_newest_are_pushed(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let token = server.token();
        let mut all = watch(&server, "/api/live/events", &token);
        let mut refused = watch(&server, "/api/live/events?status=validation_error", &token);
        let many: Vec<Value> = (0..300).map(|_| event("a")).chain([json!({"event_name": "bad"})]).collect();
        let answer = client.call("POST", "/api/v1/events/batch", &[("Prefer", "wait=10")], Some(json!(many).to_string().as_bytes()));
        assert!(answer.status < 300, "{answer:?}");
        let told = outcomes(&mut all);
        assert_eq!((told["outcomes"].as_array().map(Vec::len), &told["complete"]), (Some(100), &json!(false)));
        let ids: Vec<i64> = told["outcomes"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_i64()).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(names(&mut refused, 1), ["bad"]);
    }

    fn the_changes_of_one_event_are_pushed(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let dashboard = server.dashboard();
        let id = id_of(&client.post_json(EVENTS, &json!({"event_name": "bad"})));
        let token = server.token();
        let mut watcher = watch(&server, &format!("/api/live/events/{id}"), &token);
        let patched = dashboard.post_json(&format!("/api/v1/events/{id}/retry"), &json!({"patch": {}}));
        assert_eq!(patched.status, 422, "it is as bad as before: {patched:?}");
        // A look may find it on its way.
        let mut change = told(&mut watcher, "changed");
        while change["status"] == "pending" {
            change = told(&mut watcher, "changed");
        }
        assert_eq!(change["status"], "validation_error");
        let stranger = server.setup().create_user_with_token("ana@example.org", "read");
        let stranger = Client::new(server.dashboard_address(), Some(&stranger));
        assert_eq!(stranger.get(&format!("/api/live/events/{id}")).status, 404);
        assert_eq!(dashboard.get("/api/live/events/0").status, 404);
    }
}
