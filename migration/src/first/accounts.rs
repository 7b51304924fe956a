//! Who may do what, and who did: users, tokens, the counter of their changes, the audit log.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, flag, hash, json, long_text, maybe_bigint, serial, short, text, time};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![users(), api_tokens(), auth_changes(), audit()]
}

fn users() -> TableCreateStatement {
    Table::create()
        .table("users")
        .col(serial("id"))
        .col(text("email").not_null().unique_key())
        .col(flag("disabled"))
        .col(time("created_at").not_null())
        .take()
}

/// A session of the dashboard has the token that opened it as its parent, and ends with it.
fn api_tokens() -> TableCreateStatement {
    Table::create()
        .table("api_tokens")
        .col(serial("id"))
        .col(bigint("user_id"))
        .col(maybe_bigint("parent_id"))
        .col(text("name").not_null())
        .col(hash("hash").unique_key())
        .col(short("prefix", 16).not_null())
        .col(long_text("scopes").not_null())
        .col(time("created_at").not_null())
        .col(time("expires_at"))
        .col(time("revoked_at"))
        .col(time("last_used_at"))
        .foreign_key(ForeignKey::create().from("api_tokens", "user_id").to("users", "id"))
        .foreign_key(ForeignKey::create().from("api_tokens", "parent_id").to("api_tokens", "id"))
        .take()
}

fn auth_changes() -> TableCreateStatement {
    Table::create()
        .table("auth_changes")
        .col(bigint("id").primary_key().check(Expr::cust("id = 1")))
        .col(bigint("version"))
        .take()
}

fn audit() -> TableCreateStatement {
    Table::create()
        .table("audit")
        .col(serial("id"))
        .col(time("at").not_null())
        .col(maybe_bigint("by_user"))
        .col(maybe_bigint("by_token"))
        .col(long_text("node").not_null())
        .col(long_text("action").not_null())
        .col(long_text("object").not_null())
        .col(json("detail").not_null())
        .take()
}

/// The index of parents holds sessions only.
pub(super) const INDEXES: &[&str] = &[
    "CREATE INDEX api_tokens_user ON api_tokens (user_id)",
    "CREATE INDEX api_tokens_parent ON api_tokens (parent_id) WHERE parent_id IS NOT NULL",
    "CREATE INDEX audit_action ON audit (action, id)",
    "CREATE INDEX audit_user ON audit (by_user, id)",
];

pub(super) const ROWS: &[&str] = &["INSERT INTO auth_changes (id, version) VALUES (1, 1)"];
