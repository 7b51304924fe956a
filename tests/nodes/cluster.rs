//! Several servers on one PostgreSQL, and rows that wait for any of them.

use std::time::Duration;

use serde_json::Value;

use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::wait_for;

/// The lease of these tests.
pub const LEASE: Duration = Duration::from_secs(2);

/// That lease, and a poll that goes with it.
pub const LEASES: &str = "lease = { duration = \"2s\", poll = \"200ms\" }\n";

/// How long a backlog may take, also on a busy machine.
const CLEARED: Duration = Duration::from_secs(120);

/// Ids of rows that tests insert: far from those that servers give out, within the first partition.
pub const FIRST_ID: i64 = 5_000_001;

/// Servers on one database, and the token that the first of them made.
pub struct Nodes {
    pub database: Database,
    pub servers: Vec<Server>,
    token: String,
}

impl Nodes {
    /// Starts one node per configuration, called `node-1` and so on.
    pub fn start(database: &Database, configs: &[&str]) -> Self {
        let mut servers: Vec<Server> = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            servers.push(Server::start(setup(database, index).with_config(config)));
        }
        let token = servers[0].token();
        servers.iter_mut().for_each(|server| server.share_token(&token));
        Self { database: database.clone(), servers, token }
    }

    /// A client of this node.
    pub fn client(&self, index: usize) -> Client {
        self.servers[index].client_with(&self.token)
    }

    /// The token that is good at all of them.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the node says of itself and of the others; panics when it does not answer.
    pub fn view(&self, index: usize) -> Value {
        view(&self.servers[index])
    }

    /// The end of every log, for a failure.
    pub fn logs(&self) -> String {
        let tail = |log: String| {
            log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        self.servers.iter().map(|server| format!("{}\n\n", tail(server.log()))).collect()
    }

    /// Waits until nothing is pending or leased.
    pub fn await_quiet(&self) {
        await_quiet(&self.database, || self.logs());
    }
}

/// Waits until nothing is pending; a failure shows `logs`.
pub fn await_quiet(database: &Database, logs: impl Fn() -> String) {
    let open = "SELECT COUNT(*) FROM events WHERE status = 'pending'";
    let is_quiet = || (number(database, open) == 0).then_some(());
    wait_for("nothing to be pending", CLEARED, is_quiet, || format!("{} are\n{}", number(database, open), logs()));
}

/// The setup of the node of this index, with the lease of these tests.
pub fn setup(database: &Database, index: usize) -> Setup {
    Setup::new(database).with_config(LEASES).with_config(&format!("node.name = \"node-{}\"", index + 1))
}

/// `GET /api/pipeline`.
pub fn view(server: &Server) -> Value {
    server.dashboard().get("/api/pipeline").json()
}

/// One number from the database.
pub fn number(database: &Database, sql: &str) -> i64 {
    let texts = database.texts(&format!("SELECT CAST(({sql}) AS TEXT)"));
    texts[0].parse().unwrap_or_else(|error| panic!("{sql}: {texts:?}: {error}"))
}

/// Inserts `count` events of this name that have waited for `waited` and that nobody holds.
pub fn insert_waiting(database: &Database, first_id: i64, count: usize, name: &str, waited: &str) {
    let sql = format!(
        "INSERT INTO events (id, task_id, user_id, event_name, event_type, status, payload, received_at, next_attempt_at) \
         SELECT id, gen_random_uuid(), (SELECT MIN(id) FROM users), '{name}', 'engagement', 'pending', \
         jsonb_build_object('page', id), now() - interval '{waited}', now() - interval '{waited}' \
         FROM generate_series({first_id}::bigint, {first_id} + {count} - 1) AS id"
    );
    assert_eq!(database.execute(&sql), u64::try_from(count).expect("small"));
}

/// Asserts that each of the inserted events was processed once, and counted once over all flushes.
pub fn assert_processed_once(database: &Database, events: usize, attempts: i64) {
    let expected = i64::try_from(events).expect("small");
    let of = |condition: &str| {
        number(database, &format!("SELECT COUNT(*) FROM events WHERE id >= {FIRST_ID} AND {condition}"))
    };
    assert_eq!(of("status = 'processed' AND lease_boot IS NULL"), expected);
    assert_eq!(of(&format!("attempts = {attempts}")), expected, "attempts");
    assert_eq!(of("processed_at < received_at"), 0);
    let flushed = "FROM flushes, jsonb_array_elements_text(event_ids) AS id";
    let effects = |what: &str| format!("SELECT COUNT({what}) {flushed} WHERE id::bigint >= {FIRST_ID}");
    assert_eq!(number(database, &effects("DISTINCT id")), expected, "events without an effect");
    assert_eq!(number(database, &effects("*")), expected, "effects applied twice");
}
