//! What a session of PostgreSQL needs: settings that no role or database may change, and a server and database on which
//! "stored" is true.

use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor, Row};

use crate::config::PlantedBug;
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::options::StoreOptions;

/// Settings that our statements rely on, and a role or database may have changed.
const RELIED_ON: [(&str, &str); 3] = [
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
    ("extra_float_digits", "1"),
];

/// So that the server notices soon when this node is gone, and gives up what its sessions hold.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "15000"),
];

/// Whether the server takes writes. Limits of newer servers on whole sessions and transactions are lifted where the
/// session is our own.
const READ_ONLY: &str = "SELECT current_setting('transaction_read_only')";
const READ_ONLY_DIRECT: &str = "SELECT current_setting('transaction_read_only'), \
     (SELECT count(set_config(name, '0', false)) FROM pg_settings \
     WHERE name IN ('idle_session_timeout', 'transaction_timeout') AND setting <> '0')";

const EXAMINED: &str = "SELECT current_setting('server_encoding'), current_database(), pg_is_in_recovery()::text, \
     (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'), \
     (SELECT setting FROM pg_settings WHERE name = 'lock_timeout'), current_setting('synchronous_commit'), \
     current_setting('synchronous_standby_names'), current_setting('session_replication_role')";

/// Time-outs, in milliseconds.
fn time_outs(options: &StoreOptions) -> [(&'static str, String); 3] {
    let statement = options.statement_timeout.as_millis().to_string();
    [
        ("statement_timeout", statement.clone()),
        ("lock_timeout", options.lock_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", statement),
    ]
}

/// The start-up settings of a session without a pooler in between: they cost no round trip, and stay.
pub(super) fn settings(options: &StoreOptions) -> Vec<(&'static str, String)> {
    let mut settings = time_outs(options).to_vec();
    settings.extend(RELIED_ON.iter().chain(&KEEPALIVE).map(|(name, value)| (*name, (*value).to_owned())));
    if PlantedBug::SynchronousNormal.is_chosen() {
        settings.push(("synchronous_commit", "off".to_owned()));
    }
    settings
}

/// The beginning of each transaction where sessions are not our own: nothing of it may outlive the transaction, or
/// other clients of a pooler would get it.
pub(super) fn prelude(options: &StoreOptions, durability: &str, keeps_statements: bool) -> String {
    let mut text =
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL standard_conforming_strings = on".to_owned();
    for (name, value) in time_outs(options) {
        text.push_str(&format!("; SET LOCAL {name} = {value}"));
    }
    text.push_str(&format!("; SET LOCAL synchronous_commit = {durability}"));
    if !keeps_statements {
        // The driver names its statements from 1 on in each of its sessions, and these share those of the server.
        text.push_str("; DEALLOCATE ALL");
    }
    text
}

/// Refuses a new connection to a server that takes no writes; the text says so.
pub(super) async fn refuse_read_only(connection: &mut PgConnection, is_direct: bool) -> Result<(), sqlx::Error> {
    let sql = if is_direct { READ_ONLY_DIRECT } else { READ_ONLY };
    let row = connection.fetch_one(AssertSqlSafe(sql)).await?;
    if row.try_get::<&str, _>(0)? == "on" { Err(sqlx::Error::Configuration(TAKES_NO_WRITES.into())) } else { Ok(()) }
}

/// Why a server is the wrong one.
pub(super) const TAKES_NO_WRITES: &str =
    "the server takes no writes: it is a standby, or default_transaction_read_only is on";

/// What was found at the first connection.
pub(super) struct Examined {
    /// The level of `synchronous_commit`.
    pub durability: String,
}

/// Checks whether the server and the database can be relied on. `lock_timeout` is what the session was started with, if
/// it was: a pooler that drops it would leave every wait unbounded.
pub(super) async fn examine(
    connection: &mut PgConnection,
    lock_timeout: Option<u128>,
    key: &str,
) -> Result<Examined, StoreError> {
    let row = connection.fetch_one(AssertSqlSafe(EXAMINED)).await?;
    let found = |place: usize| row.try_get::<Option<String>, _>(place).map(Option::unwrap_or_default);
    if lock_timeout.is_some_and(|sent| found(4).is_ok_and(|kept| kept != sent.to_string())) {
        return Err(through_a_pooler(key));
    }
    refuse_encoding(&row)?;
    if found(2)? == "true" {
        return Err(StoreError::wrong_server(TAKES_NO_WRITES));
    }
    refuse_by_role(&found(3)?, &found(7)?)?;
    refuse_weak(&found(5)?, &found(6)?)?;
    Ok(Examined { durability: found(5)? })
}

/// Other encodings hold only a part of what JSON texts may hold, or do not know what they hold.
fn refuse_encoding(row: &PgRow) -> Result<(), StoreError> {
    let (encoding, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::setup(format!(
        "the database {database:?} has the encoding {encoding}, events need UTF8: make another one with \
         `createdb -E UTF8 -T template0 --locale=C.UTF-8 NAME`"
    )))
}

fn refuse_by_role(read_only_source: &str, replication_role: &str) -> Result<(), StoreError> {
    match read_only_source {
        "" => {}
        "database" | "user" | "database user" | "client" => {
            return Err(StoreError::setup(
                "default_transaction_read_only is on for this role or database, set it to off: the service writes",
            ));
        }
        // Set for the whole server, as providers do when a disk is full.
        _ => return Err(StoreError::wrong_server(TAKES_NO_WRITES)),
    }
    if replication_role != "origin" {
        return Err(StoreError::setup(format!(
            "session_replication_role is {replication_role} for this role or database, set it to origin: \
             constraints would not hold"
        )));
    }
    Ok(())
}

/// Refuses a server that does not wait for the disk at COMMIT: "accepted" would not mean durable.
fn refuse_weak(level: &str, standbys: &str) -> Result<(), StoreError> {
    let too_weak = level == "off" || (level == "local" && !standbys.is_empty());
    if too_weak && !PlantedBug::SynchronousNormal.is_chosen() {
        return Err(StoreError::setup(format!(
            "the server has synchronous_commit = {level}: a crash would lose acknowledged events, \
             set it to on for this role or database"
        )));
    }
    Ok(())
}

/// A pooler where sessions of our own are needed.
pub(super) fn through_a_pooler(key: &str) -> StoreError {
    StoreError::setup(format!(
        "{key} leads through a pooler, which keeps no settings of a session: let database.direct_url lead to PostgreSQL \
         itself, for locks, heartbeats and notifications"
    ))
}

/// Whether statements that the driver has named can be used again: the pooler gives them names of its own then.
pub(super) async fn keeps_statements(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT name FROM pg_prepared_statements%'";
    let mut tx = connection.begin().await?;
    match sqlx::query_scalar::<_, String>(sql).fetch_one(&mut *tx).await.map_err(StoreError::from) {
        Ok(name) => Ok(tx.rollback().await.map(|()| !name.starts_with("sqlx_s_"))?),
        // Another session of the pooler has used the name.
        Err(error) if error.kind == StoreErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
