//! Row 3: the power of the database's disk is cut under load.

use std::fs;
use std::time::Instant;

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::is_beyond_us;
use crate::support::database::{Database, Kind};
use crate::support::lacks::root_with;
use crate::support::load::{Load, Plan};
use crate::support::machine::disk::{self, PoweredDisk};
use crate::support::machine::freezer::Frozen;
use crate::support::postgres::Cluster;
use crate::support::server::Server;

/// Most acknowledgements between a start and its cut.
const BETWEEN_MAX: u64 = 400;

/// A service with all that it writes on one disk.
struct House {
    server: Server,
    database: Database,
    /// PostgreSQL, where it is the database.
    cluster: Option<Cluster>,
    disk: PoweredDisk,
}

/// Whatever the power cut leaves of the file system, every acknowledged event is there.
pub fn cut_under_load(trial: &mut Trial) {
    if is_beyond_us(trial, &[root_with(&disk::PROGRAMS)]) {
        return;
    }
    let mut house = House::built(trial);
    let token = house.server.token();
    let load = Load::of(Plan::new(house.server.ports(), &token, 8).keyless(2));
    for _ in 0..trial.pick(2, 3) {
        let more = usize::try_from(trial.dice.below(BETWEEN_MAX)).expect("small");
        await_more(&load, 1 + more, &house.server);
        let began = house.lose_power();
        house.server.restart();
        trial.recovered_in(began.elapsed());
    }
    await_more(&load, 1, &house.server);
    trial.judge(&house.database, &mut [&mut house.server], &load.stop());
}

impl House {
    fn built(trial: &mut Trial) -> Self {
        let disk = PoweredDisk::new();
        let data = disk.path().join("data");
        fs::create_dir(&data).expect("the disk is empty");
        let cluster = (trial.kind == Kind::Postgres).then(|| Cluster::start_on_disk(disk.path()));
        let database = match &cluster {
            Some(cluster) => trial.fresh_database_in(cluster),
            None => Database::sqlite_in(&data),
        };
        // Folder and configuration are the installation's: they are there before anything is promised.
        disk.sync();
        let server = Server::start(trial.setup(&database).with_data(data));
        if trial.dice.below(2) == 0 {
            // Else the power is cut while nothing but the service itself has synced what its first start wrote.
            disk.sync();
        }
        Self { server, database, cluster, disk }
    }

    /// Cuts the power and starts the database on what is left; says when the power came back.
    fn lose_power(&mut self) -> Instant {
        let pids: Vec<u32> = [self.server.pid()].into_iter().chain(self.cluster.as_ref().map(Cluster::pid)).collect();
        let frozen = Frozen::new(&pids);
        let cut = self.disk.cut();
        frozen.kill();
        self.server.kill9();
        if let Some(cluster) = &self.cluster {
            cluster.kill_postmaster();
        }
        self.disk.restore(cut);
        let began = Instant::now();
        if let Some(cluster) = &self.cluster {
            cluster.start_again();
        }
        began
    }
}
