//! Faults of processes, databases and networks, from outside and under load; the verdict is the oracle's.
//!
//! Each line of the table below is a fault: a test of a few seconds on each of its databases (the short form), and a
//! row that `./test --chaos` repeats until its time is over (the long form, `long_form.rs`). One repetition is a
//! function of a [`Trial`], which gives dice, database and servers, and takes the verdict.

mod figures;
mod long_form;
mod oracle;
mod replay;
mod trial;

mod cluster;
mod kills;
#[cfg(feature = "fault-injection")]
mod planted;

use self::replay::Form;
use self::trial::Trial;
use super::support::database::Kind;

/// A line of the table.
pub struct Fault {
    /// Its number in the list of faults to survive, with a letter where one number has several.
    pub number: &'static str,
    /// Its name: what is expected, in words joined by `_`.
    pub name: &'static str,
    /// Where it is tried.
    pub databases: &'static [Kind],
    /// What it cannot be tried without.
    pub needs: Needs,
    /// Whether it has a short form.
    pub forms: Forms,
    /// One repetition.
    pub run: fn(&mut Trial),
}

/// What a fault cannot be tried without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any user can try it.
    Nothing,
    /// Mounts, network namespaces, foreign processes: without root the short form is skipped.
    Root,
}

/// The forms in which a fault is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// In `./test` and in `./test --chaos`.
    Both,
    /// Only in `./test --chaos`.
    Long,
}

const BOTH: &[Kind] = &[Kind::Sqlite, Kind::Postgres];
const POSTGRES: &[Kind] = &[Kind::Postgres];

/// Makes the table, and of each line a test: number, name, databases, needs, forms, one repetition.
macro_rules! faults {
    ($($number:literal $name:ident on $databases:ident needs $needs:ident in $forms:ident: $run:path;)+) => {
        /// All faults, in the order of their numbers.
        pub const FAULTS: &[Fault] = &[$(Fault {
            number: $number,
            name: stringify!($name),
            databases: $databases,
            needs: Needs::$needs,
            forms: Forms::$forms,
            run: $run,
        }),+];

        $(#[test]
        fn $name() {
            replay::short_form($number);
        })+
    };
}

faults! {
    "1" every_acknowledged_event_survives_kills_at_random_instants on BOTH needs Nothing in Both: kills::at_random_instants;
    "1b" what_waits_for_a_lock_when_a_kill_comes_was_not_acknowledged on BOTH needs Nothing in Both: kills::behind_a_lock;
    "4" an_immediate_stop_of_the_database_costs_no_attempt on POSTGRES needs Nothing in Both: cluster::stopped_at_once;
    "5" a_killed_database_comes_back_with_every_event on POSTGRES needs Nothing in Both: cluster::killed;
}

/// Whatever `GRISTMILL_CHAOS_…` ask for; a skip without them.
#[test]
fn the_long_form() {
    match long_form::Wanted::from_environment() {
        Some(wanted) => wanted.run(),
        None => replay::skip("the long form", "./test --chaos runs it"),
    }
}

#[test]
fn the_table_of_faults_names_each_number_once() {
    let mut numbers: Vec<&str> = FAULTS.iter().map(|fault| fault.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), FAULTS.len());
    assert!(FAULTS.iter().all(|fault| !fault.databases.is_empty()));
    assert_eq!(Form::Short, Form::default());
}
