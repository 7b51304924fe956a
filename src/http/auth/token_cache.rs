//! Tokens that were looked up, as they were found.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;

use super::Caller;
use crate::http::credentials::TokenHash;
use crate::store::TokenRecord;

/// Most tokens remembered, known and unknown each; 10,000 known ones are about 3 MB. Beyond it, those that are used least
/// are evicted.
const REMEMBERED_MAX: usize = 10_000;
/// The use of a remembered token is noted at most this often, in seconds.
const USE_NOTED_EVERY_SECONDS: i64 = 60;

/// What is known of tokens as of one version of them. A look-up is remembered where it began, so that one that began
/// before a change is dropped with what was known then.
pub(super) struct TokenCache {
    pub(super) version: Option<i64>,
    pub(super) known: Cache<TokenHash, Arc<KnownToken>>,
    pub(super) unknown: Cache<TokenHash, ()>,
}

/// A token that exists.
pub(super) struct KnownToken {
    pub(super) caller: Arc<Caller>,
    pub(super) record: TokenRecord,
    /// Unix seconds of the last use that was noted.
    used_at: AtomicI64,
}

impl TokenCache {
    pub(super) fn new(version: Option<i64>) -> Self {
        Self { version, known: Cache::new(REMEMBERED_MAX), unknown: Cache::new(REMEMBERED_MAX) }
    }

    /// `None` if the token has to be looked up, `Some(None)` if it is known not to exist.
    pub(super) fn recall(&self, hash: &TokenHash) -> Option<Option<Arc<KnownToken>>> {
        self.known.get(hash).map(Some).or_else(|| self.unknown.get(hash).map(|()| None))
    }

    /// What a look-up found.
    pub(super) fn remember(&self, hash: TokenHash, known: Option<Arc<KnownToken>>) {
        match known {
            Some(known) => self.known.insert(hash, known),
            None => self.unknown.insert(hash, ()),
        }
    }

    /// What is known as of `version`; uses that were noted stay noted.
    pub(super) fn renewed(&self, version: i64, records: Vec<TokenRecord>) -> Self {
        let renewed = Self::new(Some(version));
        for record in records {
            let hash = record.hash;
            let known = KnownToken::new(record);
            if let Some(before) = self.known.peek(&hash) {
                known.used_at.store(before.used_at.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            renewed.known.insert(hash, Arc::new(known));
        }
        renewed
    }
}

impl KnownToken {
    pub(super) fn new(record: TokenRecord) -> Self {
        let caller = Caller {
            user_id: record.user_id,
            email: record.email.clone(),
            scopes: record.scopes,
            token_id: record.token_id,
            parent_id: record.parent_id,
        };
        Self { caller: Arc::new(caller), record, used_at: AtomicI64::new(i64::MIN / 2) }
    }

    /// Whether a use at `now` is to be written; if so, it counts as noted.
    pub(super) fn is_use_due(&self, now: DateTime<Utc>) -> bool {
        let seconds = now.timestamp();
        let is_due = seconds - self.used_at.load(Ordering::Relaxed) >= USE_NOTED_EVERY_SECONDS;
        if is_due {
            self.used_at.store(seconds, Ordering::Relaxed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a valid time")
    }

    fn record() -> TokenRecord {
        TokenRecord {
            token_id: 1,
            user_id: 2,
            email: "a@example.com".to_owned(),
            user_disabled: false,
            scopes: "write".parse().expect("a scope"),
            expires_at: Some(at(100)),
            revoked_at: None,
            hash: [1; 32],
            parent_id: None,
        }
    }

    fn known() -> Option<Arc<KnownToken>> {
        Some(Arc::new(KnownToken::new(record())))
    }

    fn hash(number: u32) -> TokenHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn a_look_up_begun_before_a_change_is_not_remembered() {
        let before = TokenCache::new(None);
        let after = before.renewed(7, vec![record()]);
        before.remember(hash(1), known());
        before.remember(hash(2), None);
        assert!(after.recall(&hash(1)).is_none() && after.recall(&hash(2)).is_none());
        assert!(matches!(after.recall(&record().hash), Some(Some(_))));
    }

    #[test]
    fn at_the_limit_only_some_tokens_are_forgotten() {
        let cache = TokenCache::new(None);
        let limit = u32::try_from(REMEMBERED_MAX).expect("a small number");
        (0..limit + 100).for_each(|number| cache.remember(hash(number), known()));
        let remembered = (0..limit + 100).filter(|number| cache.recall(&hash(*number)).is_some()).count();
        assert!((REMEMBERED_MAX * 9 / 10..=REMEMBERED_MAX + 100).contains(&remembered), "{remembered} are left");
    }

    #[test]
    fn a_flood_of_unknown_tokens_is_bounded_and_displaces_no_known_one() {
        let cache = TokenCache::new(None);
        cache.remember([1; 32], known());
        (0..25_000).for_each(|number| cache.remember(hash(number), None));
        assert!(cache.unknown.len() <= REMEMBERED_MAX + 100, "{} are remembered", cache.unknown.len());
        assert!(matches!(cache.recall(&[1; 32]), Some(Some(_))));
    }

    #[test]
    fn a_tokens_use_is_written_once_a_minute_also_over_a_change() {
        let token = KnownToken::new(record());
        assert!(token.is_use_due(at(100)) && !token.is_use_due(at(159)) && token.is_use_due(at(160)));
        let cache = TokenCache::new(None);
        cache.remember(record().hash, Some(Arc::new(token)));
        let after = cache.renewed(7, vec![record()]).recall(&record().hash).flatten().expect("it is known");
        assert!(!after.is_use_due(at(219)) && after.is_use_due(at(220)));
    }
}
