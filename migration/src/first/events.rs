//! Events and what hangs on them. No foreign keys from events: they cost a fifth of the insert rate.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use super::columns::{bigint, count, flag, hash, json, short, text, time, uuid};

pub(super) fn tables(backend: DbBackend) -> Vec<TableCreateStatement> {
    let (mut events, mut keys) = (events(), dedupe_keys());
    match backend {
        DbBackend::Postgres => events.extra("PARTITION BY RANGE (id)"),
        // The key is the row: a second tree would double what each insert writes.
        _ => keys.extra("WITHOUT ROWID"),
    };
    vec![events, keys, attempts()]
}

fn events() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("events")
        .col(bigint("id").primary_key().check(Expr::cust("id > 0")))
        .col(uuid("task_id").not_null())
        .col(bigint("user_id"));
    outcome(&mut table);
    lease(&mut table);
    times(&mut table);
    table.take()
}

fn outcome(table: &mut TableCreateStatement) {
    table
        .col(text("event_name"))
        .col(text("event_type"))
        .col(text("event_uid"))
        .col(ColumnDef::new("status").string_len(16).not_null().check(Expr::cust(
            "status IN ('pending', 'processed', 'duplicate', 'validation_error', 'failed', 'cancelled')",
        )))
        .col(ColumnDef::new("processed").boolean().not_null().generated(Expr::cust("status = 'processed'"), true))
        .col(json("payload"))
        .col(json("properties"))
        .col(text("processing_error"))
        .col(short("error_code", 64))
        .col(count("attempts"))
        .col(count("crashes"))
        .col(flag("suspect"))
        .col(count("generation"))
        .col(ColumnDef::new("duplicate_of").big_integer());
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
        .col(text("node"));
}

fn dedupe_keys() -> TableCreateStatement {
    Table::create()
        .table("dedupe_keys")
        .col(bigint("user_id"))
        .col(ColumnDef::new("namespace").small_integer().not_null().check(Expr::cust("namespace IN (0, 1)")))
        .col(text("key").not_null())
        .col(bigint("event_id"))
        .col(hash("content_hash"))
        .col(time("created_at").not_null())
        .primary_key(Index::create().col("user_id").col("namespace").col("key"))
        .take()
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
