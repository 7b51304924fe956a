//! The caller of a request: tokens are looked up by their hash, and remembered until any token or user changes.
//!
//! Guaranteed: a change of a token or user is seen within one refresh, and an expiry at once. Not guaranteed: while the
//! database is away, changes are not seen; known tokens go on working then for `auth.outage_grace`, unknown ones get a
//! 503. An origin that sends many unknown tokens gets a 429, before the database is queried.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use super::bearer::{Credentials, TokenHash};
use super::bounds::STORE_WAIT;
use super::error::ApiError;
use super::lookups::Lookups;
use super::problems::Problem;
use super::staleness::Staleness;
use super::unknown_tokens::UnknownTokens;
use crate::clock;
use crate::domain::scopes::{Scope, Scopes};
use crate::store::{Store, StoreError, TokenRecord};
use crate::telemetry::condition::Condition;

/// Most tokens remembered, known and unknown each; 10,000 known ones are about 3 MB.
const REMEMBERED_MAX: usize = 10_000;
/// A token's last use is written at most this often, in seconds.
const USE_NOTED_EVERY_SECONDS: i64 = 60;

/// The person or program behind a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's user.
    pub user_id: i64,
    /// The user's email.
    pub email: String,
    /// What the token may do.
    pub scopes: Scopes,
    /// The token.
    pub token_id: i64,
    /// The token that opened it, if it is a session of the dashboard.
    pub parent_id: Option<i64>,
}

/// Whether `scopes` cover `scope`: reading or writing everyone's events includes one's own, else none implies another.
pub fn allows(scopes: Scopes, scope: Scope) -> bool {
    scopes.has(scope)
        || match scope {
            Scope::Read => scopes.has(Scope::ReadAll),
            Scope::Write => scopes.has(Scope::WriteAll),
            _ => false,
        }
}

/// The tokens that were seen, and the way to those that were not.
pub struct Auth {
    store: Store,
    lookups: Lookups,
    /// How many unknown tokens came from where.
    pub(super) unknown: UnknownTokens,
    cache: RwLock<TokenCache>,
    uses: Mutex<Uses>,
    staleness: Staleness,
    /// One round at a time: a slower one that began earlier would bring back what is over.
    round: tokio::sync::Mutex<()>,
}

/// What is known of tokens as of one version of them.
#[derive(Default)]
struct TokenCache {
    version: Option<i64>,
    /// Counts the times that everything was renewed; a look-up begun before such a time is not remembered.
    epoch: u64,
    known: HashMap<TokenHash, Arc<KnownToken>>,
    unknown: HashSet<TokenHash>,
}

struct KnownToken {
    caller: Arc<Caller>,
    record: TokenRecord,
    /// Unix seconds of the last use that was noted; saves the hot path the lock of `uses`.
    touched_at: AtomicI64,
}

/// Last uses of tokens: those written, to space out the writes, and those still to write.
#[derive(Default)]
struct Uses {
    noted: HashMap<i64, i64>,
    to_write: HashMap<i64, DateTime<Utc>>,
}

impl Auth {
    /// An empty cache in front of `store`; while that does not answer, it is trusted for `outage_grace`.
    pub fn new(store: Store, outage_grace: Duration) -> Self {
        Self {
            lookups: Lookups::new(store.clone()),
            store,
            unknown: UnknownTokens::default(),
            cache: RwLock::default(),
            uses: Mutex::default(),
            staleness: Staleness::new(outage_grace),
            round: tokio::sync::Mutex::default(),
        }
    }

