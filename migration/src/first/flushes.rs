//! What the nodes flushed: each flush for an hour, then sums by the minute. Statistics are sums over them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use super::columns::{bigint, json, long_text, maybe_bigint, text, time, total, uuid};

pub(super) fn tables(backend: DbBackend) -> Vec<TableCreateStatement> {
    vec![flushes(backend), flush_minutes()]
}

/// `xid` is the order of the feed; on SQLite it is the key, which is the row: each flush writes into two trees, not four.
fn flushes(backend: DbBackend) -> TableCreateStatement {
    let mut table = Table::create();
    match backend {
        DbBackend::Postgres => {
            table.col(maybe_bigint("xid")).primary_key(Index::create().col("boot_id").col("seq"));
        }
        _ => {
            table.col(bigint("xid").primary_key());
        }
    }
    table
        .table("flushes")
        .col(uuid("boot_id").not_null())
        .col(bigint("seq"))
        .col(text("node").not_null())
        .col(time("flushed_at").not_null())
        .col(bigint("gathered_us"))
        .col(bigint("wrote_us"));
    figures(&mut table);
    table.col(json("event_ids").not_null()).col(json("counts").not_null()).take()
}

fn flush_minutes() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("flush_minutes")
        .col(time("minute").not_null())
        .col(text("node").not_null())
        .col(bigint("flushes"))
        .col(bigint("events"));
    figures(&mut table);
    table.col(json("counts").not_null()).primary_key(Index::create().col("minute").col("node")).take()
}

/// What statistics sum up, in both tables. It stands before the JSON, which may be long.
fn figures(table: &mut TableCreateStatement) {
    for name in FIGURES {
        table.col(total(name));
    }
    // JSON in a text on both databases: statistics join these texts, which costs less than reading each as JSON.
    table.col(long_text("took").not_null().default("{}"));
}

const FIGURES: [&str; 8] =
    ["received", "processed", "duplicate", "validation_error", "failed", "cancelled", "pending", "worked_us"];

pub(super) fn indexes(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => {
            &["CREATE INDEX flushes_time ON flushes (flushed_at)", "CREATE INDEX flushes_xid ON flushes (xid)"]
        }
        _ => &["CREATE INDEX flushes_time ON flushes (flushed_at)"],
    }
}
