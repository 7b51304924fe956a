//! What the nodes did: flushes, spent ids, heartbeats, and the database's identity.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, json, short, text, time, uuid};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![flushes(), flush_minutes(), id_blocks(), nodes(), meta()]
}

fn flushes() -> TableCreateStatement {
    Table::create()
        .table("flushes")
        .col(uuid("boot_id").not_null())
        .col(bigint("seq"))
        .col(text("node").not_null())
        .col(ColumnDef::new("xid").big_integer())
        .col(json("event_ids").not_null())
        .col(json("counts").not_null())
        .col(bigint("gathered_us"))
        .col(bigint("wrote_us"))
        .col(time("flushed_at").not_null())
        .primary_key(Index::create().col("boot_id").col("seq"))
        .take()
}

fn flush_minutes() -> TableCreateStatement {
    Table::create()
        .table("flush_minutes")
        .col(time("minute").not_null())
        .col(text("node").not_null())
        .col(json("counts").not_null())
        .col(bigint("flushes"))
        .col(bigint("events"))
        .primary_key(Index::create().col("minute").col("node"))
        .take()
}

fn id_blocks() -> TableCreateStatement {
    Table::create()
        .table("id_blocks")
        .col(bigint("first_id").primary_key())
        .col(bigint("last_id").check(Expr::cust("last_id >= first_id")))
        .col(uuid("boot_id").not_null())
        .col(time("reserved_at").not_null())
        .take()
}

fn nodes() -> TableCreateStatement {
    Table::create()
        .table("nodes")
        .col(uuid("boot_id").not_null().primary_key())
        .col(text("name").not_null())
        .col(uuid("folder").not_null())
        .col(time("started_at").not_null())
        .col(bigint("heartbeat"))
        .col(time("heartbeat_at").not_null())
        .col(time("stopped_at"))
        .take()
}

fn meta() -> TableCreateStatement {
    Table::create()
        .table("meta")
        .col(short("key", 64).not_null().primary_key())
        .col(ColumnDef::new("value").text().not_null())
        .take()
}
