//! How many requests a token may send: a bucket per token, by the crate `governor`, which only this file knows.
//!
//! Each node has buckets of its own, in memory: a token that spreads its requests over two nodes has twice the rate.
//! Guaranteed: at most [`TOKENS_MAX`] buckets. To stay within it, full buckets are dropped first, which nobody can
//! notice; if that is not enough, all of them are, and every token has its whole burst again.

use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::respond::header_value;
use crate::config::LimitsConfig;

/// Most tokens that are counted at a time, about 4 MB.
const TOKENS_MAX: usize = 100_000;

/// `RateLimit` and its policy, as the IETF's draft has them (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Buckets = RateLimiter<i64, HashMapStateStore<i64>, MonotonicClock, StateInformationMiddleware>;

/// The rate of every token.
pub struct Rate {
    quota: Quota,
    policy: HeaderValue,
    buckets: RwLock<Buckets>,
    tokens_max: usize,
}

/// How a token stands after a request, for the headers of the answer.
#[derive(Clone, Debug)]
pub struct Standing {
    policy: HeaderValue,
    remaining: u32,
    reset_seconds: u64,
}

/// Whether a request may pass.
pub struct RateDecision {
    /// How the token stands now.
    pub standing: Standing,
    /// How long to wait, if it may not.
    pub wait: Option<Duration>,
}

impl Rate {
    /// The rate that `limits` set; `None` if there is no limit.
    pub fn new(limits: &LimitsConfig) -> Option<Self> {
        let per_second = NonZeroU32::new(limits.requests_per_second)?;
        let quota = Quota::per_second(per_second).allow_burst(burst(limits, per_second));
        let policy = policy(per_second, quota.burst_size());
        Some(Self { quota, policy, buckets: RwLock::new(buckets(quota)), tokens_max: TOKENS_MAX })
    }

    /// Requests at once.
    pub fn burst(&self) -> u32 {
        self.quota.burst_size().get()
    }

    /// Takes one request out of the token's bucket.
    pub fn take(&self, token_id: i64) -> RateDecision {
        self.make_room();
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        let (remaining, wait) = match buckets.check_key(&token_id) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refusal) => (0, Some(refusal.wait_time_from(buckets.clock().now()))),
        };
        // The draft wants no Retry-After that is earlier than the reset, so a refusal names the next request's turn.
        let until_full = self.quota.replenish_interval() * self.burst().saturating_sub(remaining);
        let reset_seconds = seconds_up(wait.unwrap_or(until_full));
        RateDecision { standing: Standing { policy: self.policy.clone(), remaining, reset_seconds }, wait }
    }

    fn make_room(&self) {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() < self.tokens_max {
            return;
        }
        buckets.retain_recent();
        // Less would mean to look through all of them again soon.
        if buckets.len() > self.tokens_max / 2 {
            drop(buckets);
            *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = self::buckets(self.quota);
        }
    }
}

impl Standing {
    /// Writes the headers of an answer.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let standing = format!("\"requests\";r={};t={}", self.remaining, self.reset_seconds);
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        headers.insert(RATE_LIMIT, header_value(standing));
    }
}

fn burst(limits: &LimitsConfig, per_second: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(limits.requests_burst).unwrap_or(per_second)
}

/// The header says a quota per window: the least whole seconds that a burst takes to come back, at the exact rate.
fn policy(per_second: NonZeroU32, burst: NonZeroU32) -> HeaderValue {
    let window = u64::from(burst.get().div_ceil(per_second.get()));
    header_value(format!("\"requests\";q={};w={window}", u64::from(per_second.get()) * window))
}

fn buckets(quota: Quota) -> Buckets {
    RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock)
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let text = format!("limits.requests_per_second = {per_second}\nlimits.requests_burst = {burst}");
        Rate::new(&Config::from_toml(&text).expect("allowed").limits)
    }

    fn headers(taken: &RateDecision) -> [String; 2] {
        let mut headers = HeaderMap::new();
        taken.standing.write_headers(&mut headers);
        [RATE_LIMIT_POLICY, RATE_LIMIT]
            .map(|name| headers.get(name).expect("told").to_str().expect("visible ASCII").to_owned())
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        assert!(rate(0, 0).is_none() && rate(0, 7).is_none());
        assert!(Rate::new(&Config::defaults().limits).is_none(), "off by default");
    }

    #[test]
    fn a_burst_is_spent_and_another_tokens_is_not_touched() {
        let rate = rate(1, 3).expect("a limit");
        for remaining in [2, 1, 0] {
            let taken = rate.take(1);
            assert!(taken.wait.is_none());
            let standing = format!("\"requests\";r={remaining};t={}", 3 - remaining);
            assert_eq!(headers(&taken), ["\"requests\";q=3;w=3".to_owned(), standing]);
        }
        let refused = rate.take(1);
        let wait = refused.wait.expect("the bucket is empty");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(headers(&refused)[1], "\"requests\";r=0;t=1");
        assert!(rate.take(2).wait.is_none());
    }

    #[test]
    fn a_policy_has_the_exact_rate_and_room_for_the_burst() {
        for (per_second, burst, policy) in [
            (100, 0, "\"requests\";q=100;w=1"),
            (100, 10, "\"requests\";q=100;w=1"),
            (100, 150, "\"requests\";q=200;w=2"),
            (1_000_000, 1_000_000, "\"requests\";q=1000000;w=1"),
            (1, 1_000_000, "\"requests\";q=1000000;w=1000000"),
        ] {
            let rate = rate(per_second, burst).expect("a limit");
            assert_eq!(rate.policy, policy);
            assert_eq!(rate.burst(), if burst == 0 { per_second } else { burst });
        }
    }

    #[test]
    fn buckets_are_bounded_and_full_ones_go_first() {
        let mut rate = rate(1, 2).expect("a limit");
        rate.tokens_max = 10;
        for token_id in 0..1_000 {
            assert!(rate.take(token_id).wait.is_none());
            let buckets = rate.buckets.read().expect("no panic before");
            assert!(buckets.len() <= 10, "{}", buckets.len());
        }
    }
}
