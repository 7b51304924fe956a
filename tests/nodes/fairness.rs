//! A failing head never starves the tail.

use super::cluster::{FIRST_ID, Nodes, insert_waiting, number};
use crate::support::database::Database;
use crate::support::wait::{SOON, wait_for};

/// Events that fail at every attempt, with hundreds of attempts left.
const FAILING: usize = 1_000;

/// Events behind them that only want to be processed.
const WILLING: usize = 100;

/// Far fewer claims than failing events, each of which is due again after a tenth of a second.
const CONFIG: &str = r#"
lease.claim_events = 40
retry = { delay = "100ms", delay_max = "100ms", jitter = 0.0, max_retries = 100 }
[[faults]]
stage = "validator"
event_name = "failing"
action = "error"
"#;

// Guards the order of `claim_statement`: by id, the failing events would come first again and again.
#[test]
fn a_thousand_events_that_always_fail_do_not_hold_up_those_behind_them() {
    let database = Database::postgres();
    let nodes = Nodes::start(&database, &[CONFIG]);
    insert_waiting(&database, FIRST_ID, FAILING, "failing", "1 hour");
    let failing = "SELECT COUNT(*) FROM events WHERE event_name = 'failing' AND status = 'pending'";
    let tried = "SELECT COUNT(*) FROM events WHERE event_name = 'failing' AND attempts > 0";
    let all = i64::try_from(FAILING).expect("small");
    wait_for(
        "every failing event to be tried",
        SOON * 2,
        || (number(&database, tried) == all).then_some(()),
        || nodes.logs(),
    );
    let behind = FIRST_ID + all;
    insert_waiting(&database, behind, WILLING, "willing", "1 second");
    let done = "SELECT COUNT(*) FROM events WHERE event_name = 'willing' AND status = 'processed'";
    let willing = i64::try_from(WILLING).expect("small");
    let state = || format!("{} of {willing}\n{}", number(&database, done), nodes.logs());
    wait_for("those behind", SOON, || (number(&database, done) == willing).then_some(()), state);
    assert_eq!(number(&database, failing), all, "the head still fails");
}
