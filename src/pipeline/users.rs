//! The users of events, cached for a short time: the hot path queries the database once per user and period.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};

use crate::store::{Store, StoreError, User};
use crate::telemetry::condition::Condition;

/// Most users in the cache; beyond it, those that are used least are evicted.
const USERS_MAX: usize = 100_000;

/// The part of the cache that is for users seen several times. The other part is the number of new users that may come
/// before one that was just looked up can be evicted; its event needs it until then.
const KEPT_FOR_FREQUENT: f64 = 0.5;

/// Longest wait for a look-up.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CachedUser {
    Enabled { email: Arc<str> },
    Disabled,
    Unknown,
}

#[derive(Clone)]
struct UserEntry {
    known: CachedUser,
    until: Instant,
}

/// Looks users up, and caches them.
pub(super) struct Users {
    store: Store,
    /// An entry stays after its time, for an outage.
    memory: Cache<i64, UserEntry>,
    period: Duration,
    look_up: Condition,
    /// A look-up is under way that no event waits for.
    is_looking_up: AtomicBool,
}

impl Users {
    /// Answers are at most `period` old, except while the database does not answer.
    pub fn new(store: Store, period: Duration) -> Arc<Self> {
        let look_up = Condition::new("look-up of users");
        Arc::new(Self { store, memory: memory(), period, look_up, is_looking_up: AtomicBool::new(false) })
    }

    /// Those of `user_ids` that have to be looked up before their events go on. In an outage of the database these are
    /// only users never seen: the others are looked up in the background, and what was last known of them counts.
    pub fn to_look_up(self: &Arc<Self>, user_ids: impl Iterator<Item = i64>) -> BTreeSet<i64> {
        let mut unknown: BTreeSet<i64> = user_ids.filter(|user_id| self.recall(*user_id).is_none()).collect();
        if !unknown.is_empty() && self.look_up.is_failing() {
            let (old, new) = unknown.into_iter().partition(|user_id| self.recall_old(*user_id).is_some());
            self.look_up_in_background(old);
            unknown = new;
        }
        unknown
    }

    /// One such look-up at a time: it is for finding out when the database is back.
    fn look_up_in_background(self: &Arc<Self>, user_ids: BTreeSet<i64>) {
        if user_ids.is_empty() || self.is_looking_up.swap(true, Ordering::AcqRel) {
            return;
        }
        let users = self.clone();
        self.store.spawn(async move {
            // Its failure is noted; an event that waits for an answer looks up again.
            let _ = users.look_up(user_ids.into_iter().collect()).await;
            users.is_looking_up.store(false, Ordering::Release);
        });
    }

    /// What is known of `user_id`; `None` if it has to be looked up.
    fn recall(&self, user_id: i64) -> Option<CachedUser> {
        self.memory.get(&user_id).filter(|entry| entry.until > Instant::now()).map(|entry| entry.known)
    }

    /// What was last known of `user_id`, however long ago.
    pub fn recall_old(&self, user_id: i64) -> Option<CachedUser> {
        self.memory.get(&user_id).map(|entry| entry.known)
    }

    /// Queries the database for `user_ids`.
    pub async fn look_up(&self, user_ids: Vec<i64>) -> Result<(), StoreError> {
        let users = self.store.users_by_ids(&user_ids, LOOKUP_WAIT).await;
        self.look_up.note(&users);
        let users = users?;
        let until = Instant::now() + self.period;
        for user_id in user_ids {
            let known = users.iter().find(|user| user.id == user_id).map_or(CachedUser::Unknown, known);
            self.memory.insert(user_id, UserEntry { known, until });
        }
        Ok(())
    }
}

fn memory() -> Cache<i64, UserEntry> {
    let mut options = OptionsBuilder::new();
    options.estimated_items_capacity(USERS_MAX).weight_capacity(USERS_MAX as u64).hot_allocation(KEPT_FOR_FREQUENT);
    let options = options.build().expect("both capacities are set");
    Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

fn known(user: &User) -> CachedUser {
    if user.disabled { CachedUser::Disabled } else { CachedUser::Enabled { email: user.email.as_str().into() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_only_some_users_are_forgotten_and_none_that_was_just_looked_up() {
        let memory = memory();
        let entry = || UserEntry { known: CachedUser::Unknown, until: Instant::now() };
        let limit = i64::try_from(USERS_MAX).expect("a small number");
        (0..limit).for_each(|user_id| memory.insert(user_id, entry()));
        // As many as may be in flight by default.
        let new = limit..limit + 20_000;
        new.clone().for_each(|user_id| memory.insert(user_id, entry()));
        assert!(new.clone().all(|user_id| memory.peek(&user_id).is_some()));
        let remembered = (0..limit).filter(|user_id| memory.peek(user_id).is_some()).count();
        assert!((75_000..=80_500).contains(&remembered), "{remembered} are left");
    }
}
