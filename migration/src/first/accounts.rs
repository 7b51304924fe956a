//! Who may do what: users, tokens, and the counter of their changes.

use sea_orm_migration::prelude::*;

use super::columns::{bigint, flag, hash, serial, short, text, time};

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![users(), api_tokens(), auth_changes()]
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

fn api_tokens() -> TableCreateStatement {
    Table::create()
        .table("api_tokens")
        .col(serial("id"))
        .col(bigint("user_id"))
        .col(text("name").not_null())
        .col(hash("hash").unique_key())
        .col(short("prefix", 16).not_null())
        .col(ColumnDef::new("scopes").text().not_null())
        .col(time("created_at").not_null())
        .col(time("expires_at"))
        .col(time("revoked_at"))
        .col(time("last_used_at"))
        .foreign_key(ForeignKey::create().from("api_tokens", "user_id").to("users", "id"))
        .take()
}

fn auth_changes() -> TableCreateStatement {
    Table::create()
        .table("auth_changes")
        .col(bigint("id").primary_key().check(Expr::cust("id = 1")))
        .col(bigint("version"))
        .take()
}
