//! The first write of many new events on PostgreSQL: COPY, which puts rows into a page together and logs them together,
//! where an INSERT does each row by itself. It takes a transaction of several steps, so it pays for many rows only.

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Utc};
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::PgCopyIn;
use sea_orm::sqlx::{AssertSqlSafe, Connection, Executor, Postgres, query_with};
use sea_orm::{DatabaseBackend, DbErr, RuntimeErr, Value, Values};
use sea_query_sqlx::SqlxValues;

use super::super::StoreError;
use super::super::open::Conn;
use super::commit_gate::CommitGate;
use super::counts;
use super::record::{FlushHeader, Record};

/// As many rows as COPY is worth its steps for.
pub(super) const ROWS_MIN: usize = 64;

const COPY: &str = "COPY events (id, task_id, user_id, event_name, event_type, event_uid, trace_context, timestamp, \
                    received_at, properties, processed_at, started_at, finished_at, status, attempts, node) \
                    FROM STDIN (FORMAT binary)";
const FIELDS: i16 = 16;

/// The head of PostgreSQL's binary format, without flags and extensions.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The number of fields that stands for the end.
const END: i16 = -1;

/// 1 January 2000 in microseconds since 1970: where PostgreSQL's times begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Stands before the text of JSON.
const JSONB_VERSION: u8 = 1;

/// Writes `records` and the row of their flush; `false` if one of them was left out, and then nothing is written.
pub(super) async fn write(
    conn: &Conn,
    records: &[Record],
    header: &FlushHeader,
    flush: Vec<Value>,
    gate: &CommitGate,
) -> Result<bool, StoreError> {
    let pool = conn.write().pool().get_postgres_connection_pool();
    let mut connection: PoolConnection<Postgres> = pool.acquire().await?;
    let before = |error: sea_orm::sqlx::Error| StoreError::from(error).before_commit();
    let mut tx = connection.begin().await.map_err(before)?;
    if let Some(prelude) = conn.write().prelude() {
        tx.execute(AssertSqlSafe(prelude)).await.map_err(before)?;
    }
    let mut copy: PgCopyIn<_> = tx.copy_in_raw(COPY).await.map_err(before)?;
    copy.send(rows(records, &header.node)).await.map_err(before)?;
    if copy.finish().await.map_err(before)? != records.len() as u64 {
        tx.rollback().await.map_err(before)?;
        return Ok(false);
    }
    let sql = counts::insert_sql(DatabaseBackend::Postgres, 1, "TRUE");
    query_with(AssertSqlSafe(sql), SqlxValues(Values(flush))).execute(&mut *tx).await.map_err(before)?;
    if let Err(error) = gate.pass(conn) {
        // The error of the rollback says less.
        let _ = tx.rollback().await;
        return Err(error);
    }
    tx.commit()
        .await
        .map_err(|error| StoreError::of_commit(DbErr::Query(RuntimeErr::SqlxError(error.into()))))
        .map(|()| true)
}

fn rows(records: &[Record], node: &str) -> BytesMut {
    let mut rows = Rows(BytesMut::with_capacity(HEAD.len() + records.iter().map(bytes_of).sum::<usize>()));
    rows.0.put_slice(HEAD);
    records.iter().for_each(|record| rows.row(record, node));
    rows.0.put_i16(END);
    rows.0
}

/// What a row takes, about.
fn bytes_of(record: &Record) -> usize {
    256 + record.outcome.properties.as_ref().map_or(0, String::len)
}

/// Rows in the binary format of COPY: <https://www.postgresql.org/docs/current/sql-copy.html>.
struct Rows(BytesMut);

impl Rows {
    /// The row of a plain record.
    fn row(&mut self, record: &Record, node: &str) {
        let Record { event, outcome, .. } = record;
        let submission = &event.submission;
        self.0.put_i16(FIELDS);
        self.bigint(event.id);
        self.field(event.task_id.as_bytes());
        self.bigint(event.user_id);
        self.text(submission.event_name.as_deref());
        self.text(submission.event_type.as_deref());
        self.text(submission.event_uid.as_deref());
        self.text(record.trace().as_deref());
        self.time(submission.timestamp);
        self.time(Some(event.received_at));
        self.json(outcome.properties.as_deref());
        self.time(outcome.processed_at);
        self.time(Some(record.started_at));
        self.time(record.final_at());
        self.text(Some(outcome.status.as_str()));
        self.field(&outcome.attempts.to_be_bytes());
        self.text(Some(node));
    }

    fn field(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.put_slice(bytes);
    }

    /// A length beyond 2 GB is refused by the database, as is the text that has it.
    fn length(&mut self, bytes: usize) {
        self.0.put_i32(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    fn null(&mut self) {
        self.0.put_i32(-1);
    }

    fn bigint(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    /// Empty texts are NULL, as in every other write.
    fn text(&mut self, text: Option<&str>) {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => self.field(text.as_bytes()),
            None => self.null(),
        }
    }

    fn json(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.null() };
        self.length(1 + text.len());
        self.0.put_u8(JSONB_VERSION);
        self.0.put_slice(text.as_bytes());
    }

    fn time(&mut self, time: Option<DateTime<Utc>>) {
        match time {
            Some(time) => self.bigint(time.timestamp_micros() - EPOCH_MICROS),
            None => self.null(),
        }
    }
}
