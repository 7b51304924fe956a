//! Waiting for a fact. The only place in the tests that pauses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pause between two looks at a fact: short beside every wait, long beside the look itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How soon a resting thread sees that it is to stop.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// How long tests wait for something that should take well under a second.
pub const SOON: Duration = Duration::from_secs(30);

/// Looks until `fact` gives a value; panics with `what` and `state` when `deadline` is over first.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    fact: impl FnMut() -> Option<T>,
    state: impl FnOnce() -> String,
) -> T {
    match within(deadline, fact) {
        Some(value) => value,
        None => panic!("waited {deadline:?} in vain for {what}\n{}", state()),
    }
}

/// Looks until `fact` gives a value; `None` when `limit` is over first.
pub fn within<T>(limit: Duration, mut fact: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = fact() {
            return Some(value);
        }
        if began.elapsed() >= limit {
            return None;
        }
        // A process, a file or a database outside of this one cannot wake us: we have to look again.
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Rests until `due`, but not much longer than until `stop` is set.
pub fn rest_until(due: Instant, stop: &AtomicBool) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(left.min(STOP_SEEN_WITHIN));
    }
}

/// Rests for this long: how long a fault lasts is no fact that could be waited for.
pub fn rest(length: Duration) {
    std::thread::sleep(length);
}
