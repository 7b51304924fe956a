//! Who had events processed anew or called off, one by one or by jobs.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, flag, json, long_text, maybe_bigint, serial, time, total};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![replays(), jobs()]
}

fn replays() -> TableCreateStatement {
    Table::create()
        .table("replays")
        .col(bigint("event_id"))
        .col(ColumnDef::new("generation").integer().not_null())
        .col(long_text("action").not_null())
        .col(bigint("by_user"))
        .col(maybe_bigint("job_id"))
        .col(time("at").not_null())
        .col(flag("patched"))
        .col(json("payload_before"))
        .take()
}

fn jobs() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("jobs")
        .col(serial("id"))
        .col(long_text("kind").not_null().check(Expr::cust("kind IN ('retry', 'cancel')")))
        .col(long_text("status").not_null().check(Expr::cust("status IN ('running', 'done', 'failed', 'cancelled')")))
        .col(bigint("by_user"));
    filter(&mut table);
    progress(&mut table);
    table.col(time("created_at").not_null()).col(time("updated_at").not_null()).col(time("finished_at")).take()
}

/// The patch is a text: jsonb would change it.
fn filter(table: &mut TableCreateStatement) {
    table
        .col(long_text("of_status"))
        .col(long_text("of_event_name"))
        .col(long_text("of_event_type"))
        .col(maybe_bigint("of_user"))
        .col(long_text("of_error_code"))
        .col(time("received_after"))
        .col(time("received_before"))
        .col(long_text("patch"))
        .col(ColumnDef::new("forced").boolean().not_null());
}

fn progress(table: &mut TableCreateStatement) {
    table
        .col(bigint("until_id"))
        .col(time("cursor_at"))
        .col(maybe_bigint("cursor_id"))
        .col(total("matched"))
        .col(total("changed"))
        .col(total("skipped"))
        .col(long_text("refused").not_null().default("{}"))
        .col(long_text("error"));
}

pub(super) const INDEXES: &[&str] = &[
    "CREATE INDEX replays_event ON replays (event_id)",
    "CREATE INDEX jobs_running ON jobs (updated_at) WHERE status = 'running'",
    "CREATE INDEX jobs_user ON jobs (by_user, id)",
];
