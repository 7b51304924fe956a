//! Tracks which actor holds which unit, and takes units back from an actor that is stuck.
//!
//! A [`TrackedUnit`] is a working copy of a unit and a share in its [`UnitEntry`]. The entry has what exists only once
//! (where the outcome is waited for, the room) and a backup of the unit. A unit is passed on, settled, lost or taken
//! back under the lock of its entry: the first of these counts, and a later one finds the entry empty. So whatever a
//! stuck thread does when it wakes up has no effect, and nothing is answered or released twice.
//!
//! Not guaranteed: that a write of a taken unit which was under way does not come to its COMMIT. The identity of the
//! rows makes the second write a repetition.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use actix::Recipient;

use super::unit::{Lost, Unit};
use crate::domain::actor_kind::ActorKind;
use crate::domain::outcome::TransientCode;

/// Entries are first swept when there are this many.
const SWEEP_AT_MIN: usize = 1_024;

/// An actor, for as long as it lives; its replacement is another holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActorId {
    id: u64,
    kind: ActorKind,
}

impl ActorId {
    /// A holder that never was before.
    pub fn new(kind: ActorKind) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), kind }
    }
}

/// What stays of a unit, whatever becomes of the thread that works on it.
struct UnitEntry {
    /// Empty once the unit is settled, lost or taken back.
    backup: Mutex<Option<UnitBackup>>,
    /// The position of the item that a stage is working on, plus one; 0 = none.
    in_hand: AtomicUsize,
}

struct UnitBackup {
    unit: Unit,
    holder: Option<ActorId>,
}

impl UnitEntry {
    fn backup(&self) -> MutexGuard<'_, Option<UnitBackup>> {
        self.backup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_held_by(&self, holder: ActorId) -> bool {
        self.backup().as_ref().is_some_and(|backup| backup.holder == Some(holder))
    }

