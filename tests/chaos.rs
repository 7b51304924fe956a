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

mod disturbance;
mod pulse;
mod scene;

mod backlog;
mod elsewhere;
mod exhaustion;
mod interference;
mod kills;
mod machine;
mod members;
mod network;
mod outages;
mod pairs;
mod pauses;
#[cfg(feature = "fault-injection")]
mod planted;
mod signals;

use self::replay::Form;
use self::trial::Trial;
use super::support::database::Kind;
use super::support::lacks::say;

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
const SQLITE: &[Kind] = &[Kind::Sqlite];
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
    "1c" a_backlog_is_cleared_after_kills_while_it_is_worked_on on BOTH needs Nothing in Both: backlog::cleared_after_kills;
    "2" a_stop_releases_claims_and_loses_nothing on BOTH needs Nothing in Both: signals::stops;
    "3" a_power_cut_loses_no_acknowledged_event on BOTH needs Root in Both: machine::power::cut_under_load;
    "4" an_immediate_stop_of_the_database_costs_no_attempt on POSTGRES needs Nothing in Both: outages::stopped_at_once;
    "5" a_killed_database_comes_back_with_every_event on POSTGRES needs Nothing in Both: outages::killed;
    "5b" a_killed_session_of_the_database_costs_no_attempt on POSTGRES needs Nothing in Both: outages::session_killed;
    "6" connections_that_are_reset_again_and_again_lose_nothing on POSTGRES needs Nothing in Both: network::resets;
    "7" a_black_hole_in_a_query_holds_no_request_beyond_its_limit on POSTGRES needs Nothing in Both: network::black_hole;
    "7b" a_black_hole_met_by_idle_connections_holds_no_request on POSTGRES needs Nothing in Both: network::black_hole_when_idle;
    "7c" a_frozen_database_holds_no_request_beyond_its_limit on POSTGRES needs Nothing in Both: network::frozen;
    "8" a_slow_database_makes_nobody_wait_without_bound on POSTGRES needs Nothing in Both: network::slow;
    "8b" a_locked_table_makes_nobody_wait_without_bound on POSTGRES needs Nothing in Both: network::locked;
    "9" few_connections_and_many_clients_end_in_answers on POSTGRES needs Nothing in Both: exhaustion::small_pool;
    "9b" a_server_without_a_free_connection_is_told_and_recovered_from on POSTGRES needs Nothing in Both: exhaustion::no_connection_left;
    "10" a_full_disk_refuses_clearly_and_takes_events_when_there_is_room on BOTH needs Root in Both: machine::full_disks::of_data;
    "10w" a_full_disk_of_the_write_ahead_log_loses_nothing on POSTGRES needs Root in Both: machine::full_disks::of_the_write_ahead_log;
    "10l" a_full_disk_of_the_log_disturbs_nobody on BOTH needs Root in Both: machine::full_disks::of_the_log;
    "10s" a_full_disk_of_the_spool_promises_nothing_more_and_keeps_what_it_did on POSTGRES needs Root in Both: machine::full_disks::of_the_spool;
    "11" a_lock_of_another_process_delays_writes_and_no_reads on SQLITE needs Nothing in Both: machine::locks::by_a_writer;
    "11r" a_reader_that_stays_leaves_the_log_of_writes_bounded on SQLITE needs Nothing in Both: machine::locks::by_a_reader;
    "12" a_removed_file_is_never_made_anew on SQLITE needs Nothing in Both: machine::files::removed;
    "12r" a_read_only_file_is_refused_with_a_clear_text on SQLITE needs Root in Both: machine::files::read_only;
    "12f" a_damaged_file_is_refused_and_left_alone on SQLITE needs Nothing in Both: machine::files::damaged;
    "16" paused_persisters_refuse_what_has_no_room_and_lose_nothing on BOTH needs Nothing in Both: pauses::of_the_persisters;
    "16k" a_pause_outlives_kills_and_a_resumed_line_loses_nothing on BOTH needs Nothing in Both: pauses::with_kills;
    "17" little_memory_loses_nothing on BOTH needs Root in Both: machine::caps::of_memory;
    "17h" few_file_handles_end_nothing_and_nothing_spins on BOTH needs Nothing in Both: machine::caps::of_file_handles;
    "17t" few_threads_lose_nothing on BOTH needs Root in Both: machine::caps::of_threads;
    "18" slow_clients_are_cut_off_and_others_are_served on SQLITE needs Root in Both: machine::slow_clients::of_all_manners;
    "13" one_attempt_in_ten_panics_and_every_event_ends_once on BOTH needs Nothing in Long: elsewhere::storm;
    "19" one_key_on_two_nodes_is_one_event on POSTGRES needs Nothing in Long: elsewhere::keys;
    "20" processes_that_race_apply_each_event_once on POSTGRES needs Nothing in Long: elsewhere::race;
    "21" a_frozen_node_is_replaced_and_its_late_writes_change_nothing on POSTGRES needs Nothing in Long: elsewhere::freeze;
    "21c" a_node_that_is_cut_off_is_replaced_and_its_late_writes_change_nothing on POSTGRES needs Root in Both: machine::islands::cut_off_with_claims;
    "21k" of_three_nodes_one_may_die_under_load on POSTGRES needs Nothing in Both: members::killed;
    "21f" of_three_nodes_one_may_freeze_under_load on POSTGRES needs Nothing in Both: members::frozen;
    "22" a_node_lost_in_mid_batch_leaves_all_or_nothing on POSTGRES needs Nothing in Long: elsewhere::midbatch;
    "23" nodes_that_migrate_together_all_become_ready on POSTGRES needs Nothing in Long: elsewhere::migration;
    "23r" a_rolling_restart_under_load_loses_nothing on POSTGRES needs Nothing in Long: elsewhere::rolling;
    "25" a_database_away_for_long_is_told_and_caught_up_with on POSTGRES needs Nothing in Both: outages::away;
    "25b" an_outage_that_the_spool_covers_fails_no_request on POSTGRES needs Nothing in Both: outages::covered_by_the_spool;
    "25c" an_outage_is_logged_when_it_comes_and_when_it_goes on POSTGRES needs Nothing in Both: outages::logged;
    "26" cancelled_statements_and_deadlocks_are_tried_again on POSTGRES needs Nothing in Both: interference::statements;
    "27" a_wrong_clock_of_one_node_changes_no_lease_and_no_timer on POSTGRES needs Nothing in Both: machine::clocks::of_one_node;
    "27s" a_wrong_clock_of_the_only_node_stops_nothing_and_frees_no_key on SQLITE needs Nothing in Both: machine::clocks::of_the_only_node;
    "28" a_wrong_configuration_ends_the_start_and_names_its_keys on BOTH needs Nothing in Both: machine::refusals::of_mistakes;
    "28a" what_is_not_there_ends_the_start_and_is_named on BOTH needs Nothing in Both: machine::refusals::of_what_is_not_there;
    "28u" a_start_without_its_database_keeps_trying on POSTGRES needs Nothing in Both: machine::refusals::of_an_unreachable_database;
    "29" two_faults_at_once_lose_nothing on POSTGRES needs Nothing in Both: pairs::at_random;
}

/// Whatever `GRISTMILL_CHAOS_…` ask for; a skip without them.
#[test]
fn the_long_form() {
    match long_form::Wanted::from_environment() {
        Some(wanted) => wanted.run(),
        None => say("the long form: ./test --chaos"),
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