    /// The caller with these credentials; 401 if there is none, 503 if only the database could decide.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Arc<Caller>, ApiError> {
        let (hash, now) = (credentials.hash, clock::now());
        if self.staleness.is_lost_for_long() {
            return Err(unchecked());
        }
        let known = match self.recall(&hash) {
            Some(None) if self.staleness.is_lost() => return Err(unchecked()),
            Some(remembered) => remembered,
            None => self.look_up(credentials).await?,
        };
        let known = known.filter(|known| bool::from(known.record.hash.ct_eq(&hash)));
        let known = known.ok_or_else(|| ApiError::unauthorized(true, "the token is unknown"))?;
        judge(&known.record, now)?;
        self.note_use(&known, now);
        Ok(Arc::clone(&known.caller))
    }

    /// Why no token is taken now, if none is.
    pub fn refusal(&self) -> Option<&'static str> {
        self.staleness
            .is_lost_for_long()
            .then_some("tokens cannot be checked: the database is away for longer than auth.outage_grace")
    }

    /// One round of the refresh: forgets everything if tokens or users have changed, and writes last uses.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _round = self.round.lock().await;
        let version = self.store.auth_version(STORE_WAIT).await;
        self.staleness.note(version.is_ok());
        self.see_version(version?).await?;
        self.write_uses().await
    }

    /// Forgets that the token is unknown, so that it is looked up, and counted, again.
    pub fn forget_unknown(&self, hash: &TokenHash) {
        self.cache_mut().unknown.remove(hash);
    }

    fn recall(&self, hash: &TokenHash) -> Option<Option<Arc<KnownToken>>> {
        let cache = self.cache();
        match cache.known.get(hash) {
            Some(known) => Some(Some(Arc::clone(known))),
            None => cache.unknown.contains(hash).then_some(None),
        }
    }

    async fn look_up(&self, Credentials { hash, origin }: Credentials) -> Result<Option<Arc<KnownToken>>, ApiError> {
        self.unknown.admit(origin)?;
        let epoch = self.cache().epoch;
        let record = self.lookups.find(hash).await.map_err(unavailable)?;
        if record.is_none() {
            self.unknown.note(origin, Instant::now());
        }
        let known = record.map(|record| Arc::new(KnownToken::new(record)));
        self.cache_mut().remember(epoch, hash, known.clone());
        Ok(known)
    }

    /// After a change everything that is remembered is looked up anew at once: an outage may begin before it is used.
    async fn see_version(&self, version: i64) -> Result<(), StoreError> {
        let known = match &*self.cache() {
            cache if cache.version == Some(version) => return Ok(()),
            cache => cache.known.keys().copied().collect(),
        };
        let records = self.store.find_tokens(known, STORE_WAIT).await?;
        self.cache_mut().renew(version, records);
        Ok(())
    }

    fn note_use(&self, known: &KnownToken, now: DateTime<Utc>) {
        let seconds = now.timestamp();
        if seconds - known.touched_at.load(Ordering::Relaxed) < USE_NOTED_EVERY_SECONDS {
            return;
        }
        known.touched_at.store(seconds, Ordering::Relaxed);
        self.uses.lock().unwrap_or_else(PoisonError::into_inner).note(known.record.token_id, now);
    }

    /// Uses that cannot be written now are written with the next round.
    async fn write_uses(&self) -> Result<(), StoreError> {
        let batch = self.uses.lock().unwrap_or_else(PoisonError::into_inner).take();
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.store.record_token_uses(&batch, STORE_WAIT).await;
        if written.is_err() {
            self.uses.lock().unwrap_or_else(PoisonError::into_inner).put_back(batch);
        }
        written
    }

    fn cache(&self) -> RwLockReadGuard<'_, TokenCache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache_mut(&self) -> RwLockWriteGuard<'_, TokenCache> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refreshes `auth` for as long as the future is polled.
pub async fn refresh_loop(auth: Arc<Auth>, every: Duration) {
    let condition = Condition::new("the look for changed tokens");
    loop {
        condition.note(&auth.refresh().await);
        tokio::time::sleep(every).await;
    }
}

impl TokenCache {
    fn remember(&mut self, epoch: u64, hash: TokenHash, known: Option<Arc<KnownToken>>) {
        if epoch != self.epoch {
            return;
        }
        match known {
            Some(known) => {
                if self.known.len() >= REMEMBERED_MAX {
                    self.known.clear();
                }
                self.known.insert(hash, known);
            }
            None => {
                if self.unknown.len() >= REMEMBERED_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(hash);
            }
        }
    }

    fn renew(&mut self, version: i64, records: Vec<TokenRecord>) {
        let known = records.into_iter().map(|record| (record.hash, Arc::new(KnownToken::new(record)))).collect();
        *self = Self { version: Some(version), epoch: self.epoch + 1, known, unknown: HashSet::new() };
    }
}

impl KnownToken {
    fn new(record: TokenRecord) -> Self {
        let caller = Caller {
            user_id: record.user_id,
            email: record.email.clone(),
            scopes: record.scopes,
            token_id: record.token_id,
            parent_id: record.parent_id,
        };
        Self { caller: Arc::new(caller), record, touched_at: AtomicI64::new(i64::MIN / 2) }
    }
}

