//! Counts agree with the database after faults in the stages.

use super::counts::{assert_agree, counted};
use crate::faults::{QUICK, STAGES, rule, rule_per_stage};
use crate::support::events::{accepted, event, finished};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

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
            STAGES.iter().map(|(stage, _)| accepted(&client, &event(&format!("panic-{stage}")))).collect();
        let passing = accepted(&client, &event("passing"));
        doomed.into_iter().for_each(|id| assert_eq!(finished(&client, id)["error_code"], "poison"));
        assert_eq!(finished(&client, passing)["attempts"], 3);
        let replaced = || {
            let page = super::scrape(&server);
            (page.figure("gristmill_actor_restarts_total{stage=\"normalizer\"}") == 1).then_some(())
        };
        wait_for("the actor that died to be replaced", SOON, replaced, || super::scrape(&server).text);
        let page = assert_agree(&server);
        assert_eq!((counted(&page, "processed"), counted(&page, "failed")), (11, 3), "{}", page.text);
        assert_eq!(page.figure("gristmill_events_total{outcome=\"failed\",code=\"poison\"}"), 3);
        let retries = ["stage_panic", "injected"]
            .map(|code| page.figure(&format!("gristmill_retries_total{{code=\"{code}\"}}")));
        assert_eq!(retries, [9, 2], "{}", page.text);
        assert_eq!(page.figure("gristmill_retry_delay_seconds_count"), 11);
        for (stage, _) in STAGES {
            assert_eq!(page.figure(&format!("gristmill_stage_panics_total{{stage=\"{stage}\"}}")), 4, "{stage}");
        }
        assert_eq!(page.figure("gristmill_panics_total"), 13, "12 at events, and the actor's");
        assert_eq!(page.figure("gristmill_actor_ends_total{stage=\"normalizer\"}"), 1);
        assert!(page.figure("gristmill_redelivered_events_total") > 0 && page.figure("gristmill_claimed_events_total") > 0);
    }
}
