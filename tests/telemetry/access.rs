//! Who may scrape, by the same rule as the state of the pipeline.

use super::{METRICS, scrape};
use crate::support::database::Database;
use crate::support::http::raw;
use crate::support::server::{Server, Setup};

// Guards `may_look` in `http/metrics.rs`, and `is_local`.
#[test]
fn metrics_are_for_tokens_that_may_look_and_for_this_machine_if_it_is_trusted() {
    for is_trusted in [false, true] {
        let config = format!("dashboard.trust_local = {is_trusted}");
        let server = Server::start(Setup::new(&Database::sqlite()).with_config(&config));
        let setup = server.setup().clone();
        setup.create_user("ana@example.org");
        let address = server.dashboard_address();
        for path in [METRICS, "/api/pipeline"] {
            let asked = |host: &str, more: &str| {
                let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
                raw(address, request.as_bytes()).status
            };
            for host in ["localhost", "127.0.0.1:5555", "[::1]:5555"] {
                assert_eq!(asked(host, ""), if is_trusted { 200 } else { 401 }, "{path} at {host}");
            }
            assert_eq!(asked("evil.example", ""), 401);
            for proxied in ["X-Forwarded-For: 10.0.0.1\r\n", "Forwarded: for=10.0.0.1\r\n", "Via: 1.1 proxy\r\n"] {
                assert_eq!(asked("localhost", proxied), 401, "{proxied}");
            }
            for (scopes, status) in [("write,read", 403), ("admin", 403), ("read:all", 200), ("operate", 200)] {
                let token = setup.create_token("ana@example.org", scopes);
                let bearer = format!("Authorization: Bearer {token}\r\n");
                assert_eq!(asked("metrics.example", &bearer), status, "{scopes}");
            }
        }
    }
}

#[test]
fn metrics_are_on_the_operations_port_only_and_say_what_they_are() {
    let mut server = Server::start(&Database::sqlite());
    assert_eq!(server.client().get(METRICS).status, 404);
    let answer = server.dashboard().get(METRICS);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.ends_with('\n'));
    let index = server.dashboard().get("/").json();
    assert!(index["routes"].as_array().is_some_and(|routes| routes.contains(&METRICS.into())), "{index}");
    let page = scrape(&server);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(page.figure(&format!("gristmill_build_info{{version=\"{version}\",database=\"sqlite\"}}")), 1);
    assert_eq!((page.figure("gristmill_ready"), page.figure("gristmill_database_up")), (1, 1));
}
