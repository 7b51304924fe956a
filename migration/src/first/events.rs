//! Events and what hangs on them. No foreign keys from events: they cost a fifth of the insert rate.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use super::columns::{
    CHARS_MAX, bigint, count, flag, hash, json, long_text, maybe_bigint, short, string, text, time, uuid,
};

pub(super) fn tables(backend: DbBackend) -> Vec<TableCreateStatement> {
    let mut events = events();
    let mut keys = dedupe_keys();
    match backend {
        DbBackend::Postgres => events.extra("PARTITION BY RANGE (id)"),
        // The key is the row: a second tree would double what each insert writes.
        _ => keys.extra("WITHOUT ROWID"),
    };
    vec![events, attempts(), keys, key_clock(), repeats()]
}

/// Without checks, which cost SQLite a fifth of an insert: what is written comes from types that hold the same.
fn events() -> TableCreateStatement {
    let mut table = Table::create();
    table.table("events").col(bigint("id").primary_key()).col(uuid("task_id").not_null()).col(bigint("user_id"));
    submission(&mut table);
    outcome(&mut table);
    lease(&mut table);
    times(&mut table);
    // Last, for they may be long. `payload` is null once `properties` holds it.
    table.col(json("payload")).col(json("properties"));
    table.take()
}

/// `trace_context` is `traceparent`, and after a space `tracestate`: never searched, so without an index.
fn submission(table: &mut TableCreateStatement) {
    table
        .col(string("event_name", CHARS_MAX))
        .col(string("event_type", CHARS_MAX))
        .col(string("event_uid", CHARS_MAX))
        .col(long_text("trace_context"));
}

fn outcome(table: &mut TableCreateStatement) {
    table
        .col(string("status", 16).not_null())
        .col(ColumnDef::new("processed").boolean().not_null().generated(Expr::cust("status = 'processed'"), true))
        .col(string("processing_error", CHARS_MAX))
        .col(string("error_code", 64))
        .col(count("attempts"))
        .col(count("crashes"))
        .col(flag("suspect"))
        .col(count("generation"))
        .col(maybe_bigint("duplicate_of"))
        .col(maybe_bigint("repeats"));
}

fn lease(table: &mut TableCreateStatement) {
    table.col(time("next_attempt_at")).col(uuid("lease_boot")).col(uuid("lease_token")).col(time("lease_until"));
}

fn times(table: &mut TableCreateStatement) {
    table
        .col(time("timestamp"))
        .col(time("received_at").not_null())
        .col(time("started_at"))
        .col(time("processed_at"))
        .col(time("finished_at"))
        .col(time("last_repeated_at"))
        .col(string("node", CHARS_MAX));
}

fn attempts() -> TableCreateStatement {
    Table::create()
        .table("attempts")
        .col(bigint("event_id"))
        .col(ColumnDef::new("generation").integer().not_null())
        .col(ColumnDef::new("attempt").integer().not_null())
        .col(time("started_at"))
        .col(time("ended_at").not_null())
        .col(text("node").not_null())
        .col(short("stage", 64).not_null())
        .col(short("error_code", 64).not_null())
        .col(text("error").not_null())
        .primary_key(Index::create().col("event_id").col("generation").col("attempt").col("ended_at"))
        .take()
}

fn dedupe_keys() -> TableCreateStatement {
    Table::create()
        .table("dedupe_keys")
        .col(bigint("user_id"))
        .col(ColumnDef::new("namespace").small_integer().not_null().check(Expr::cust("namespace IN (0, 1, 2)")))
        .col(text("key").not_null())
        .col(bigint("event_id"))
        .col(hash("content_hash"))
        .col(time("created_at").not_null())
        .primary_key(Index::create().col("user_id").col("namespace").col("key"))
        .take()
}

/// The clock by which keys age: one row.
fn key_clock() -> TableCreateStatement {
    Table::create()
        .table("key_clock")
        .col(ColumnDef::new("id").small_integer().not_null().primary_key().check(Expr::cust("id = 1")))
        .col(time("at").not_null())
        .col(time("read_at").not_null())
        .take()
}

fn repeats() -> TableCreateStatement {
    Table::create()
        .table("repeats")
        .col(bigint("id").primary_key())
        .col(bigint("event_id"))
        .col(time("repeated_at").not_null())
        .take()
}

/// States stand as literals: only so does the planner match a query to a partial index.
///
/// The id stands beside the time of receipt so that events of the same microsecond have an order in which a list can be
/// continued. Pending events of one holder lie together, and those that nobody holds in the order in which they are
/// due: a search for some of them reads no others, however many wait.
pub(super) const INDEXES: &[&str] = &[
    "CREATE INDEX events_user ON events (user_id, id)",
    "CREATE INDEX events_name ON events (event_name, id)",
    "CREATE INDEX events_received ON events (received_at, id)",
    "CREATE INDEX events_bad ON events (id) WHERE status IN ('failed', 'validation_error')",
    "CREATE INDEX events_pending ON events (lease_boot, suspect, next_attempt_at) WHERE status = 'pending'",
    "CREATE INDEX dedupe_keys_age ON dedupe_keys (created_at)",
];

/// The first partitions, and the clock's row.
pub(super) fn statements(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &[
            "CREATE TABLE events_p0 PARTITION OF events FOR VALUES FROM (1) TO (10000001)",
            "CREATE TABLE events_p1 PARTITION OF events FOR VALUES FROM (10000001) TO (20000001)",
            "INSERT INTO key_clock (id, at, read_at) VALUES (1, now(), now())",
        ],
        _ => &["INSERT INTO key_clock (id, at, read_at) \
                SELECT 1, present, present FROM (SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AS present)"],
    }
}
