//! What the spool's statements share.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

/// Numbers are never used again: a removal that is repeated must not meet a younger unit.
pub(super) async fn next_number(tx: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let row = tx.query_one_raw(statement("SELECT seq FROM sqlite_sequence WHERE name = 'units'", [])).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))? + 1)
}

pub(super) fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
