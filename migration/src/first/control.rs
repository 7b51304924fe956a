//! What operators want of the pipeline: sizes of pools, what is paused, what is to be replaced.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, flag, long_text, maybe_bigint, time, total};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![controls(), control_changes()]
}

/// A row for each thing whose control was ever changed.
fn controls() -> TableCreateStatement {
    Table::create()
        .table("controls")
        .col(long_text("target").not_null().primary_key())
        .col(ColumnDef::new("size").integer().check(Expr::cust("size BETWEEN 1 AND 64")))
        .col(maybe_bigint("size_by"))
        .col(time("size_at"))
        .col(flag("paused"))
        .col(maybe_bigint("paused_by"))
        .col(time("paused_at"))
        .col(total("restarts"))
        .take()
}

/// The counter of their changes: one row.
fn control_changes() -> TableCreateStatement {
    Table::create()
        .table("control_changes")
        .col(bigint("id").primary_key().check(Expr::cust("id = 1")))
        .col(bigint("generation"))
        .take()
}

pub(super) const ROWS: &[&str] = &["INSERT INTO control_changes (id, generation) VALUES (1, 0)"];
