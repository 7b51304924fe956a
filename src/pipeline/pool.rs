//! A pool of actors of one kind, seen from the stage before it: where a message goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use actix::dev::ToEnvelope;
use actix::prelude::*;

use super::custody::Holder;
use super::gauges::Gauges;
use super::messages::Handed;

struct Member<M: Message<Result = ()> + Send> {
    holder: Holder,
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

impl<M: Message<Result = ()> + Handed + Send + 'static> Pool<M> {
    /// An empty pool whose actors are preferred as long as fewer than `mailbox_max` messages wait at them.
    pub fn new(mailbox_max: usize) -> Self {
        let inner = Inner { members: RwLock::new(Vec::new()), next: AtomicUsize::new(0), mailbox_max };
        Self { inner: Arc::new(inner) }
    }

    /// Adds an actor.
    pub fn add<A>(&self, holder: Holder, actor: &Addr<A>, gauges: Arc<Gauges>)
    where
        A: Actor<Context = Context<A>> + Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let member = Member { holder, recipient: actor.clone().recipient(), gauges };
        self.inner.members.write().unwrap_or_else(PoisonError::into_inner).push(member);
    }

    /// Removes an actor, if it is one of this pool: when this returns, it is handed nothing more.
    pub fn remove(&self, holder: Holder) {
        let mut members = self.inner.members.write().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.holder != holder);
    }

    /// Hands `message` to the next actor that is alive and has room in its mailbox; to the next one alive if none has.
    ///
    /// If none is alive the message is dropped: the guard in it reports the loss.
    pub fn send(&self, mut message: M) {
        let members = self.inner.members.read().unwrap_or_else(PoisonError::into_inner);
        let first = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..members.len()).map(|step| &members[(first + step) % members.len()]);
        let alive = || in_turn().filter(|member| member.recipient.connected());
        let has_room = |member: &&Member<M>| member.gauges.mailbox() < self.inner.mailbox_max;
        if let Some(member) = alive().find(has_room).or_else(|| alive().next()) {
            message.hand_to(member.holder);
            member.gauges.given();
            member.recipient.do_send(message);
        }
    }
}
