//! What takes how much of a database: tables and indexes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::{Store, StoreError};

/// A table, or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSize {
    /// Its name.
    pub name: String,
    /// The table that it belongs to; its own name for a table.
    pub table: String,
    /// Its rows; none for an index.
    pub rows: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The largest first.
    pub objects: Vec<StoredSize>,
    /// Bytes of a SQLite file that are free for new rows.
    pub free_bytes: u64,
}

/// Name, table, whether it is an index, bytes. A table's bytes are with what is stored beside its rows.
const POSTGRES: &str = "SELECT c.relname::text, COALESCE(t.relname, c.relname)::text, c.relkind = 'i', \
     CASE WHEN c.relkind = 'i' THEN pg_relation_size(c.oid) ELSE pg_table_size(c.oid) END \
     FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid \
     WHERE c.relkind IN ('r', 'i') AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)";

/// The same. A table that is its own index has no other page.
const SQLITE: &str = "SELECT s.name, s.tbl_name, s.type = 'index', d.pgsize \
     FROM sqlite_schema s JOIN dbstat d ON d.name = s.name AND d.aggregate = TRUE WHERE s.type IN ('table', 'index')";

impl Store {
    /// Every table and index.
    pub async fn sizes(&self, wait: Duration) -> Result<Sizes, StoreError> {
        self.run("read the sizes of tables", wait, |conn| async move {
            let tx = conn.read().begin().await?;
            let mut sizes = sizes(&tx).await?;
            sizes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
            let free = match conn.backend() {
                DbBackend::Postgres => 0,
                _ => {
                    number(&tx, "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")
                        .await?
                }
            };
            tx.rollback().await?;
            Ok(Sizes { objects: sizes, free_bytes: free })
        })
        .await
    }
}

async fn sizes(tx: &DatabaseTransaction) -> Result<Vec<StoredSize>, DbErr> {
    let backend = tx.get_database_backend();
    let sql = if backend == DbBackend::Postgres { POSTGRES } else { SQLITE };
    let mut sizes = Vec::new();
    for row in tx.query_all_raw(Statement::from_string(backend, sql)).await? {
        let (name, table, is_index): (String, String, bool) =
            (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        let rows = if is_index { None } else { Some(number(tx, &format!("SELECT COUNT(*) FROM \"{name}\"")).await?) };
        sizes.push(StoredSize { name, table, rows, bytes: row.try_get_by_index::<i64>(3)?.unsigned_abs() });
    }
    Ok(sizes)
}

/// The one number of a statement.
async fn number(tx: &DatabaseTransaction, sql: &str) -> Result<u64, DbErr> {
    let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
    let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(number.unwrap_or_default().unsigned_abs())
}
