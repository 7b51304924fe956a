//! How many unknown tokens one origin may have looked up, in requests and in logins to the dashboard.
//!
//! Only what turned out to be unknown counts, so that tokens that are merely not remembered are never held up, however many
//! of them a restart brings at once. Guaranteed: at most [`ORIGINS_MAX`] origins are remembered. Not guaranteed: that one is
//! still counted after half as many others have sent their first unknown token.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::unsync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};

use super::credentials::Origin;
use super::error::ApiError;
use crate::telemetry::facts;

/// Unknown tokens at once, and the time after which there is one more.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_secs(1);

/// Most origins that are counted at a time.
const ORIGINS_MAX: usize = 10_000;

/// The part of them that is for origins seen several times.
const KEPT_FOR_FREQUENT: f64 = 0.5;

/// When each origin has its whole burst again.
pub(super) struct UnknownTokens {
    whole_at: Mutex<Cache<Origin, Instant>>,
}

impl Default for UnknownTokens {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(ORIGINS_MAX)
            .weight_capacity(ORIGINS_MAX as u64)
            .hot_allocation(KEPT_FOR_FREQUENT)
            .build()
            .expect("both sizes are given");
        let hasher = DefaultHashBuilder::default();
        let whole_at = Cache::with_options(options, UnitWeighter, hasher, DefaultLifecycle::default());
        Self { whole_at: Mutex::new(whole_at) }
    }
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
        let whole_at = origins.get(&origin).copied().unwrap_or(now).max(now);
        // What was requested at the same moment is one refusal, not a long one.
        origins.insert(origin, (whole_at + EVERY).min(now + EVERY * BURST));
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
        let unknown = UnknownTokens::default();
        let start = Instant::now();
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
    fn origins_are_bounded_and_one_that_keeps_coming_stays_counted() {
        let unknown = UnknownTokens::default();
        let start = Instant::now();
        for number in 0..50_000 {
            if number % 1_000 == 0 {
                unknown.note(origin(u32::MAX), start);
            }
            unknown.note(origin(number), start);
        }
        assert!(unknown.whole_at.lock().expect("no panic before").len() <= ORIGINS_MAX);
        assert_eq!(unknown.wait(origin(u32::MAX), start), Some(EVERY));
    }
}
