//! Bugs on purpose: with each of them the oracle has to find what it breaks, or it would find nothing of its kind.

use super::FAULTS;
use super::figures::Figures;
use super::oracle::{Case, read};
use super::replay::{Form, repeat};
use super::trial::Trial;
use crate::support::database::Kind;
use crate::support::dice;
use crate::support::ledger::{Entry, Ledger, State};
use crate::support::load::body;
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// A repetition of this fault with this bug.
fn figures_of(number: &str, kind: Kind, bug: &'static str) -> Figures {
    let fault = FAULTS.iter().find(|fault| fault.number == number).expect("a number of the table");
    repeat(fault, Trial::new(kind, dice::seed(), Form::Short).with_planted(bug))
}

/// The oracle found violations of this invariant.
#[track_caller]
fn assert_found(invariant: &str, figures: &Figures) {
    let found = figures.violations.iter().any(|text| text.starts_with(invariant));
    assert!(found, "the bug was not found by {invariant}: {figures:?}");
}

both_databases! {
    fn an_acknowledgement_before_the_commit_is_found(database) {
        let figures = figures_of("1b", database.kind(), "ack_before_commit");
        assert!(figures.lost > 0, "{figures:?}");
        assert_found("I1", &figures);
    }

    fn keys_that_are_not_unique_are_found(database) {
        assert_found("I4", &figures_of("1", database.kind(), "no_unique_key"));
    }
}

/// First attempts fail, so that the events are claimed; every further one is stuck for a while.
const SLOW: &str = r#"
node.name = "slow"
[[faults]]
stage = "validator"
action = "error"
times = 5
[[faults]]
stage = "normalizer"
action = "stall"
duration = "1500ms"
"#;

/// A node is frozen while it holds claims, another takes them over, then the first goes on with its work.
fn late_writes(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut slow = Server::start(trial.setup(&database).with_config(SLOW));
    let client = slow.client();
    let entry = |number| {
        let key = format!("load-late-{number}");
        let answer = client.post_text("/api/v1/events", &body(&key));
        let id = answer.json()["event_id"].as_i64().unwrap_or_else(|| panic!("{answer:?}"));
        Entry { state: State::Acknowledged(id), ..Entry::sent(key, true) }
    };
    let ledger = Ledger::new((0..5).map(entry).collect());
    let claimed = || read(&database).iter().any(|row| row.is_held).then_some(());
    wait_for("a claim", SOON, claimed, || format!("{:?}\n{}", read(&database), slow.log_tail()));
    run::signal(slow.pid(), "STOP");
    let mut heir =
        Server::start(trial.setup(&database).with_data(run::folder("heir")).with_config("node.name = \"heir\""));
    heir.share_token(&slow.token());
    let finished = || read(&database).iter().all(|row| row.status == "processed").then_some(());
    wait_for("the heir", SOON, finished, || format!("{:?}\n{}", read(&database), heir.log_tail()));
    let earlier = read(&database);
    run::signal(slow.pid(), "CONT");
    let stale = |server: &mut Server| server.dashboard().get("/api/pipeline").json()["stale_writes_rejected"].as_u64();
    let late = || (stale(&mut slow) != Some(0) || read(&database) != earlier).then_some(());
    wait_for("a write that comes too late", SOON, late, || format!("{:?}", read(&database)));
    let mut servers = [&mut slow, &mut heir];
    trial.judge_case(Case::new(&database, &mut servers, &ledger).keeping(earlier));
}

#[test]
fn late_writes_of_a_frozen_node_change_nothing() {
    let mut trial = Trial::new(Kind::Postgres, dice::seed(), Form::Short);
    late_writes(&mut trial);
    let figures = trial.into_figures();
    assert!(figures.violations.is_empty(), "{figures:?}");
}

#[test]
fn late_writes_without_a_look_at_the_lease_are_found() {
    let mut trial = Trial::new(Kind::Postgres, dice::seed(), Form::Short).with_planted("no_lease_check");
    late_writes(&mut trial);
    assert_found("I6: a final state changed", &trial.into_figures());
}
