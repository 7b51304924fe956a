//! Reopening stored events for an operator: processing them anew, or calling them off.
//!
//! Both change rows under a lock of the database, and leave a row of `replays` that names the author; only calling off
//! changes leased ones. An event that is named is claimed in the same transaction: whatever becomes of the caller, it
//! is work like any other claim. Those that a filter finds are reopened in pieces by a job, and claimed by any node.

pub(super) mod rows;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

pub use self::rows::EventSnapshot;
use self::rows::{ChangeContext, seen};
use super::audit::{self, Action, Principal};
use super::claim::{ClaimOrder, Claimed};
use super::error::UnreadableEvent;
use super::{Store, StoreError};
use crate::domain::outcome::{Status, UNREADABLE};
use crate::domain::patch::Patch;
use crate::domain::payload::PayloadLimits;
use crate::domain::rejection::Rejection;

/// Ids of events that a row of the audit log has; `replays` has all of them.
const AUDITED_IDS_MAX: usize = 100;

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
    /// The author.
    pub by: Principal,
}

/// The rules of replays.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRules {
    /// The limits of a patched payload.
    pub limits: PayloadLimits,
    /// How long a key is held.
    pub keys_live_for: Duration,
}

/// Why an event is not processed anew, and was not changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Its payload would not be valid once it is patched.
    Invalid(Rejection),
    /// What is stored of it cannot be read.
    Unreadable(UnreadableEvent),
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
            Self::Unreadable(_) => UNREADABLE,
            Self::KeyHeld { .. } => "event_uid_conflict",
        }
    }
}

/// What became of a [`Replay`].
#[derive(Debug, Default)]
pub struct Reopened {
    /// Every event that exists and is visible.
    pub seen: HashMap<i64, EventSnapshot>,
    /// Those that are pending now.
    pub ids: Vec<i64>,
    /// Of these: those that were claimed and read; the others are left to the Claimers.
    pub claimed: Vec<Claimed>,
    /// Those that were refused.
    pub refused: HashMap<i64, Refusal>,
}

/// The name of a replay's events in the audit log.
fn object(ids: &[i64]) -> String {
    match ids {
        [one] => format!("events/{one}"),
        _ => "events".to_owned(),
    }
}

impl Replay {
    /// Its details in the audit log: the events that are processed anew, the first of them by their ids.
    fn detail(&self, ids: &[i64]) -> Value {
        json!({
            "events": ids.len(),
            "event_ids": ids[..ids.len().min(AUDITED_IDS_MAX)],
            "force": self.is_forced,
            "patched": self.patch.is_some(),
        })
    }
}

impl EventSnapshot {
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
    ) -> Result<HashMap<i64, EventSnapshot>, StoreError> {
        self.transaction("fetch events with their users", wait, move |tx| {
            Box::pin(async move { Ok(seen(tx, &ids, visible_to).await?) })
        })
        .await
    }

    /// Reopens and claims the events of `replay` in one transaction, and reads them as far as `order` has room.
    pub async fn reopen(
        &self,
        replay: Replay,
        rules: ReplayRules,
        order: ClaimOrder,
        wait: Duration,
    ) -> Result<Reopened, StoreError> {
        let room = self.room_for(order.bytes);
        let token = Uuid::new_v4();
        let reopening = self.transaction("reopen events", wait, move |tx| {
            Box::pin(async move {
                let seen = rows::lock(tx, &replay.ids, replay.visible_to, rules.keys_live_for).await?;
                let mut wanted: Vec<&EventSnapshot> =
                    seen.values().filter(|event| event.is_wanted(replay.is_forced)).collect();
                let patch = replay.patch.as_ref();
                let payloads = match patch {
                    Some(_) => rows::payloads(tx, &replay.ids, room).await?,
                    None => HashMap::new(),
                };
                let (refused, patched) = rows::judge(&wanted, payloads, patch, &rules);
                wanted.retain(|event| !refused.contains_key(&event.id));
                let by = replay.by.user_or_none();
                let change = ChangeContext { by, job: None, patch };
                let lease = Some((&order, token));
                let ids = rows::reopen(tx, &wanted, &patched, lease, change).await?;
                if !ids.is_empty() {
                    audit::note(tx, &replay.by, Action::EventsReplayed, object(&ids), replay.detail(&ids)).await?;
                }
                Ok(Reopened { seen, ids, claimed: Vec::new(), refused })
            })
        });
        let reopened = reopening.await?;
        let (claimed, _) = self.read_claimed(reopened.ids.clone(), token, order.bytes, wait).await?;
        Ok(Reopened { claimed, ..reopened })
    }

    /// Calls a pending event off, also from the node that holds it; `false` if it is not pending, or not visible.
    pub async fn cancel(
        &self,
        id: i64,
        visible_to: Option<i64>,
        by: &Principal,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        let by = by.clone();
        self.transaction("cancel an event", wait, move |tx| {
            Box::pin(async move {
                let seen = rows::lock(tx, &[id], visible_to, Duration::ZERO).await?;
                let is_pending = seen.get(&id).is_some_and(|event| event.status == Status::Pending);
                if is_pending {
                    rows::cancel(tx, &[id], ChangeContext { by: by.user_or_none(), job: None, patch: None }).await?;
                    audit::note(tx, &by, Action::EventCancelled, format!("events/{id}"), json!({})).await?;
                }
                Ok(is_pending)
            })
        })
        .await
    }
}
