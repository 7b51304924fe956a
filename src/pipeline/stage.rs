//! What every stage does around its own work: isolate events from each other, keep time, count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::deps::Deps;
use super::gauges::Gauges;
use super::tracker::TrackedUnit;
use super::unit::Item;
use crate::clock;
use crate::domain::actor_kind::ActorKind;
use crate::domain::outcome::TransientCode;
use crate::telemetry::facts::{self, StageCount};

/// The frame around one actor's work on events.
#[derive(Clone)]
pub(super) struct Stage {
    pub kind: ActorKind,
    pub gauges: Arc<Gauges>,
    count: StageCount,
    deps: Arc<Deps>,
}

impl Stage {
    pub fn new(kind: ActorKind, gauges: Arc<Gauges>, deps: Arc<Deps>) -> Self {
        Self { kind, gauges, count: StageCount::of(kind.name()), deps }
    }

    /// Where a fault strikes that belongs to no event; returns whether the caller's await is never to end.
    pub fn strike(&self) -> bool {
        self.deps.faults.turn(self.kind.name())
    }

    /// Does `work` on every matching event of `units`; a panic ends the attempt of its event only. Ends early
    /// when the units were taken back.
    pub fn each(&self, units: &mut [TrackedUnit], matches: impl Fn(&Item) -> bool, mut work: impl FnMut(&mut Item)) {
        let began = Instant::now();
        let mut events = 0;
        for unit in units {
            for place in 0..unit.items.len() {
                if self.gauges.is_retired() {
                    return;
                }
                if matches(&unit.items[place]) {
                    unit.begin_item(place);
                    self.gauges.begin();
                    self.isolate(&mut unit.items[place], &mut work);
                    self.gauges.end();
                    unit.end_item();
                }
            }
            events += unit.items.len();
        }
        self.count.worked(events, self.gauges.worked(events, began));
    }

    /// Does `work`, for which the actor waits from now on: the Supervisor replaces it when that never ends.
    pub fn wait_for<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let stage = self.clone();
        let wait = self.gauges.wait();
        async move {
            let _wait = wait;
            if stage.strike() {
                std::future::pending::<()>().await;
            }
            work.await
        }
    }

    fn isolate(&self, item: &mut Item, work: &mut impl FnMut(&mut Item)) {
        let name = self.kind.name();
        let began = item.span.map(|span| (span, clock::now()));
        self.deps.faults.outside(name, &item.event);
        let worked = catch_unwind(AssertUnwindSafe(|| match self.deps.faults.inside(name, &item.event) {
            Ok(()) => work(item),
            Err(reason) => item.fail(name, TransientCode::Injected, reason),
        }));
        if let Err(panic) = worked {
            self.panicked(item, &panic_text(panic.as_ref()));
        } else if Instant::now() > item.soft_deadline {
            item.fail(name, TransientCode::SoftTimeout, format!("{name} took longer than the soft limit"));
        }
        if let Some((span, began)) = began {
            span.worked(&item.event, self.kind, began, item.failure());
        }
    }

    fn panicked(&self, item: &mut Item, text: &str) {
        self.gauges.panicked();
        let name = self.kind.name();
        facts::stage_panicked(&item.event, name, text);
        item.fail(name, TransientCode::StagePanic, format!("{name} panicked"));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
