//! Normalizer: makes the properties of valid events.
//!
//! Receives [`Validated`], sends [`Normalized`]. Keeps nothing. A crash here loses nothing: the unit goes back to the
//! Supervisor, and the event in hand is charged an attempt.

use actix::prelude::*;

use super::messages::{Normalized, Validated};
use super::pool::Pool;
use super::stage::Stage;
use super::unit::Item;
use crate::clock;
use crate::domain::normalize::normalize_event_payload;
use crate::domain::outcome::NormalizedEvent;

/// The stage that makes properties.
pub(super) struct Normalizer {
    pub stage: Stage,
    pub next: Pool<Normalized>,
}

impl Actor for Normalizer {
    type Context = Context<Self>;
}

impl Handler<Validated> for Normalizer {
    type Result = ();

    fn handle(&mut self, Validated(mut works): Validated, _: &mut Context<Self>) {
        self.stage.gauges.took();
        self.stage.strike();
        self.stage.each(&mut works, Item::is_open, normalize);
        // Part of it may be undone, and all of it belongs to another actor now.
        if !self.stage.gauges.is_retired() {
            self.next.send(Normalized(works));
        }
    }
}

fn normalize(item: &mut Item) {
    let normalized_at = clock::now().max(item.event.received_at);
    let properties = normalize_event_payload(item.event.payload(), normalized_at);
    item.result = Some(Ok(NormalizedEvent { properties, normalized_at }));
}
