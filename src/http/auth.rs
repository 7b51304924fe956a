//! The caller of a request: tokens are looked up by their hash, and remembered until any token or user changes.
//!
//! Guaranteed: a change of a token or user is seen within one refresh, and an expiry at once. Not guaranteed: while the
//! database is away, changes are not seen; known tokens go on working then for `auth.outage_grace`, unknown ones get a
//! 503. An origin that sends many unknown tokens gets a 429, before the database is queried.

mod token_cache;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use self::token_cache::{KnownToken, TokenCache};
use super::bounds::STORE_WAIT;
use super::caller::Caller;
use super::credentials::{Credentials, TokenHash};
use super::error::ApiError;
use super::lookups::Lookups;
use super::problems::Problem;
use super::staleness::Staleness;
use super::unknown_tokens::UnknownTokens;
use crate::clock;
use crate::store::{Store, StoreError, TokenRecord};
use crate::telemetry::condition::Condition;

/// Most uses that wait to be written.
const USES_MAX: usize = 10_000;

/// The tokens that were seen, and the way to those that were not.
pub struct Auth {
    store: Store,
    lookups: Lookups,
    /// How many unknown tokens came from where.
    pub(super) unknown: UnknownTokens,
    /// Replaced as a whole when tokens change.
    cache: RwLock<Arc<TokenCache>>,
    uses: Mutex<Uses>,
    staleness: Staleness,
    /// One round at a time: a slower one that began earlier would bring back what is over.
    round: tokio::sync::Mutex<()>,
}

/// Last uses of tokens that are still to be written. In the order of ids, so that two nodes that write the same rows
/// cannot lock each other out.
type Uses = BTreeMap<i64, DateTime<Utc>>;

impl Auth {
    /// An empty cache in front of `store`; while that does not answer, it is trusted for `outage_grace`.
    pub fn new(store: Store, outage_grace: Duration) -> Self {
        Self {
            lookups: Lookups::new(store.clone()),
            store,
            unknown: UnknownTokens::default(),
            cache: RwLock::new(Arc::new(TokenCache::new(None))),
            uses: Mutex::default(),
            staleness: Staleness::new(outage_grace),
            round: tokio::sync::Mutex::default(),
        }
    }

    /// The caller with these credentials; 401 if there is none, 503 if only the database could decide.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Arc<Caller>, ApiError> {
        match self.remembered(&credentials.hash) {
            Some(caller) => caller,
            None => self.admit(&credentials.hash, self.look_up(credentials).await?),
        }
    }

    /// As [`Self::authenticate`], if that can be said without querying the database.
    pub fn remembered(&self, hash: &TokenHash) -> Option<Result<Arc<Caller>, ApiError>> {
        if self.staleness.is_lost_for_long() {
            return Some(Err(unchecked()));
        }
        match self.cache().recall(hash)? {
            None if self.staleness.is_lost() => Some(Err(unchecked())),
            known => Some(self.admit(hash, known)),
        }
    }

    /// The caller with the token that was found under `hash`, if it is valid now.
    fn admit(&self, hash: &TokenHash, known: Option<Arc<KnownToken>>) -> Result<Arc<Caller>, ApiError> {
        let now = clock::now();
        let known = known.filter(|known| bool::from(known.record.hash.ct_eq(hash)));
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
        self.cache().unknown.remove(hash);
    }

    async fn look_up(&self, Credentials { hash, origin }: Credentials) -> Result<Option<Arc<KnownToken>>, ApiError> {
        self.unknown.admit(origin)?;
        let cache = Arc::clone(&self.cache());
        let record = self.lookups.find(hash).await.map_err(unavailable)?;
        if record.is_none() {
            self.unknown.note(origin, Instant::now());
        }
        let known = record.map(|record| Arc::new(KnownToken::new(record)));
        cache.remember(hash, known.clone());
        Ok(known)
    }

    /// After a change everything that is remembered is looked up anew at once: an outage may begin before it is used.
    async fn see_version(&self, version: i64) -> Result<(), StoreError> {
        let before = Arc::clone(&self.cache());
        if before.version == Some(version) {
            return Ok(());
        }
        let hashes = before.known.iter().map(|(hash, _)| hash).collect();
        let records = self.store.find_tokens(hashes, STORE_WAIT).await?;
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(before.renewed(version, records));
        Ok(())
    }

    fn note_use(&self, known: &KnownToken, now: DateTime<Utc>) {
        if known.is_use_due(now) {
            note(&mut self.uses(), known.record.token_id, now);
        }
    }

    /// Uses that cannot be written now are written with the next round.
    async fn write_uses(&self) -> Result<(), StoreError> {
        let batch: Vec<_> = std::mem::take(&mut *self.uses()).into_iter().collect();
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.store.record_token_uses(&batch, STORE_WAIT).await;
        if written.is_err() {
            put_back(&mut self.uses(), batch);
        }
        written
    }

    fn cache(&self) -> RwLockReadGuard<'_, Arc<TokenCache>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Beyond the limit a use is not written.
fn note(uses: &mut Uses, token_id: i64, now: DateTime<Utc>) {
    if uses.len() < USES_MAX || uses.contains_key(&token_id) {
        uses.insert(token_id, now);
    }
}

fn put_back(uses: &mut Uses, batch: Vec<(i64, DateTime<Utc>)>) {
    for (token_id, at) in batch {
        uses.entry(token_id).or_insert(at);
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
    fn a_use_that_could_not_be_written_never_replaces_a_later_one() {
        let mut uses = Uses::from([(1, at(160))]);
        put_back(&mut uses, vec![(2, at(159)), (1, at(100))]);
        assert_eq!(uses.into_iter().collect::<Vec<_>>(), [(1, at(160)), (2, at(159))]);
    }
}
