//! I2 by the service's own count, I7, I8 and I9: the database's health, and what the servers say of themselves.

use super::rows::Row;
use crate::chaos::trial::PASSWORD;
use crate::support::database::{Database, Kind};
use crate::support::http::Client;
use crate::support::postgres;
use crate::support::server::Server;
use crate::support::wait::{SOON, within};

/// I2: each processed row is the effect of exactly one flush.
pub fn effects(database: &Database, rows: &[Row]) -> Option<String> {
    let sql = match database.kind() {
        Kind::Sqlite => {
            "SELECT CAST(COALESCE(SUM(n.value), 0) AS TEXT) FROM flushes AS f, json_each(f.counts) AS s, \
             json_each(s.value) AS n WHERE s.key = 'processed'"
        }
        Kind::Postgres => {
            "SELECT CAST(COALESCE(SUM(n.value::bigint), 0)::bigint AS TEXT) FROM flushes AS f, \
             jsonb_each(f.counts) AS s, jsonb_each_text(s.value) AS n WHERE s.key = 'processed'"
        }
    };
    let counted = database.texts(sql).concat();
    let all = database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE status = 'processed'").concat();
    (counted != all)
        .then(|| format!("I2: the flushes count {counted} effects on {all} processed rows, {} of the load", rows.len()))
}

/// I9: what the service says was received is what it says became of it, and the rows bear it out.
pub fn balance(database: &Database, client: &Client) -> Vec<String> {
    let answer = client.get("/api/v1/stats");
    if answer.status != 200 {
        return vec![format!("I9: no balance: {answer:?}")];
    }
    let balance = answer.json()["balance"].clone();
    let figure = |name: &str| balance[name].as_i64().unwrap_or(-1);
    let outcomes: i64 =
        ["processed", "duplicate", "validation_error", "failed", "cancelled", "pending"].map(figure).iter().sum();
    let mut wrong = Vec::new();
    if figure("received") != outcomes {
        wrong.push(format!("I9: the balance is not even: {balance}"));
    }
    for status in ["processed", "validation_error", "failed", "cancelled", "pending"] {
        let rows = database.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE status = '{status}'"));
        if rows.concat() != figure(status).to_string() {
            wrong.push(format!("I9: the balance has {} {status}, the table {rows:?}", figure(status)));
        }
    }
    wrong
}

/// I7: the database finds nothing wrong with itself.
pub fn database(database: &Database) -> Option<String> {
    match database.kind() {
        Kind::Sqlite => {
            let found = database.texts("PRAGMA integrity_check");
            (found != ["ok"]).then(|| format!("I7: integrity_check: {found:?}"))
        }
        Kind::Postgres => postgres::amcheck(database.url()).err().map(|found| format!("I7: pg_amcheck: {found}")),
    }
}

/// I8: ready, and no secret in the log.
pub fn logs(server: &Server, client: &Client) -> Vec<String> {
    let mut wrong = Vec::new();
    let ready = || (client.get("/health/ready").status == 200).then_some(());
    if within(SOON, ready).is_none() {
        wrong.push(format!("I8: at the end the server says {:?}", client.get("/health/ready")));
    }
    let log = server.log();
    let token = client.token().unwrap_or("no token");
    // The first token's own announcement names its file only.
    for (what, secret) in [("the token", token), ("the database's password", PASSWORD)] {
        if let Some(line) = log.lines().find(|line| line.contains(secret)) {
            wrong.push(format!("I8: {what} is in the log: {line}"));
        }
    }
    wrong
}
