//! Counts agree with the database after faults in the stages.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::counts::{assert_agree, counted};
use super::scrape;
use crate::faults::{QUICK, rule, rule_per_stage, stages};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

const LEFT: &str = "gristmill_http_client_disconnects_total";

// Guards `Asked`: the handler of a request whose client has gone is dropped.
#[test]
fn a_client_that_leaves_while_it_waits_is_counted() {
    let config = format!("retry.delay = \"1h\"\n{}", rule("validator", "late", "error", 1));
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(&config));
    let client = server.client();
    let token = server.token();
    let id = accepted(&client, &event("late"));
    let mut waiting = TcpStream::connect(server.address()).expect("the server takes connections");
    let request = format!(
        "GET /api/v1/events/{id} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nPrefer: wait=60\r\n\r\n"
    );
    waiting.write_all(request.as_bytes()).expect("it takes requests");
    // Once it has asked for this one, it has long taken that one.
    assert_eq!(client.get(&format!("/api/v1/events/{id}")).status, 200);
    assert_eq!(scrape(&server).figure(LEFT), 0);
    // Without a goodbye: the server hears of it at once.
    SockRef::from(&waiting).set_linger(Some(Duration::ZERO)).expect("a socket of ours");
    drop(waiting);
    let is_counted = || (scrape(&server).figure(LEFT) == 1).then_some(());
    wait_for("the client to be counted", SOON, is_counted, || scrape(&server).text);
}

both_databases! {
    // Guards `retry_scheduled`, `failed`, `stage_panicked`, `actor_ended` and `actor_restarted`.
    fn counts_agree_with_the_database_after_faults(database) {
        let rules = format!(
            "{}{}{}",
            rule_per_stage("panic", 0),
            rule("validator", "passing", "error", 2),
            "[[faults]]\nstage = \"normalizer\"\npoint = \"turn\"\naction = \"crash\"\ntimes = 1\n",
        );
        let config = format!("{QUICK}actors.restart_backoff = \"10ms\"\n{rules}");
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        for n in 0..10 {
            accepted(&client, &event(&format!("calm-{n}")));
        }
        let doomed: Vec<i64> =
            stages().map(|(stage, _)| accepted(&client, &event(&format!("panic-{stage}")))).collect();
        let passing = accepted(&client, &event("passing"));
        doomed.into_iter().for_each(|id| assert_eq!(finished(&client, id)["error_code"], "poison"));
        assert_eq!(finished(&client, passing)["attempts"], 3);
        let replaced = || {
            let page = scrape(&server);
            (page.figure("gristmill_actor_restarts_total{stage=\"normalizer\"}") == 1).then_some(())
        };
        wait_for("the actor that died to be replaced", SOON, replaced, || scrape(&server).text);
        let page = assert_agree(&server);
        assert_eq!((counted(&page, "processed"), counted(&page, "failed")), (11, 3), "{}", page.text);
        assert_eq!(page.figure("gristmill_events_total{outcome=\"failed\",code=\"poison\"}"), 3);
        let retries = ["stage_panic", "injected"]
            .map(|code| page.figure(&format!("gristmill_retries_total{{code=\"{code}\"}}")));
        assert_eq!(retries, [9, 2], "{}", page.text);
        assert_eq!(page.figure("gristmill_retry_delay_seconds_count"), 11);
        for (stage, _) in stages() {
            assert_eq!(page.figure(&format!("gristmill_stage_panics_total{{stage=\"{stage}\"}}")), 4, "{stage}");
        }
        assert_eq!(page.figure("gristmill_panics_total"), 13, "12 at events, and the actor's");
        assert_eq!(page.figure("gristmill_actor_ends_total{stage=\"normalizer\"}"), 1);
        assert!(page.figure("gristmill_redelivered_events_total") > 0 && page.figure("gristmill_claimed_events_total") > 0);
    }
}
