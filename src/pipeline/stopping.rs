//! How far the node has come on its way down: the one answer for all who ask.

use std::sync::atomic::{AtomicU8, Ordering};

/// Last requests are still taken, but nothing waits any longer for a stage that is paused.
const BEGUN: u8 = 1;

/// Nothing new is taken and nothing claimed: the node is about to report that it has stopped, and what it claimed then
/// would be taken over and charged.
const CLOSED: u8 = 2;

/// How far the node has come on its way down; it never comes back.
#[derive(Debug, Default)]
pub struct Stopping(AtomicU8);

impl Stopping {
    /// The node has been told to stop.
    pub fn begin(&self) {
        self.0.fetch_max(BEGUN, Ordering::Release);
    }

    /// Last requests are over.
    pub(super) fn close(&self) {
        self.0.fetch_max(CLOSED, Ordering::Release);
    }

    /// Whether the node has been told to stop.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) >= BEGUN
    }

    /// Whether it takes and claims nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) >= CLOSED
    }
}