impl Uses {
    fn note(&mut self, token_id: i64, now: DateTime<Utc>) {
        if self.noted.len() >= REMEMBERED_MAX {
            self.noted.clear();
        }
        let noted = self.noted.entry(token_id).or_insert(i64::MIN / 2);
        if now.timestamp() - *noted >= USE_NOTED_EVERY_SECONDS && self.to_write.len() < REMEMBERED_MAX {
            *noted = now.timestamp();
            self.to_write.insert(token_id, now);
        }
    }

    /// In the order of ids, so that two nodes that write the same rows cannot lock each other out.
    fn take(&mut self) -> Vec<(i64, DateTime<Utc>)> {
        let mut batch: Vec<_> = self.to_write.drain().collect();
        batch.sort_unstable();
        batch
    }

    fn put_back(&mut self, batch: Vec<(i64, DateTime<Utc>)>) {
        for (token_id, at) in batch {
            self.to_write.entry(token_id).or_insert(at);
        }
    }
}

fn judge(record: &TokenRecord, now: DateTime<Utc>) -> Result<(), ApiError> {
    // Whatever the time of it: the clock of the node that revoked may be ahead.
    let detail = if record.revoked_at.is_some() {
        "the token is revoked"
    } else if record.expires_at.is_some_and(|end| end <= now) {
        "the token is expired"
    } else if record.user_disabled {
        "the token's user is disabled"
    } else {
        return Ok(());
    };
    Err(ApiError::unauthorized(true, detail))
}

fn unavailable(error: StoreError) -> ApiError {
    if !error.is_transient() {
        return error.into();
    }
    unchecked()
}

fn unchecked() -> ApiError {
    ApiError::new(Problem::DatabaseUnavailable, "the database does not answer, so the token cannot be checked")
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

    fn verdict(record: &TokenRecord, now: i64) -> Result<(), String> {
        judge(record, at(now)).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_token_ends_at_its_expiry_its_revocation_or_with_its_user() {
        assert_eq!(verdict(&record(), 99), Ok(()));
        assert_eq!(verdict(&record(), 100), Err("the token is expired".to_owned()));
        let revoked = TokenRecord { revoked_at: Some(at(50)), ..record() };
        for now in [49, 50] {
            assert_eq!(
                verdict(&revoked, now),
                Err("the token is revoked".to_owned()),
                "also by a clock that is behind"
            );
        }
        let disabled = TokenRecord { user_disabled: true, ..record() };
        assert_eq!(verdict(&disabled, 0), Err("the token's user is disabled".to_owned()));
    }

    #[test]
    fn only_the_scopes_over_everyone_include_others() {
        let held = |text: &str, scope| allows(text.parse().expect("scopes"), scope);
        assert!(held("read", Scope::Read) && held("read:all", Scope::Read) && held("write:all", Scope::Write));
        assert!(!held("admin", Scope::Read) && !held("read", Scope::ReadAll) && !held("read:all", Scope::Write));
    }

    #[test]
    fn a_look_up_begun_before_a_change_is_not_remembered() {
        let mut cache = TokenCache::default();
        let epoch = cache.epoch;
        cache.renew(7, Vec::new());
        cache.remember(epoch, [1; 32], Some(Arc::new(KnownToken::new(record()))));
        cache.remember(epoch, [2; 32], None);
        assert!(cache.known.is_empty() && cache.unknown.is_empty());
        cache.remember(cache.epoch, [1; 32], Some(Arc::new(KnownToken::new(record()))));
        assert_eq!(cache.known.len(), 1);
    }

    #[test]
    fn a_flood_of_unknown_tokens_is_bounded_and_displaces_no_known_one() {
        let mut cache = TokenCache::default();
        cache.remember(0, [1; 32], Some(Arc::new(KnownToken::new(record()))));
        for number in 0..25_000_u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            cache.remember(0, hash, None);
        }
        assert!(cache.unknown.len() <= REMEMBERED_MAX);
        assert_eq!(cache.known.len(), 1);
    }

    #[test]
    fn a_tokens_use_is_written_once_a_minute() {
        let mut uses = Uses::default();
        uses.note(1, at(100));
        uses.note(1, at(159));
        uses.note(2, at(159));
        assert_eq!(uses.take(), [(1, at(100)), (2, at(159))]);
        uses.note(1, at(159));
        assert_eq!(uses.take(), []);
        uses.note(1, at(160));
        uses.put_back(vec![(1, at(100)), (2, at(159))]);
        assert_eq!(uses.take(), [(1, at(160)), (2, at(159))]);
    }
}
