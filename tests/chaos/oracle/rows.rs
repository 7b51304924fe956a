//! The rows of a load's events, all read at once.

use crate::support::database::Database;

/// One row of `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: i64,
    /// What the load calls the event: the page of its payload, or its key where a row is kept without its payload.
    pub mark: String,
    /// Its state.
    pub status: String,
    /// Attempts charged.
    pub attempts: u32,
    /// How often an operator replayed it.
    pub generation: u32,
    /// Whether somebody claims it.
    pub is_held: bool,
    /// Whether it was processed before it was received.
    pub is_reversed: bool,
    /// When it was processed, as the database writes it.
    pub processed_at: String,
    /// The node that wrote the state.
    pub node: String,
}

impl Row {
    /// Whether its state is final.
    pub fn is_final(&self) -> bool {
        self.status != "pending"
    }
}

const SQL: &str = "SELECT CAST(id AS TEXT) || '|' || \
                   COALESCE(SUBSTR(COALESCE(payload, properties -> 'original') ->> 'page', 2), event_uid, '') || '|' || \
                   status || '|' || CAST(attempts AS TEXT) || '|' || CAST(generation AS TEXT) || '|' || \
                   CASE WHEN lease_boot IS NULL THEN '' ELSE 'held' END || '|' || \
                   CASE WHEN processed_at < received_at THEN 'reversed' ELSE '' END || '|' || \
                   COALESCE(CAST(processed_at AS TEXT), '') || '|' || COALESCE(node, '') FROM events ORDER BY id";

/// Reads the rows of all events that a load posted.
pub fn read(database: &Database) -> Vec<Row> {
    let rows = database.texts(SQL);
    let rows = rows.iter().map(|text| row(text).unwrap_or_else(|| panic!("not a row: {text:?}")));
    rows.filter(|row| row.mark.starts_with("load-")).collect()
}

fn row(text: &str) -> Option<Row> {
    let mut parts = text.split('|');
    let mut next = || parts.next();
    Some(Row {
        id: next()?.parse().ok()?,
        mark: next()?.to_owned(),
        status: next()?.to_owned(),
        attempts: next()?.parse().ok()?,
        generation: next()?.parse().ok()?,
        is_held: next()? == "held",
        is_reversed: next()? == "reversed",
        processed_at: next()?.to_owned(),
        node: next()?.to_owned(),
    })
}
