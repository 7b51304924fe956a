//! One repetition of a fault, and how to have it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::figures::Figures;
use super::trial::Trial;
use super::{FAULTS, Fault, Forms, Needs};
use crate::support::database::Kind;
use crate::support::dice::{self, SEED};
use crate::support::lacks::{Lack, say, skip};
use crate::support::run;

/// How large and how long a repetition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A few seconds.
    #[default]
    Short,
    /// As large as the fault deserves.
    Long,
}

/// Runs the short form of a fault on each of its databases; panics if anything contradicts the promise.
pub fn short_form(number: &str) {
    let fault = FAULTS.iter().find(|fault| fault.number == number).expect("tests are made from the table");
    let name = format!("fault {number} ({})", fault.name);
    if fault.forms == Forms::Long {
        return say(&format!("{name} is in the long form only: ./test --chaos"));
    }
    if fault.needs == Needs::Root && !run::is_root() {
        return skip(&Lack::Machine("root".to_owned()));
    }
    for kind in fault.databases {
        let seed = dice::seed();
        let figures = repeat(fault, Trial::new(*kind, seed, Form::Short));
        let again = format!("again: {SEED}={seed} ./test {}", fault.name);
        println!("{name} on {kind:?}: {figures:?}; {again}");
        assert!(figures.violations.is_empty(), "{name} on {kind:?}: {again}\n{}", figures.violations.join("\n"));
    }
}

/// Runs a fault once; a panic in it is a violation like those that the oracle finds.
pub fn repeat(fault: &Fault, mut trial: Trial) -> Figures {
    let run = catch_unwind(AssertUnwindSafe(|| (fault.run)(&mut trial)));
    let mut figures = trial.into_figures();
    if let Err(panic) = run {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        figures.violations.push(format!("panic: {}", text.unwrap_or("without a text")));
    }
    figures
}

/// The command that runs a repetition of the long form once more.
pub fn command(fault: &Fault, kind: Kind, seed: u64) -> String {
    let number = fault.number;
    format!(
        "{SEED}={seed} GRISTMILL_CHAOS_ONLY={number} GRISTMILL_CHAOS_ON={kind:?} GRISTMILL_CHAOS_ROUNDS=1 ./test --chaos"
    )
}
