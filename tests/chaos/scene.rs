//! Where most faults of databases and networks are played: a server, a PostgreSQL of its own, a proxy between them,
//! and a load; somebody feels the server's pulse all the while.

use std::time::{Duration, Instant};

use super::kills::await_more;
use super::oracle::{Case, Reading, lies};
use super::pulse::Pulse;
use super::trial::Trial;
use crate::support::database::Database;
use crate::support::ledger::{Entry, Ledger};
use crate::support::load::{Load, Plan};
use crate::support::postgres::Cluster;
use crate::support::proxy::Proxy;
use crate::support::server::{Server, Setup};
use crate::support::session::Session;

/// `timeouts.accept` of the default configuration, and as much again for a busy machine.
pub const ANSWERED: Duration = Duration::from_secs(20);

/// What a server may grow by under any fault: its buffers are bounded.
const GROWTH_MAX: u64 = 160 << 20;

/// A server, its database, the wire between them, and a load.
pub struct Scene {
    /// The server; what is dropped first ends first.
    pub server: Server,
    /// The load on it, until the verdict.
    load: Option<Load>,
    /// The wire.
    pub proxy: Proxy,
    /// The database, past the wire.
    pub database: Database,
    /// The database's server.
    pub cluster: Cluster,
    /// A lock that is held on the table of events.
    pub lock: Option<Session>,
    pulse: Pulse,
    rss_before: u64,
}

impl Scene {
    /// Eight clients, two of ten events without a key, as fast as they are answered.
    pub fn start(trial: &Trial) -> Self {
        Self::start_with(trial, "", |plan| plan)
    }

    /// With this configuration, and this done to the plan of the load.
    pub fn start_with(trial: &Trial, config: &str, planned: impl FnOnce(Plan) -> Plan) -> Self {
        let cluster = Cluster::start();
        let database = trial.fresh_database_in(&cluster);
        let (proxy, through) = Proxy::in_front_of(database.url());
        let setup = trial.setup(&Database::at(through)).with_config(config);
        Self::play(cluster, database, proxy, setup, planned)
    }

    /// With no proxy in use: a database that is not there refuses connections, where a proxy takes and closes them.
    pub fn start_direct(trial: &Trial, planned: impl FnOnce(Plan) -> Plan) -> Self {
        let cluster = Cluster::start();
        let database = trial.fresh_database_in(&cluster);
        let (proxy, _) = Proxy::in_front_of(database.url());
        let setup = trial.setup(&database);
        Self::play(cluster, database, proxy, setup, planned)
    }

    fn play(
        cluster: Cluster,
        database: Database,
        proxy: Proxy,
        setup: Setup,
        planned: impl FnOnce(Plan) -> Plan,
    ) -> Self {
        let mut server = Server::start(setup);
        let token = server.token();
        let load = Some(Load::of(planned(Plan::new(server.ports(), &token, 8).keyless(2))));
        let pulse = Pulse::feel(server.ports());
        let rss_before = server.rss_bytes();
        let scene = Self { server, load, proxy, database, cluster, lock: None, pulse, rss_before };
        scene.await_more(10);
        scene
    }

    /// The load.
    pub fn load(&self) -> &Load {
        self.load.as_ref().expect("the load goes on until the verdict")
    }

    /// Waits until the load has so many more acknowledgements.
    pub fn await_more(&self, more: usize) {
        await_more(self.load(), more, &self.server);
    }

    /// Waits for the first success after a fault, notes how long it took, then for some more.
    pub fn recover(&self, trial: &mut Trial) {
        let began = Instant::now();
        self.await_more(1);
        trial.recovered_in(began.elapsed());
        self.await_more(20);
    }

    /// Ends the load and judges; gives the ledger for what the fault asks beside.
    pub fn judge(&mut self, trial: &mut Trial) -> Ledger {
        self.judge_with(trial, Duration::ZERO)
    }

    /// The same, with more time for a backlog.
    pub fn judge_with(&mut self, trial: &mut Trial, for_backlog: Duration) -> Ledger {
        let grown = self.server.rss_bytes().saturating_sub(self.rss_before);
        let began = Instant::now() - self.load().elapsed();
        let ledger = self.load.take().expect("there is one verdict").stop();
        trial.expect(grown <= GROWTH_MAX, || format!("the server grew by {grown} bytes, limit {GROWTH_MAX}"));
        let slow: Vec<&Entry> = ledger.entries().iter().filter(|entry| entry.took > ANSWERED).take(3).collect();
        trial.expect(slow.is_empty(), || format!("requests went on beyond their limit: {slow:?}"));
        let felt = self.pulse.stop();
        let by_load = |(at, status): (Instant, u16)| (at.saturating_duration_since(began), status);
        let readiness: Vec<Reading> = felt.readiness.into_iter().map(by_load).collect();
        trial.expect_all(felt.missed.into_iter().chain(lies(&readiness, ledger.entries())));
        let mut servers = [&mut self.server];
        trial.judge_case(Case::new(&self.database, &mut servers, &ledger).settled_within(for_backlog));
        ledger
    }
}
