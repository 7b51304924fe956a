//! Which partitions of `events` a store knows to exist.

use std::sync::atomic::{AtomicI64, Ordering};

/// What a store knows of the partitions.
#[derive(Debug)]
pub(in crate::store) struct Partitions {
    /// Number of the last one that is known to exist, -1 at first.
    last: AtomicI64,
    /// Number of the last one that is needed.
    pub needed: AtomicI64,
    /// Held while one is made ahead.
    pub ahead: tokio::sync::Mutex<()>,
}

impl Default for Partitions {
    fn default() -> Self {
        Self { last: AtomicI64::new(-1), needed: AtomicI64::new(-1), ahead: tokio::sync::Mutex::default() }
    }
}

impl Partitions {
    pub fn has(&self, number: i64) -> bool {
        self.last.load(Ordering::Relaxed) >= number
    }

    pub fn note(&self, number: i64) {
        self.last.fetch_max(number, Ordering::Relaxed);
    }
}
