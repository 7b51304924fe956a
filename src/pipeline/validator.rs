//! Validator: whether an event is what it must be.
//!
//! Receives [`Submitted`], sends [`Validated`]. Keeps nothing but the users it saw lately. A crash here loses
//! nothing: the unit goes back to the Supervisor, and the event in hand is charged an attempt.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::prelude::*;

use super::deps::Deps;
use super::messages::{Submitted, Validated};
use super::pool::Pool;
use super::stage::Stage;
use super::tracker::TrackedUnit;
use super::unit::Item;
use super::users::{CachedUser, Users};
use crate::domain::dedupe::DedupeKey;
use crate::domain::event::validate;
use crate::domain::outcome::{Failure, TransientCode};
use crate::domain::payload::PayloadLimits;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::telemetry::facts;

/// The stage that checks events.
pub(super) struct Validator {
    pub stage: Stage,
    pub deps: Arc<Deps>,
    pub next: Pool<Validated>,
}

impl Actor for Validator {
    type Context = Context<Self>;
}

impl Handler<Submitted> for Validator {
    type Result = ();

    fn handle(&mut self, Submitted(works): Submitted, context: &mut Context<Self>) {
        self.stage.gauges.took();
        let unknown = self.users_to_look_up(&works);
        if unknown.is_empty() {
            return self.validate(works);
        }
        let users = self.deps.users.clone();
        let looked_up = self.stage.wait_for(async move {
            // A user that was not found stays unknown to this attempt.
            let _ = users.look_up(unknown.into_iter().collect()).await;
        });
        context.spawn(looked_up.into_actor(self).map(move |(), validator, _| validator.validate(works)));
    }
}

impl Validator {
    fn users_to_look_up(&self, works: &[TrackedUnit]) -> BTreeSet<i64> {
        let open = works.iter().flat_map(|work| &work.items).filter(|item| item.is_open());
        self.deps.users.to_look_up(open.map(|item| item.event.user_id))
    }

    fn validate(&mut self, mut works: Vec<TrackedUnit>) {
        let users = &self.deps.users;
        let limits = &self.deps.config.limits.payload();
        self.stage.each(&mut works, Item::is_open, |item| validate_item(item, users, limits));
        // Part of it may be undone, and all of it belongs to another actor now.
        if !self.stage.gauges.is_retired() {
            self.next.send(Validated(works));
        }
    }
}

/// The steps of the reference, in its order: fetch the user, check the payload, check the fields.
fn validate_item(item: &mut Item, users: &Users, limits: &PayloadLimits) {
    facts::started(&item.event, item.attempt(), item.has_lines);
    let Some(user) = users.recall_old(item.event.user_id) else {
        let reason = format!("user {} could not be looked up", item.event.user_id);
        return item.fail("validator", TransientCode::LookupFailed, reason);
    };
    let limits = if item.lease.is_some() { limits.of_stored() } else { *limits };
    match check_user(item, &user).and_then(|()| validate(&item.event.submission, &limits)) {
        Ok(()) => facts::validated(&item.event, item.has_lines),
        Err(rejection) => {
            let event = Arc::make_mut(&mut item.event);
            event.key = Some(DedupeKey::of_refusal(&event.submission, event.user_id, event.key.as_ref()));
            event.drop_payload_that_cannot_be_kept(&limits);
            item.result = Some(Err(Failure::Reject(rejection)));
        }
    }
}

fn check_user(item: &Item, user: &CachedUser) -> Result<(), Rejection> {
    let user_id = item.event.user_id;
    match user {
        CachedUser::Enabled { email } => {
            if item.has_lines {
                facts::user_found(&item.event, email);
            }
            Ok(())
        }
        CachedUser::Disabled => Err(refuse_user(RejectCode::UserDisabled, format!("user {user_id} is disabled"))),
        CachedUser::Unknown => Err(refuse_user(RejectCode::UserUnknown, format!("user {user_id} does not exist"))),
    }
}

fn refuse_user(code: RejectCode, detail: String) -> Rejection {
    Rejection::of(Flaw::new(code, "/user_id", detail))
}
