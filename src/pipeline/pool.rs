//! A pool of actors of one kind, seen from the stage before it: where a message goes, and where it waits while the pool
//! is paused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::prelude::*;

use super::gauges::Gauges;
use super::messages::PoolMessage;
use super::tracker::{ActorId, TrackedUnit};
use crate::domain::actor_kind::ActorKind;

/// Work on one event that is no longer usual: an actor may be stuck in it.
const LONG_WORK: Duration = Duration::from_millis(100);

struct PoolMember<M: Message<Result = ()> + Send> {
    holder: ActorId,
    recipient: Recipient<M>,
    gauges: Arc<Gauges>,
}

/// Where messages wait while the pool is paused. It holds their units itself: whatever becomes of actors, they stay.
struct Gate<M> {
    holder: ActorId,
    waiting: Mutex<Vec<(Instant, M)>>,
}

impl<M> Gate<M> {
    fn waiting(&self) -> MutexGuard<'_, Vec<(Instant, M)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actors that take messages of the type `M`; clones share them.
pub(super) struct Pool<M: Message<Result = ()> + Send> {
    inner: Arc<PoolInner<M>>,
}

struct PoolInner<M: Message<Result = ()> + Send> {
    members: RwLock<PoolMembers<M>>,
    next: AtomicUsize,
    mailbox_max: usize,
}

struct PoolMembers<M: Message<Result = ()> + Send> {
    all: Vec<PoolMember<M>>,
    /// Shut while the pool is paused.
    gate: Option<Gate<M>>,
}

impl<M: Message<Result = ()> + Send> PoolMembers<M> {
    fn choose(&self, next: &AtomicUsize, mailbox_max: usize) -> Option<&PoolMember<M>> {
        let is_alive = |member: &&PoolMember<M>| member.recipient.connected();
        let gets_on = |member: &&PoolMember<M>| member.gauges.working_for() < LONG_WORK;
        let has_room = |member: &&PoolMember<M>| member.gauges.mailbox() < mailbox_max;
        let is_free = |member: &&PoolMember<M>| member.gauges.mailbox() == 0 && gets_on(member);
        if let Some(free) = self.all.iter().filter(is_alive).find(is_free) {
            return Some(free);
        }
        let first = next.fetch_add(1, Ordering::Relaxed);
        let alive = || (0..self.all.len()).map(|step| &self.all[(first + step) % self.all.len()]).filter(is_alive);
        let best = alive().filter(has_room).find(gets_on).or_else(|| alive().find(has_room));
        best.or_else(|| alive().next())
    }
}

impl<M: Message<Result = ()> + Send> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M: Message<Result = ()> + PoolMessage + Send + 'static> Pool<M> {
    /// An empty pool whose actors are preferred as long as fewer than `mailbox_max` messages wait at them.
    pub fn new(mailbox_max: usize) -> Self {
        let members = RwLock::new(PoolMembers { all: Vec::new(), gate: None });
        Self { inner: Arc::new(PoolInner { members, next: AtomicUsize::new(0), mailbox_max }) }
    }

    /// Adds an actor.
    pub fn add<A>(&self, holder: ActorId, actor: &Addr<A>, gauges: Arc<Gauges>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let member = PoolMember { holder, recipient: actor.clone().recipient(), gauges };
        self.write().all.push(member);
    }

    /// Hands `message` to the first actor that is alive and has nothing waiting: one that works anyhow takes it without
    /// being woken. If something waits at each, to the next in turn with room in its mailbox; to the next one alive if none
    /// has. Whoever has been at one event for long comes last. While the pool is paused, it waits.
    ///
    /// If none is alive the message is dropped: the guard in it reports the loss.
    pub fn send(&self, mut message: M) {
        let members = self.read();
        if let Some(gate) = &members.gate {
            message.assign_to(gate.holder);
            gate.waiting().push((Instant::now(), message));
            return;
        }
        if let Some(member) = members.choose(&self.inner.next, self.inner.mailbox_max) {
            message.assign_to(member.holder);
            member.gauges.given();
            member.recipient.do_send(message);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, PoolMembers<M>> {
        self.inner.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, PoolMembers<M>> {
        self.inner.members.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool, whatever its messages are.
pub(super) trait Inbox {
    /// Removes an actor, if it is one of this pool: when this returns, it is handed nothing more.
    fn remove(&self, holder: ActorId);

    /// Stops handing messages to the actors, which are of `kind`, or hands them what has waited and what comes. When
    /// this returns, it is so.
    fn set_paused(&self, kind: ActorKind, is_paused: bool);

    /// Events that wait for the pool to go on.
    fn held(&self) -> usize;

    /// Takes the matching units that wait for the pool to go on.
    fn take_held(&self, matches: &dyn Fn(&TrackedUnit) -> bool) -> Vec<TrackedUnit>;
}

impl<M: Message<Result = ()> + PoolMessage + Send + 'static> Inbox for Pool<M> {
    fn remove(&self, holder: ActorId) {
        self.write().all.retain(|member| member.holder != holder);
    }

    fn set_paused(&self, kind: ActorKind, is_paused: bool) {
        if is_paused {
            let shut = || Gate { holder: ActorId::new(kind), waiting: Mutex::default() };
            self.write().gate.get_or_insert_with(shut);
            return;
        }
        let opened = self.write().gate.take();
        for (since, mut message) in opened.iter().flat_map(|gate| std::mem::take(&mut *gate.waiting())) {
            message.extend_deadlines(since.elapsed());
            self.send(message);
        }
    }

    fn held(&self) -> usize {
        let members = self.read();
        let Some(gate) = &members.gate else { return 0 };
        let mut waiting = gate.waiting();
        let works = waiting.iter_mut().flat_map(|(_, message)| message.units()).flatten();
        works.map(|work| work.items.len()).sum()
    }

    fn take_held(&self, matches: &dyn Fn(&TrackedUnit) -> bool) -> Vec<TrackedUnit> {
        let members = self.read();
        let Some(gate) = &members.gate else { return Vec::new() };
        let mut taken = Vec::new();
        gate.waiting().retain_mut(|(_, message)| {
            let Some(works) = message.units() else { return true };
            taken.extend(works.extract_if(.., |work| matches(work)));
            !works.is_empty()
        });
        taken
    }
}
