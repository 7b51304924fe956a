//! Reopening stored events for an operator: processing them anew, or calling them off.
//!
//! Both change only rows that nobody holds, under a lock of the database, and leave a row of `replays` that says who it
//! was. An event that is named is claimed in the same transaction: whatever becomes of the caller, it is work like any
//! other that was claimed. Those that a filter finds are reopened in pieces by a job, and are claimed by whoever comes.

pub(super) mod rows;

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

pub use self::rows::Seen;
use self::rows::{Change, seen};
use super::claim::{ClaimOrder, Claimed};
use super::{Store, StoreError};
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;
use crate::domain::payload::PayloadLimits;
use crate::domain::rejection::Rejection;

/// What an operator wants done with stored events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The events.
    pub ids: Vec<i64>,
    /// Only this user's events; `None` = everyone's.
    pub visible_to: Option<i64>,
    /// Whether processed events are processed anew as well.
    pub is_forced: bool,
    /// What is changed in their payloads first.
    pub patch: Option<Patch>,
    /// The user who wants it.
    pub by: i64,
}

/// What replays keep to.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRules {
    /// What a patched payload must keep to.
    pub limits: PayloadLimits,
    /// How long a key is held.
    pub keys_live_for: Duration,
}

/// Why an event is not processed anew, and was not changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Its payload would not be valid once it is patched.
    Invalid(Rejection),
    /// Another event holds its key by now.
    KeyHeld {
        /// That event.
        of: i64,
    },
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(rejection) => rejection.code().as_str(),
            Self::KeyHeld { .. } => "event_uid_conflict",
        }
    }
}

/// What became of a [`Replay`].
#[derive(Debug, Default)]
pub struct Reopened {
    /// Every event that exists and is visible.
    pub seen: HashMap<i64, Seen>,
    /// Those that are claimed now.
    pub claimed: Vec<Claimed>,
    /// Those that were refused.
    pub refused: HashMap<i64, Refusal>,
}

impl Seen {
    /// Whether it is to be processed: it waits, it failed, or it is to be forced.
    fn is_wanted(&self, is_forced: bool) -> bool {
        match self.status {
            Status::Pending => !self.is_held,
            Status::Failed | Status::ValidationError | Status::Cancelled => true,
            Status::Processed => is_forced,
            Status::Duplicate => false,
        }
    }
}

impl Store {
    /// The reference's `fetch_event_with_user`, for many events at once: in one statement; what does not exist or is not
    /// visible is not in the answer.
    pub async fn fetch_event_with_user(
        &self,
        ids: Vec<i64>,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<HashMap<i64, Seen>, StoreError> {
        self.transaction("fetch events with their users", wait, move |tx| {
            Box::pin(async move { Ok(seen(tx, &ids, visible_to).await?) })
        })
        .await
    }

    /// Reopens and claims the events that `replay` means, in one transaction; without a patch it has as many statements
    /// however many events they are.
    pub async fn reopen(
        &self,
        replay: Replay,
        rules: ReplayRules,
        order: ClaimOrder,
        wait: Duration,
    ) -> Result<Reopened, StoreError> {
        self.transaction("reopen events", wait, move |tx| {
            Box::pin(async move {
                let seen = rows::lock(tx, &replay.ids, replay.visible_to, rules.keys_live_for).await?;
                let mut wanted: Vec<&Seen> = seen.values().filter(|event| event.is_wanted(replay.is_forced)).collect();
                let patch = replay.patch.as_ref();
                let (refused, payloads) = rows::judge(tx, &wanted, patch, &rules).await?;
                wanted.retain(|event| !refused.contains_key(&event.id));
                let (change, lease) = (Change { by: replay.by, job: None, patch }, Some((&order, Uuid::new_v4())));
                let claimed = rows::reopen(tx, &wanted, &payloads, lease, change).await?;
                Ok(Reopened { seen, claimed, refused })
            })
        })
        .await
    }

    /// Calls a pending event off, also from the node that holds it; `false` if it is not pending, or not visible.
    pub async fn cancel(&self, id: i64, visible_to: Option<i64>, by: i64, wait: Duration) -> Result<bool, StoreError> {
        self.transaction("cancel an event", wait, move |tx| {
            Box::pin(async move {
                let seen = rows::lock(tx, &[id], visible_to, Duration::ZERO).await?;
                let is_pending = seen.get(&id).is_some_and(|event| event.status == Status::Pending);
                if is_pending {
                    rows::cancel(tx, &[id], Change { by, job: None, patch: None }).await?;
                }
                Ok(is_pending)
            })
        })
        .await
    }
}
