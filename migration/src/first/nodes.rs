//! The nodes and what they share: heartbeats, snapshots, spent ids, the database's identity.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use super::columns::{bigint, long_text, short, text, time, total, uuid};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![nodes(), snapshots(), id_blocks(), meta()]
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
        .col(total("claims"))
        .col(total("spool_events"))
        .col(total("spool_bytes"))
        .col(total("control_generation"))
        .take()
}

/// A table of its own: writing a snapshot locks no row that a heartbeat needs, and the list of nodes reads none.
fn snapshots() -> TableCreateStatement {
    Table::create()
        .table("snapshots")
        .col(uuid("boot_id").not_null().primary_key())
        .col(long_text("line").not_null())
        .col(time("told_at").not_null())
        .foreign_key(
            ForeignKey::create()
                .from("snapshots", "boot_id")
                .to("nodes", "boot_id")
                .on_delete(ForeignKeyAction::Cascade),
        )
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

fn meta() -> TableCreateStatement {
    Table::create()
        .table("meta")
        .col(short("key", 64).not_null().primary_key())
        .col(long_text("value").not_null())
        .take()
}

pub(super) const INDEXES: &[&str] =
    &["CREATE INDEX nodes_folder ON nodes (folder)", "CREATE UNIQUE INDEX id_blocks_last ON id_blocks (last_id)"];

/// The identity, a random uuid.
pub(super) fn rows(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &["INSERT INTO meta (key, value) VALUES ('identity', gen_random_uuid()::text)"],
        // Version and variant bits are set by hand: SQLite makes bytes, not uuids.
        _ => &["INSERT INTO meta (key, value) SELECT 'identity', substr(h, 1, 8) || '-' || substr(h, 9, 4) || \
                '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21, 12) \
                FROM (SELECT lower(hex(randomblob(16))) AS h)"],
    }
}
