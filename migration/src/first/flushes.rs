//! What the nodes flushed: each flush for an hour, then sums by the minute. Statistics are sums of their columns.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, json, maybe_bigint, text, time, total, uuid};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![flushes(), flush_minutes()]
}

/// `xid` is the order of the feed.
fn flushes() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("flushes")
        .col(uuid("boot_id").not_null())
        .col(bigint("seq"))
        .col(text("node").not_null())
        .col(maybe_bigint("xid"))
        .col(time("flushed_at").not_null())
        .col(bigint("gathered_us"))
        .col(bigint("wrote_us"));
    figures(&mut table);
    table
        .col(json("event_ids").not_null())
        .col(json("counts").not_null())
        .primary_key(Index::create().col("boot_id").col("seq"))
        .take()
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
    for digits in 6..=29 {
        // Events whose time in microseconds has so many binary digits. Null is none: it takes no room in a row.
        table.col(ColumnDef::new(format!("took{digits}")).integer());
    }
}

const FIGURES: [&str; 8] =
    ["received", "processed", "duplicate", "validation_error", "failed", "cancelled", "pending", "worked_us"];

pub(super) const INDEXES: &[&str] =
    &["CREATE INDEX flushes_time ON flushes (flushed_at)", "CREATE INDEX flushes_xid ON flushes (xid)"];
