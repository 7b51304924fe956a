//! The events of the database that this node has claimed and not settled yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The table of claims in memory; compared with the database to find leases without work behind them.
#[derive(Default)]
pub(super) struct HeldLeases {
    table: Mutex<LeaseTable>,
}

#[derive(Default)]
struct LeaseTable {
    held: HashMap<i64, HeldLease>,
    bytes: usize,
    /// The Claimer waits until no more than these are held, with no more than these bytes.
    awaited: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
struct HeldLease {
    token: Uuid,
    suspect: bool,
    bytes: usize,
}

impl LeaseTable {
    fn holds_at_most(&self, (count, bytes): (usize, usize)) -> bool {
        self.held.len() <= count && self.bytes <= bytes
    }
}

impl HeldLeases {
    pub fn hold(&self, event_id: i64, token: Uuid, suspect: bool, bytes: usize) {
        let mut table = self.table();
        table.bytes += bytes;
        if let Some(older) = table.held.insert(event_id, HeldLease { token, suspect, bytes }) {
            table.bytes -= older.bytes;
        }
    }

    /// Ends the claim, unless a newer one took its place; returns whether the Claimer waits for that: the event was a
    /// suspect, or there is now the room that it requested.
    pub fn end(&self, event_id: i64, token: Uuid) -> bool {
        let mut table = self.table();
        let is_this = table.held.get(&event_id).is_some_and(|claim| claim.token == token);
        if !is_this {
            return false;
        }
        let ended = table.held.remove(&event_id);
        table.bytes -= ended.map_or(0, |claim| claim.bytes);
        let was_suspect = ended.is_some_and(|claim| claim.suspect);
        let is_less = table.awaited.is_some_and(|awaited| table.holds_at_most(awaited));
        was_suspect | table.awaited.take_if(|_| is_less).is_some()
    }

    /// Whether at most `count` are held, with at most `bytes`; if not, the end of the claim that makes it so says so.
    pub fn await_at_most(&self, count: usize, bytes: usize) -> bool {
        let mut table = self.table();
        let is_so = table.holds_at_most((count, bytes));
        table.awaited = (!is_so).then_some((count, bytes));
        is_so
    }

    pub fn event_ids(&self) -> Vec<i64> {
        self.table().held.keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.table().held.len()
    }

    /// Bytes of the payloads of all claimed events.
    pub fn bytes(&self) -> usize {
        self.table().bytes
    }

    /// Suspects run one at a time.
    pub fn has_suspect(&self) -> bool {
        self.table().held.values().any(|claim| claim.suspect)
    }

    fn table(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_suspect_or_of_the_last_claim_too_many_is_reported() {
        let claims = HeldLeases::default();
        let token = Uuid::from_u128(1);
        (1..=4).for_each(|id| claims.hold(id, token, id == 4, 10));
        assert!(!claims.await_at_most(4, 20), "too many bytes");
        assert!(!claims.await_at_most(2, 40), "too many");
        assert!(!claims.end(1, Uuid::from_u128(2)), "another claim's token");
        assert_eq!([1, 2, 3, 4].map(|id| claims.end(id, token)), [false, true, false, true]);
        assert!(claims.await_at_most(2, 10), "there is room already");
    }
}
