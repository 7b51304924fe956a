//! What every stage does around its own work: isolate events from each other, keep time, count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::faults::Faults;
use super::gauges::Gauges;
use super::tracker::TrackedUnit;
use super::unit::Item;
use crate::clock;
use crate::domain::outcome::TransientCode;
use crate::telemetry::facts::{self, StageCount};

/// The frame around one actor's work on events.
#[derive(Clone)]
pub(super) struct Stage {
    pub name: &'static str,
    pub gauges: Arc<Gauges>,
    pub count: StageCount,
    pub faults: Arc<Faults>,
}

impl Stage {
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

    /// Where a fault strikes that belongs to no event: before the stage waits for something.
    pub async fn turn(&self) {
        if self.faults.turn(self.name) {
            std::future::pending::<()>().await;
        }
    }

    fn isolate(&self, item: &mut Item, work: &mut impl FnMut(&mut Item)) {
        let began = item.span.map(|span| (span, clock::now()));
        self.faults.outside(self.name, &item.event);
        let worked = catch_unwind(AssertUnwindSafe(|| match self.faults.inside(self.name, &item.event) {
            Ok(()) => work(item),
            Err(reason) => item.fail(self.name, TransientCode::Injected, reason),
        }));
        if let Err(panic) = worked {
            self.panicked(item, &panic_text(panic.as_ref()));
        } else if Instant::now() > item.soft_deadline {
            item.fail(self.name, TransientCode::SoftTimeout, format!("{} took longer than the soft limit", self.name));
        }
        if let Some((span, began)) = began {
            span.worked(&item.event, self.name, began, item.failure());
        }
    }

    fn panicked(&self, item: &mut Item, text: &str) {
        self.gauges.panicked();
        facts::stage_panicked(&item.event, self.name, text);
        item.fail(self.name, TransientCode::StagePanic, format!("{} panicked", self.name));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
