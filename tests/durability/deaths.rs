//! Rule 8 in the whole service: nodes that die while they hold claims, and writers that come too late.

use super::{event, execute, finished, number, post, posted};
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// The first attempt fails in the validator; the second, of the claimed event, is stuck in the normalizer.
const STUCK: &str = r#"
retry = { delay = "200ms", jitter = 0.0 }
[[faults]]
stage = "validator"
event_name = "stuck"
action = "error"
times = 1
[[faults]]
stage = "normalizer"
event_name = "stuck"
action = "stall"
duration = "5s"
times = 1
"#;

/// Posts an event and waits until its second attempt is under way under a lease.
fn post_stuck(server: &mut Server, database: &Database) -> (Client, i64) {
    let client = server.client();
    let id = posted(&client, "stuck");
    let leased = format!("SELECT COUNT(*) FROM events WHERE id = {id} AND lease_boot IS NOT NULL AND attempts = 1");
    wait_for("the claim", SOON, || (number(database, &leased) == 1).then_some(()), || server.log());
    (client, id)
}

both_databases! {
    // Guards `started` of the Claimer, which looks for due events of earlier boots: timers die with the process.
    fn pending_events_finish_after_a_kill(database) {
        let fault = "[[faults]]\nstage = \"validator\"\naction = \"error\"\ntimes = 40";
        let setup = Setup::new(&database).with_config(&format!("retry = {{ delay = \"1s\", delay_max = \"2s\", max_retries = 10 }}\n{fault}"));
        let mut server = Server::start(setup);
        let client = server.client();
        let ids: Vec<i64> = (0..20).map(|_| posted(&client, "page_view")).collect();
        server.kill9();
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'pending'"), 20);
        server.restart();
        let client = server.client();
        for id in ids {
            let done = finished(&client, id);
            assert_eq!(done["status"], "processed", "{done}");
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 20);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE crashes > 0"), 0, "nobody held a lease");
    }

    // Guards `Turn::take_over`: without it the lease of the dead boot would stand for ever.
    fn an_event_whose_node_died_while_it_held_it_is_charged_and_finishes(database) {
        let mut server = Server::start(Setup::new(&database).with_config(STUCK));
        let (_, id) = post_stuck(&mut server, &database);
        server.kill9();
        let healthy = server.setup().clone().with_config("faults = []");
        drop(server);
        let mut server = Server::start(healthy);
        let done = finished(&server.client(), id);
        assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &3.into()), "{done}");
        assert_eq!(number(&database, &format!("SELECT crashes FROM events WHERE id = {id}")), 1);
        let lost = "SELECT COUNT(*) FROM attempts WHERE error_code = 'worker_lost' AND attempt = 2";
        assert_eq!(number(&database, lost), 1);
    }

    // Guards the release in `Pipeline::leave`: a stop gives leases back, and charges nothing.
    fn a_stop_gives_leases_back_uncharged(database) {
        let mut server = Server::start(Setup::new(&database).with_config(STUCK).with_config("timeouts.shutdown = \"1s\""));
        let (_, id) = post_stuck(&mut server, &database);
        server.terminate();
        server.wait_exit(SOON);
        let told = || server.log().contains("released=1").then_some(());
        wait_for("the line that counts the release", SOON, told, || server.log());
        let healthy = server.setup().clone().with_config("faults = []");
        drop(server);
        let mut server = Server::start(healthy);
        let done = finished(&server.client(), id);
        assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
        assert_eq!(number(&database, &format!("SELECT crashes FROM events WHERE id = {id}")), 0);
    }

    // Guards the count of `Written::Fenced` in `Settlement::follow_up`, and that nothing else follows from it.
    fn an_outcome_that_comes_too_late_is_counted_and_changes_nothing(database) {
        let mut server = Server::start(Setup::new(&database).with_config(STUCK));
        let (client, id) = post_stuck(&mut server, &database);
        assert_eq!(execute(&database, "UPDATE events SET status = 'cancelled', lease_boot = NULL"), 1);
        let dashboard = server.dashboard();
        let stale = || {
            let view = dashboard.get("/api/pipeline").json();
            view["stale_writes_rejected"].as_u64().filter(|count| *count > 0)
        };
        assert_eq!(wait_for("the stale write", SOON, stale, || server.log()), 1);
        let left = event(&client, id);
        assert_eq!((&left["status"], &left["attempts"]), (&"cancelled".into(), &1.into()), "{left}");
        assert_eq!(post(&client, "page_view", "").status, 202, "the line goes on");
    }

    // Guards `Turn::release_orphans`: without it a claim whose answer was lost would hold its event for ever.
    fn a_claim_whose_answer_was_lost_is_found_and_given_back(database) {
        let fault = "[[faults]]\nstage = \"validator\"\naction = \"error\"\ntimes = 1";
        let config = format!("retry.delay = \"2s\"\nlease = {{ duration = \"1s\", poll = \"200ms\" }}\n{fault}");
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        let id = posted(&client, "page_view");
        let boot = "SELECT boot_id FROM nodes WHERE stopped_at IS NULL";
        assert_eq!(execute(&database, &format!("UPDATE events SET lease_boot = ({boot}) WHERE status = 'pending'")), 1);
        let done = finished(&client, id);
        assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE crashes > 0"), 0, "nobody died");
    }

    // Guards `is_spent` in `Turn::hold`: an event that kills its node every time ends in quarantine.
    fn an_event_that_kills_its_node_every_time_is_quarantined(database) {
        let abort = "[[faults]]\nstage = \"normalizer\"\nevent_name = \"stuck\"\naction = \"abort\"";
        let deferring = "[[faults]]\nstage = \"validator\"\nevent_name = \"stuck\"\naction = \"error\"\ntimes = 1";
        let retry = "retry = { delay = \"200ms\", jitter = 0.0, max_retries = 2 }";
        let mut server = Server::start(Setup::new(&database).with_config(&format!("{retry}\n{deferring}")));
        let id = posted(&server.client(), "stuck");
        server.kill9();
        let deadly = server.setup().clone().with_config("faults = []").with_config(abort);
        drop(server);
        for death in 1..=2 {
            let mut server = Server::not_started(deadly.clone());
            server.spawn();
            assert!(!server.wait_exit(SOON).success(), "death {death}");
        }
        let mut server = Server::start(deadly);
        let done = finished(&server.client(), id);
        assert_eq!((&done["status"], &done["error_code"]), (&"failed".into(), &"poison".into()), "{done}");
        assert_eq!(number(&database, &format!("SELECT crashes FROM events WHERE id = {id}")), 2);
    }
}
