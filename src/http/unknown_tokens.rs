//! How many unknown tokens one origin may have looked up, in requests and in logins to the dashboard.
//!
//! Only what turned out to be unknown counts, so that tokens that are merely not remembered are never held up, however many
//! of them a restart brings at once. Guaranteed: at most [`ORIGINS_MAX`] origins are remembered; those that may have a whole
//! burst again are forgotten first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::ApiError;
use super::origin::Origin;
use crate::telemetry::facts;

/// Unknown tokens at once, and the time after which there is one more.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_secs(1);

/// Most origins that are counted at a time.
const ORIGINS_MAX: usize = 10_000;

/// When each origin has its whole burst again.
#[derive(Default)]
pub(super) struct UnknownTokens {
    whole_at: Mutex<HashMap<Origin, Instant>>,
}

impl UnknownTokens {
    /// 429 if the origin has to wait for its next look-up.
    pub fn admit(&self, origin: Origin) -> Result<(), ApiError> {
        let Some(wait) = self.wait(origin, Instant::now()) else { return Ok(()) };
        facts::rate_limited();
        Err(ApiError::too_many_unknown_tokens(wait))
    }

    /// How long the origin has to wait for its next look-up; `None` if it need not.
    fn wait(&self, origin: Origin, now: Instant) -> Option<Duration> {
        let whole_at = *self.whole_at.lock().unwrap_or_else(PoisonError::into_inner).get(&origin)?;
        let free_at = whole_at.checked_sub(EVERY * (BURST - 1))?;
        free_at.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// One of its tokens was unknown.
    pub fn note(&self, origin: Origin, now: Instant) {
        let mut origins = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= ORIGINS_MAX && !origins.contains_key(&origin) {
            origins.retain(|_, whole_at| *whole_at > now);
            // Less would mean to look through all of them again soon.
            if origins.len() > ORIGINS_MAX / 2 {
                origins.clear();
            }
        }
        let whole_at = origins.entry(origin).or_insert(now);
        // What was requested at the same moment is one refusal, not a long one.
        *whole_at = ((*whole_at).max(now) + EVERY).min(now + EVERY * BURST);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn origin(number: u32) -> Origin {
        IpAddr::from(Ipv4Addr::from_bits(number)).into()
    }

    #[test]
    fn an_origin_that_has_used_its_burst_up_waits_for_one_at_a_time() {
        let (unknown, start) = (UnknownTokens::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(unknown.wait(origin(1), start), None);
            unknown.note(origin(1), start);
        }
        assert_eq!(unknown.wait(origin(1), start), Some(EVERY));
        assert_eq!(unknown.wait(origin(2), start), None, "another one's is not touched");
        for _ in 0..1_000 {
            unknown.note(origin(1), start);
        }
        assert_eq!(unknown.wait(origin(1), start), Some(EVERY), "what was under way at once makes it no longer");
        let later = start + EVERY;
        assert_eq!(unknown.wait(origin(1), later), None);
        unknown.note(origin(1), later);
        assert_eq!(unknown.wait(origin(1), later), Some(EVERY));
        assert_eq!(unknown.wait(origin(1), start + EVERY * (BURST + 1)), None);
    }

    #[test]
    fn origins_are_bounded_and_those_at_rest_are_forgotten_first() {
        let (unknown, start) = (UnknownTokens::default(), Instant::now());
        let at = |number: u32| start + EVERY * number;
        let size = || unknown.whole_at.lock().expect("no panic before").len();
        for number in 0..u32::try_from(ORIGINS_MAX).expect("a small number") {
            unknown.note(origin(number), start);
        }
        unknown.note(origin(u32::MAX), at(2));
        assert_eq!(size(), 1);
        for number in 0..50_000 {
            unknown.note(origin(number), at(2));
            assert!(size() <= ORIGINS_MAX);
        }
    }
}
