//! A pool of actors of one kind, seen from the stage before it: where a message goes, and what is measured there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::prelude::*;

/// What one actor counts; it outlives the actor, so that a restart loses no figures.
#[derive(Default)]
pub(super) struct Gauges {
    mailbox: AtomicUsize,
    events: AtomicU64,
    panics: AtomicU64,
    busy_us: AtomicU64,
    /// When the work in hand began, in milliseconds since the process's first look at the clock, plus one; 0 = idle.
    working_since_ms: AtomicU64,
}

/// A reading of [`Gauges`].
pub(super) struct Reading {
    pub mailbox: usize,
    pub events: u64,
    pub panics: u64,
    pub busy_us: u64,
}

impl Gauges {
    /// Notes that the actor took a message from its mailbox and has worked since `began` on `events` events.
    pub fn worked(&self, events: usize, began: Instant) {
        let busy = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.busy_us.fetch_add(busy, Ordering::Relaxed);
    }

    /// Notes that the actor begins to work on one event.
    pub fn begin(&self) {
        self.working_since_ms.store(elapsed_ms() + 1, Ordering::Relaxed);
    }

    /// Notes that the work on the event is over.
    pub fn end(&self) {
        self.working_since_ms.store(0, Ordering::Relaxed);
    }

    /// How long the actor has been at work on one event.
    pub fn working_for(&self) -> Duration {
        match self.working_since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis((elapsed_ms() + 1).saturating_sub(since)),
        }
    }

    /// Notes that the actor took a message from its mailbox.
    pub fn took(&self) {
        let _ = self.mailbox.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |depth| depth.checked_sub(1));
    }

    /// Notes a panic that was caught.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the messages that died with an actor's mailbox.
    pub fn mailbox_died(&self) {
        self.mailbox.store(0, Ordering::Relaxed);
    }

    pub fn read(&self) -> Reading {
        Reading {
            mailbox: self.mailbox.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            busy_us: self.busy_us.load(Ordering::Relaxed),
        }
    }
}

fn elapsed_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

struct Member<M: Message<Result = ()> + Send> {
    recipient: Recipient<M>,
    gauges: Arc<Gauges>,
}

/// The actors that take messages of the type `M`; clones share them.
pub(super) struct Pool<M: Message<Result = ()> + Send> {
    inner: Arc<Inner<M>>,
}

struct Inner<M: Message<Result = ()> + Send> {
    members: RwLock<Vec<Member<M>>>,
    next: AtomicUsize,
    mailbox_max: usize,
}

impl<M: Message<Result = ()> + Send> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M: Message<Result = ()> + Send + 'static> Pool<M> {
    /// An empty pool whose actors are preferred as long as fewer than `mailbox_max` messages wait at them.
    pub fn new(mailbox_max: usize) -> Self {
        let inner = Inner { members: RwLock::new(Vec::new()), next: AtomicUsize::new(0), mailbox_max };
        Self { inner: Arc::new(inner) }
    }

    /// Puts an actor at `place`, instead of the one that was there.
    pub fn put<A>(&self, place: usize, actor: &Addr<A>, gauges: Arc<Gauges>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let member = Member { recipient: actor.clone().recipient(), gauges };
        let mut members = self.inner.members.write().unwrap_or_else(PoisonError::into_inner);
        match members.get_mut(place) {
            Some(present) => *present = member,
            None => members.push(member),
        }
    }

    /// Hands `message` to the next actor that is alive and has room in its mailbox; to the next one alive if none has.
    ///
    /// If none is alive the message is dropped: the guard in it reports the loss.
    pub fn send(&self, message: M) {
        let members = self.inner.members.read().unwrap_or_else(PoisonError::into_inner);
        let first = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..members.len()).map(|step| &members[(first + step) % members.len()]);
        let alive = || in_turn().filter(|member| member.recipient.connected());
        let has_room = |member: &&Member<M>| member.gauges.mailbox.load(Ordering::Relaxed) < self.inner.mailbox_max;
        if let Some(member) = alive().find(has_room).or_else(|| alive().next()) {
            member.gauges.mailbox.fetch_add(1, Ordering::Relaxed);
            member.recipient.do_send(message);
        }
    }
}
