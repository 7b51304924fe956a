//! One repetition of a fault: its dice, its databases and servers, and what it adds up to.

use std::time::Duration;

use super::figures::Figures;
use super::oracle::{self, Case};
use super::replay::Form;
use crate::support::database::{Database, Kind};
use crate::support::dice::Dice;
use crate::support::ledger::Ledger;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};

/// What a crashed or frozen server's claims wait for in chaos.
pub const LEASE: Duration = Duration::from_secs(2);

/// Retries after 0.5, 1 and 2 s; leases of 2 s. The last line of a configuration that a fault lays its own over.
const CONFIG: &str = r#"
retry = { delay = "500ms", jitter = 0.1, max_retries = 3 }
lease = { duration = "2s", poll = "250ms" }
"#;

/// One repetition.
pub struct Trial {
    /// All chance of the repetition, so that its seed repeats it.
    pub dice: Dice,
    /// The kind of database.
    pub kind: Kind,
    form: Form,
    planted: Option<&'static str>,
    figures: Figures,
}

impl Trial {
    /// A repetition on this kind of database.
    pub fn new(kind: Kind, seed: u64, form: Form) -> Self {
        Self { dice: Dice::new(seed), kind, form, planted: None, figures: Figures::default() }
    }

    /// The same with a bug planted into every server, which the oracle is to find.
    #[cfg(feature = "fault-injection")]
    pub fn with_planted(mut self, bug: &'static str) -> Self {
        self.planted = Some(bug);
        self
    }

    /// What this form takes of a size that the two forms have differently.
    pub fn pick<T>(&self, short: T, long: T) -> T {
        match self.form {
            Form::Short => short,
            Form::Long => long,
        }
    }

    /// An empty database of the trial's kind; on PostgreSQL in the run's shared cluster.
    pub fn fresh_database(&self) -> Database {
        match self.kind {
            Kind::Sqlite => Database::sqlite(),
            Kind::Postgres => Database::at(with_password(&Cluster::shared().fresh_database())),
        }
    }

    /// An empty database in a cluster of the trial's own, which may be stopped, killed and bent.
    pub fn fresh_database_in(&self, cluster: &Cluster) -> Database {
        Database::at(with_password(&cluster.fresh_database()))
    }

    /// The real binary on this database, its leases and retries short, with the trial's planted bug.
    pub fn setup(&self, database: &Database) -> Setup {
        let setup = Setup::new(database).with_config(CONFIG);
        match self.planted {
            Some(bug) => setup.with_config(&format!("planted = {bug:?}")),
            None => setup,
        }
    }

    /// Holds the service to its word: `servers` are up again and whole, `database` leads past every proxy.
    pub fn judge(&mut self, database: &Database, servers: &mut [&mut Server], ledger: &Ledger) {
        self.judge_case(Case::new(database, servers, ledger));
    }

    /// Holds the service to its word where the fault allows more or asks for less.
    pub fn judge_case(&mut self, case: Case<'_, '_>) {
        self.figures.add(oracle::judge(case));
    }

    /// Notes a contradiction unless the fact holds.
    pub fn expect(&mut self, fact: bool, otherwise: impl FnOnce() -> String) {
        if !fact {
            self.figures.violations.push(otherwise());
        }
    }

    /// Notes contradictions that somebody else has found.
    pub fn expect_all(&mut self, found: impl IntoIterator<Item = String>) {
        self.figures.violations.extend(found);
    }

    /// Notes events that were acknowledged, and judged elsewhere.
    #[cfg(feature = "fault-injection")]
    pub fn acknowledged(&mut self, events: usize) {
        self.figures.acknowledged += events;
    }

    /// Notes how long a recovery took.
    pub fn recovered_in(&mut self, took: Duration) {
        self.figures.recovery = self.figures.recovery.max(took);
    }

    /// Ends the repetition.
    pub fn into_figures(self) -> Figures {
        self.figures
    }
}

/// The password in every URL of a trial; clusters trust everybody, and no log may hold it.
pub const PASSWORD: &str = "p4ssw0rd-of-the-trial";

fn with_password(url: &str) -> String {
    url.replacen('@', &format!(":{PASSWORD}@"), 1)
}
