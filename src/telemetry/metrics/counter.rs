//! A figure that only grows.

use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Exposition, Labels};
use super::family::Cell;

/// A counter, on a cache line of its own: the ones beside it are counted on other threads.
#[derive(Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `more`.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// What was counted so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Cell for Counter {
    const KIND: &'static str = "counter";

    fn write(&self, page: &mut Exposition, name: &str, labels: Labels<'_>) {
        page.sample(name, "", labels, self.read());
    }
}
