//! Kinds of columns, so that the tables read as lists.

use sea_orm_migration::prelude::*;

/// Longest name, key or error text that is stored, in characters.
pub(super) const CHARS_MAX: u32 = 255;

/// A bigint that takes no null.
pub(super) fn bigint(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A bigint primary key that the database counts up.
pub(super) fn serial(name: &'static str) -> ColumnDef {
    bigint(name).primary_key().auto_increment().take()
}

/// A bigint that may be null: the id of another row, or a number that is not always there.
pub(super) fn maybe_bigint(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// A count that starts at zero.
pub(super) fn count(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().default(0).take()
}

/// A count that starts at zero and adds up over many events.
pub(super) fn total(name: &'static str) -> ColumnDef {
    bigint(name).default(0).take()
}

/// A boolean that starts as false.
pub(super) fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().default(false).take()
}

/// Text of at most `chars` characters, by PostgreSQL's own check only.
pub(super) fn string(name: &'static str, chars: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(chars).take()
}

/// Text of at most `chars` characters. The check is for SQLite, which ignores the length of a varchar.
pub(super) fn short(name: &'static str, chars: u32) -> ColumnDef {
    string(name, chars).check(Expr::cust(format!("length({name}) <= {chars}"))).take()
}

/// Text of at most 255 characters.
pub(super) fn text(name: &'static str) -> ColumnDef {
    short(name, CHARS_MAX)
}

/// Text of any length.
pub(super) fn long_text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().take()
}

/// A time with its zone.
pub(super) fn time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().take()
}

/// JSON: jsonb on PostgreSQL, text on SQLite.
pub(super) fn json(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).json_binary().take()
}

/// A uuid: 16 bytes on SQLite.
pub(super) fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().take()
}

/// A SHA-256.
pub(super) fn hash(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().check(Expr::cust(format!("length({name}) = 32"))).take()
}
