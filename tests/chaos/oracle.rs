//! The verdict on a load, from outside: the client's own ledger against rows, answers, logs and the files' health.
//!
//! I1 none lost · I2 none doubled · I3 nothing unexpected · I4 an unknown event sent again is one row · I5 nothing
//! pending or claimed · I6 final states stay, attempts and times in order · I7 the database is sound · I8 no secret in
//! the logs, readiness at the end, and no refusals for seconds while ready · I9 the balance is even and true. What a row shows beyond these (readiness while a
//! fault lasts) it checks itself.

mod health;
mod readiness;
mod resend;
mod rows;
mod verdict;

mod proofs;

use std::time::Duration;

pub use self::readiness::{Reading, lies};
pub use self::rows::{Row, read};
use self::verdict::Verdict;
use super::figures::Figures;
use super::trial::LEASE;
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::ledger::{Entry, Ledger, State};
use crate::support::server::Server;
use crate::support::wait::within;

/// Two leases and 5 s, and the pauses before three retries; twice that, since the machine may be busy.
const SETTLED: Duration = Duration::from_millis(2 * (2 * LEASE.as_millis() as u64 + 5_000 + 3_500));

/// Events that are read over HTTP as well.
const SAMPLE: usize = 20;

/// A load that is over, and whom to hold to it.
pub struct Case<'a, 's> {
    database: &'a Database,
    servers: &'a mut [&'s mut Server],
    ledger: &'a Ledger,
    settled: Duration,
    earlier: Vec<Row>,
}

impl<'a, 's> Case<'a, 's> {
    /// The servers are up again and whole; `database` leads past every proxy.
    pub fn new(database: &'a Database, servers: &'a mut [&'s mut Server], ledger: &'a Ledger) -> Self {
        Self { database, servers, ledger, settled: SETTLED, earlier: Vec::new() }
    }

    /// Gives a backlog more time to its final states.
    pub fn settled_within(mut self, more: Duration) -> Self {
        self.settled += more;
        self
    }

    /// What the database holds now has to be there at the end, as far as it is final.
    #[cfg(feature = "fault-injection")]
    pub fn keeping(mut self, earlier: Vec<Row>) -> Self {
        self.earlier = earlier;
        self
    }
}

/// Judges by all invariants.
pub fn judge(case: Case<'_, '_>) -> Figures {
    let Case { database, servers, ledger, settled, earlier } = case;
    let clients: Vec<Client> = servers.iter_mut().map(|server| server.client()).collect();
    let mut verdict = Verdict::default();
    verdict.extend(await_rest(database, servers, settled));
    let before = read(database);
    let resent = resend::unknown_keys(&clients[0], ledger, &mut verdict);
    verdict.extend(await_rest(database, servers, settled));
    let after = read(database);
    verdict.compare(ledger, &resent, &after);
    verdict.final_states_stay(&earlier, &after);
    verdict.final_states_stay(&before, &after);
    verdict.extend(health::effects(database, &after));
    verdict.extend(answers(&clients, ledger, &after));
    verdict.extend(health::database(database));
    for (server, client) in servers.iter().zip(&clients) {
        verdict.extend(health::logs(server, client));
        verdict.extend(health::balance(database, client));
    }
    if !verdict.is_clean() {
        verdict.extend(servers.iter().map(|server| format!("the log of {} is in {}", server.pid(), server.keep_log())));
    }
    verdict.into_figures(ledger)
}

/// I5: waits until no spool holds anything, nothing is pending and nothing is claimed.
fn await_rest(database: &Database, servers: &[&mut Server], settled: Duration) -> Option<String> {
    let spooled = || -> u64 { servers.iter().map(|server| server.spooled()).sum() };
    let drained = within(settled, || (spooled() == 0).then_some(()));
    if drained.is_none() {
        return Some(format!("I5: after {settled:?} {} events are in the spool", spooled()));
    }
    let open = || {
        database.texts(
            "SELECT CAST(id AS TEXT) || ' ' || status || ' after ' || CAST(attempts AS TEXT) FROM events \
             WHERE status = 'pending' OR lease_boot IS NOT NULL LIMIT 5",
        )
    };
    let at_rest = within(settled, || open().is_empty().then_some(()));
    at_rest.is_none().then(|| format!("I5: after {settled:?} there still is {:?}", open()))
}

/// I1 over HTTP: some of the acknowledged events, by id, at every server.
fn answers(clients: &[Client], ledger: &Ledger, rows: &[Row]) -> Vec<String> {
    let acknowledged = |entry: &&Entry| matches!(entry.state, State::Acknowledged(_));
    let acknowledged: Vec<&Entry> = ledger.entries().iter().filter(acknowledged).collect();
    let step = (acknowledged.len() / SAMPLE).max(1);
    let status_of = |id| rows.iter().find(|row| row.id == id).map_or("none", |row| row.status.as_str());
    let mut wrong = Vec::new();
    for (place, entry) in acknowledged.into_iter().step_by(step).enumerate() {
        let State::Acknowledged(id) = entry.state else { continue };
        let answer = clients[place % clients.len()].get(&format!("/api/v1/events/{id}"));
        if answer.status != 200 || answer.json()["status"] != status_of(id) {
            wrong.push(format!("I1: event {id} is {:?} by SQL, and by HTTP {answer:?}", status_of(id)));
        }
    }
    wrong
}
