//! The removal of old rows: which node is at it, and how far it has come.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, long_text, maybe_bigint, time, total, uuid};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![retention(), retention_walks()]
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

pub(super) const ROWS: &[&str] = &["INSERT INTO retention (id) VALUES (1)"];
