//! The removal of old rows: which node is at it, how far it has come, and which files hold what was removed.

use sea_orm_migration::prelude::*;

use super::columns::{CHARS_MAX, bigint, long_text, maybe_bigint, string, time, total, uuid};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![retention(), retention_walks(), archive_files()]
}

/// One row. `removed` is what the run under way has removed, `removed_total` what all together have: JSON objects from
/// what it was to a number.
fn retention() -> TableCreateStatement {
    Table::create()
        .table("retention")
        .col(bigint("id").primary_key().check(Expr::cust("id = 1")))
        .col(uuid("holder"))
        .col(time("held_until"))
        .col(time("began_at"))
        .col(time("ended_at"))
        .col(long_text("removed").not_null().default("{}"))
        .col(long_text("removed_total").not_null().default("{}"))
        .take()
}

/// A row for each walk along the ids.
fn retention_walks() -> TableCreateStatement {
    Table::create()
        .table("retention_walks")
        .col(long_text("name").not_null().primary_key())
        .col(long_text("rule").not_null())
        .col(time("began_at").not_null())
        .col(total("cursor_id"))
        .col(maybe_bigint("bound_id"))
        .col(total("checked_id"))
        .col(long_text("checked").not_null().default("{}"))
        .take()
}

/// A row for each file of the archive: how much of it is true.
fn archive_files() -> TableCreateStatement {
    Table::create()
        .table("archive_files")
        .col(long_text("path").not_null().primary_key())
        .col(string("day", 10).not_null())
        .col(string("holds", 16).not_null())
        .col(string("event_type", CHARS_MAX))
        .col(total("rows"))
        .col(total("bytes"))
        .col(string("checksum", 64).not_null())
        .col(total("restored"))
        .col(time("written_at").not_null())
        .take()
}

pub(super) const ROWS: &[&str] = &["INSERT INTO retention (id) VALUES (1)"];
