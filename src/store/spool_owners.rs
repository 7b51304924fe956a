//! Whose spool may hold an event that is not in the database.

use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::dialect::{micros_ago, now_plus_micros_sql};
use super::error::StoreError;
use super::open::Store;

/// A living node reports at least this often what is in its spool.
const SILENCE: Duration = Duration::from_secs(3);

/// A boot whose folder may have a spool, as it last reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOwner {
    /// The boot.
    pub boot_id: Uuid,
    /// Grows while it lives.
    pub heartbeat: i64,
    /// Whether there were events in the spool.
    pub has_events: bool,
    /// Whether a living node would have sent a heartbeat since.
    pub is_silent: bool,
}

impl SpoolOwner {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            boot_id: row.try_get_by_index(0)?,
            heartbeat: row.try_get_by_index(1)?,
            has_events: row.try_get_by_index(2)?,
            is_silent: row.try_get_by_index(3)?,
        })
    }
}

impl Store {
    /// The boots that may have the event `id` in a spool, if it is not in the database: those of the folder whose node
    /// was given the id, other than `asker`, that are not known to have stopped, or reported events in the spool. None
    /// on SQLite, which has one node and no spool.
    pub async fn spools_for(&self, id: i64, asker: Uuid, wait: Duration) -> Result<Vec<SpoolOwner>, StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(Vec::new());
        }
        self.run("look for a spool", wait, move |conn| async move {
            let silent_since = now_plus_micros_sql(conn.backend(), "$3");
            let sql = format!(
                "SELECT heir.boot_id, heir.heartbeat, heir.spool_events > 0, heir.heartbeat_at < {silent_since} \
                 FROM id_blocks JOIN nodes AS giver USING (boot_id) JOIN nodes AS heir USING (folder) \
                 WHERE first_id = (SELECT MAX(first_id) FROM id_blocks WHERE first_id <= $1) AND last_id >= $1 \
                 AND heir.boot_id <> $2 AND (heir.spool_events > 0 OR heir.stopped_at IS NULL)"
            );
            let values: [Value; 3] = [id.into(), asker.into(), micros_ago(SILENCE)];
            let statement = Statement::from_sql_and_values(conn.backend(), sql, values);
            let rows = conn.read().query_all_raw(statement).await?;
            Ok(rows.iter().map(SpoolOwner::read).collect::<Result<_, _>>()?)
        })
        .await
    }
}