    fn in_hand(&self) -> Option<usize> {
        self.in_hand.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// A unit at work, and the promise that it is never lost silently.
pub(super) struct TrackedUnit {
    unit: Option<Box<Unit>>,
    entry: Arc<UnitEntry>,
    tracker: Arc<UnitTracker>,
}

impl TrackedUnit {
    /// Passes the unit to `holder`; `false` if it was taken back before.
    pub fn assign_to(&self, holder: ActorId) -> bool {
        self.entry.backup().as_mut().map(|backup| backup.holder = Some(holder)).is_some()
    }

    /// Notes that a stage begins to work on the item at `place`.
    pub fn begin_item(&self, place: usize) {
        self.entry.in_hand.store(place + 1, Ordering::Relaxed);
    }

    /// Notes that the work on an item is over.
    pub fn end_item(&self) {
        self.entry.in_hand.store(0, Ordering::Relaxed);
    }

    /// Gives the event at `place` another id, also for the case that the unit is taken back.
    pub fn renumber(&mut self, place: usize, event_id: i64) {
        Arc::make_mut(&mut self.items[place].event).id = event_id;
        let event = self.items[place].event.clone();
        if let Some(backup) = self.entry.backup().as_mut() {
            backup.unit.items[place].event = event;
        }
    }

    /// Reports an outcome before there is one: for the bug that is planted to be found.
    #[cfg(feature = "fault-injection")]
    pub fn answer_early(&self, outcome: super::unit::UnitResult) {
        if let Some(backup) = self.entry.backup().as_mut() {
            backup.unit.answer(outcome);
        }
    }

    /// Ends the promise: the unit is settled by the caller. `None` if it was taken back before; then another copy of
    /// it is under way, and this one must not be reported.
    pub fn settle(mut self) -> Option<Box<Unit>> {
        self.end().map(|(unit, _)| unit)
    }

    /// The unit with what exists once, and its holder; both only the first time.
    fn end(&mut self) -> Option<(Box<Unit>, Option<ActorId>)> {
        let mut unit = self.unit.take()?;
        let mut backup = self.entry.backup().take()?;
        unit.reply = backup.unit.reply.take();
        unit.room = backup.unit.room.take();
        Some((unit, backup.holder))
    }
}

impl Deref for TrackedUnit {
    type Target = Unit;

    fn deref(&self) -> &Unit {
        self.unit.as_ref().expect("only settle and drop take the unit")
    }
}

impl DerefMut for TrackedUnit {
    fn deref_mut(&mut self) -> &mut Unit {
        self.unit.as_mut().expect("only settle and drop take the unit")
    }
}

impl Drop for TrackedUnit {
    fn drop(&mut self) {
        let Some((mut unit, holder)) = self.end() else { return };
        if let (Some(place), Some(holder)) = (self.entry.in_hand(), holder) {
            let stage = holder.kind.name();
            unit.items[place].fail(stage, TransientCode::WorkerLost, format!("{stage} died at work on the event"));
        }
        unit.reopen();
        if let Some(lost) = self.tracker.lost.get() {
            lost.do_send(Lost(*unit));
        }
    }
}

/// Turns units into tracked work, knows all that is under way, and takes it back.
#[derive(Default)]
pub(super) struct UnitTracker {
    entries: Mutex<Vec<Weak<UnitEntry>>>,
    sweep_at: AtomicUsize,
    /// Where lost units go.
    lost: OnceLock<Recipient<Lost>>,
}

impl UnitTracker {
    /// Has lost units reported from now on.
    pub fn report_losses_to(&self, lost: Recipient<Lost>) {
        self.lost.get_or_init(|| lost);
    }

    /// Tracks `unit`.
    pub fn track(self: &Arc<Self>, mut unit: Unit) -> TrackedUnit {
        let backup = Mutex::new(Some(UnitBackup { unit: unit.split_off_backup(), holder: None }));
        let entry = Arc::new(UnitEntry { backup, in_hand: AtomicUsize::new(0) });
        self.add(&entry);
        TrackedUnit { unit: Some(Box::new(unit)), entry, tracker: self.clone() }
    }

    /// Whether `holder` has any unit.
    pub fn is_holding(&self, holder: ActorId) -> bool {
        !self.held_by(holder).is_empty()
    }

    /// Takes every unit from `holder`, as it was before anything was done; the event in hand is charged with `cause`.
    pub fn reclaim(&self, holder: ActorId, cause: Option<TransientCode>) -> Vec<Unit> {
        self.held_by(holder).iter().filter_map(|entry| take_from(entry, holder, cause)).collect()
    }

    /// Adds an entry. Those that are gone are swept out whenever there are twice as many, which costs each entry little.
    fn add(&self, entry: &Arc<UnitEntry>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.sweep_at.load(Ordering::Relaxed).max(SWEEP_AT_MIN) {
            entries.retain(|entry| entry.strong_count() > 0);
            self.sweep_at.store(entries.len() * 2, Ordering::Relaxed);
        }
        entries.push(Arc::downgrade(entry));
    }

    fn held_by(&self, holder: ActorId) -> Vec<Arc<UnitEntry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(Weak::upgrade).filter(|entry| entry.is_held_by(holder)).collect()
    }
}

fn take_from(entry: &UnitEntry, holder: ActorId, cause: Option<TransientCode>) -> Option<Unit> {
    // It may have been passed on since it was looked at.
    let mut unit = entry.backup().take_if(|backup| backup.holder == Some(holder))?.unit;
    if let (Some(cause), Some(place)) = (cause, entry.in_hand()) {
        let stage = holder.kind.name();
        unit.items[place].fail(
            stage,
            cause,
            format!("{stage} was at work on the event for longer than the hard limit"),
        );
    }
    // Its write may be under way.
    unit.maybe_stored |= holder.kind == ActorKind::Persister;
    Some(unit)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use actix::prelude::*;
    use tokio::sync::mpsc;

    use super::super::admission::Admission;
    use super::super::receipt::Handling;
    use super::super::unit::{Item, UnitOrigin};
    use super::*;
    use crate::clock;
    use crate::domain::event::Event;
    use crate::domain::outcome::Failure;
    use crate::domain::submission::Submission;

    /// Stands for the Supervisor.
    struct Probe(mpsc::UnboundedSender<Unit>);

    impl Actor for Probe {
        type Context = Context<Self>;
    }

    impl Handler<Lost> for Probe {
        type Result = ();

        fn handle(&mut self, Lost(unit): Lost, _: &mut Context<Self>) {
            self.0.send(unit).expect("the test listens");
        }
    }

    fn unit(ids: &[i64], admission: &Arc<Admission>) -> Unit {
        let item = |id: &i64| {
            let event = Event::new(*id, 1, Submission::default(), None, clock::now());
            Item::new(event, clock::now(), Instant::now() + Duration::from_secs(60))
        };
        let mut room = admission.room();
        room.cover(ids.len()).expect("room");
        let mut unit = Unit::new(UnitOrigin::Request(Handling::Lenient), ids.iter().map(item).collect());
        unit.room = Some(room);
        drop(unit.expect_reply());
        unit
    }

    fn codes(unit: &Unit) -> Vec<Option<TransientCode>> {
        let code = |item: &Item| match &item.result {
            Some(Err(Failure::Transient(failure))) => Some(failure.code),
            _ => None,
        };
        unit.items.iter().map(code).collect()
    }

    /// Runs `test` with a tracker, room for ten events and what gets lost.
    fn with_tracker(test: impl AsyncFnOnce(Arc<UnitTracker>, Arc<Admission>, mpsc::UnboundedReceiver<Unit>) + 'static) {
        System::new().block_on(async {
            let (lost, losses) = mpsc::unbounded_channel();
            let tracker = Arc::<UnitTracker>::default();
            tracker.report_losses_to(Probe(lost).start().recipient());
            test(tracker, Admission::new(10, 100_000), losses).await;
        });
    }

    #[test]
    fn what_was_taken_back_has_no_other_owner() {
        with_tracker(async |tracker, admission, mut losses| {
            let stuck = ActorId::new(ActorKind::Normalizer);
            let next = ActorId::new(ActorKind::Persister);
            let [work, passed, waiting] = [&[1, 2, 3][..], &[4], &[5]].map(|ids| tracker.track(unit(ids, &admission)));
            assert!([&work, &passed, &waiting].iter().all(|work| work.assign_to(stuck)));
            work.begin_item(1);
            assert!(passed.assign_to(next));
            let taken = tracker.reclaim(stuck, Some(TransientCode::HardTimeout));
            assert_eq!(taken.len(), 2, "one was passed on before");
            let late = &taken[0];
            let hard = Some(TransientCode::HardTimeout);
            assert_eq!(codes(late), [None, hard, None], "only the event in hand is charged");
            assert!(late.reply.is_some() && late.room.is_some() && !late.maybe_stored);
            assert!(tracker.reclaim(stuck, None).is_empty(), "once");

            assert!(!work.assign_to(next), "the stuck thread wakes up");
            assert!(work.settle().is_none());
            drop(waiting);
            assert_eq!(admission.in_flight().0, 5, "the room goes with who has the unit now");
            drop(taken);
            assert_eq!(admission.in_flight().0, 1);
            assert!(passed.settle().is_some_and(|unit| unit.reply.is_some()));
            assert_eq!(admission.in_flight().0, 0);
            tokio::task::yield_now().await;
            assert!(losses.try_recv().is_err(), "nothing was lost");
        });
    }

    #[test]
    fn what_is_dropped_is_reported_and_the_event_in_hand_charged() {
        with_tracker(async |tracker, admission, mut losses| {
            let work = tracker.track(unit(&[1, 2], &admission));
            work.assign_to(ActorId::new(ActorKind::Validator));
            work.begin_item(0);
            drop(work);
            let lost = losses.recv().await.expect("a report");
            assert_eq!(codes(&lost), [Some(TransientCode::WorkerLost), None]);
            assert!(lost.reply.is_some() && lost.room.is_some());
        });
    }

    #[test]
    fn a_unit_of_a_persister_may_be_stored_and_keeps_its_new_id() {
        with_tracker(async |tracker, admission, _| {
            let holder = ActorId::new(ActorKind::Persister);
            let mut work = tracker.track(unit(&[1], &admission));
            work.assign_to(holder);
            work.renumber(0, 7);
            let taken = tracker.reclaim(holder, None);
            assert!(taken[0].maybe_stored);
            assert_eq!((taken[0].items[0].event.id, work.items[0].event.id), (7, 7));
        });
    }

    #[test]
    fn entries_do_not_grow_with_what_is_gone() {
        with_tracker(async |tracker, admission, _| {
            let kept = tracker.track(unit(&[1], &admission));
            for _ in 0..5_000 {
                tracker.track(unit(&[2], &admission)).settle();
            }
            let entries = tracker.entries.lock().expect("nobody panicked").len();
            assert!(entries <= SWEEP_AT_MIN, "{entries} entries for one unit");
            drop(kept);
        });
    }
}
