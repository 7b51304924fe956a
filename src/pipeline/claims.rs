//! The events of the database that this node has claimed and not settled yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The table of claims in memory; compared with the database to find leases without work behind them.
#[derive(Default)]
pub(super) struct Claims {
    held: Mutex<HashMap<i64, Claim>>,
}

#[derive(Clone, Copy)]
struct Claim {
    token: Uuid,
    suspect: bool,
}

impl Claims {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn hold(&self, event_id: i64, token: Uuid, suspect: bool) {
        self.table().insert(event_id, Claim { token, suspect });
    }

    /// Ends the claim, unless a newer one took its place; says whether its event was a suspect.
    pub fn end(&self, event_id: i64, token: Uuid) -> bool {
        let mut table = self.table();
        let is_this = table.get(&event_id).is_some_and(|claim| claim.token == token);
        is_this && table.remove(&event_id).is_some_and(|claim| claim.suspect)
    }

    pub fn event_ids(&self) -> Vec<i64> {
        self.table().keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Suspects run one at a time.
    pub fn has_suspect(&self) -> bool {
        self.table().values().any(|claim| claim.suspect)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<i64, Claim>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
