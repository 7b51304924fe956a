//! Actors that work in turns, one at a time: what comes while a turn is under way is done in the next one.

use std::time::Duration;

use actix::prelude::*;

/// Whether a turn is under way, what came in the meantime, and how long the next rest is.
pub(super) struct Turns {
    is_busy: bool,
    is_woken: bool,
    rest: Duration,
    rest_min: Duration,
    rest_max: Duration,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextTurn {
    /// Nothing, until something comes.
    Idle,
    /// Another turn.
    AtOnce,
    /// Another turn after a pause; nothing that comes shortens it.
    After(Duration),
    /// Another turn after a rest, doubled with every turn that ends so.
    Rest,
}

/// An actor that works in turns.
pub(super) trait TakesTurns: Actor<Context = Context<Self>> {
    /// What a turn came to.
    type Done: 'static;

    fn turns(&mut self) -> &mut Turns;

    /// The work of a turn; `is_woken` if something came since the last one began.
    fn turn(&mut self, is_woken: bool) -> impl Future<Output = Self::Done> + 'static;

    /// Takes what it came to.
    fn end_turn(&mut self, done: Self::Done, context: &mut Context<Self>) -> NextTurn;

    /// Begins a turn, or another one after that under way.
    fn take_turn(&mut self, context: &mut Context<Self>) {
        let turns = self.turns();
        if turns.is_busy {
            turns.is_woken = true;
            return;
        }
        turns.is_busy = true;
        let is_woken = std::mem::take(&mut turns.is_woken);
        let turn = self.turn(is_woken).into_actor(self);
        context.spawn(turn.map(|done, actor, context| {
            let next = actor.end_turn(done, context);
            match actor.turns().pause_before(next) {
                None => actor.turns().is_busy = false,
                Some(Duration::ZERO) => actor.take_next_turn(context),
                Some(pause) => drop(context.run_later(pause, Self::take_next_turn)),
            }
        }));
    }

    /// Begins the turn that follows one.
    fn take_next_turn(&mut self, context: &mut Context<Self>) {
        self.turns().is_busy = false;
        self.take_turn(context);
    }
}

impl Turns {
    /// A rest is `rest_min` long, doubled with every further one up to `rest_max`.
    pub fn new(rest_min: Duration, rest_max: Duration) -> Self {
        Self { is_busy: false, is_woken: false, rest: rest_min, rest_min, rest_max }
    }

    /// Notes that there is something to do in the next turn.
    pub fn wake(&mut self) {
        self.is_woken = true;
    }

    /// Whether there is something to do in the next turn.
    pub fn is_woken(&self) -> bool {
        self.is_woken
    }

    /// How long nothing is done; `None` until something comes.
    fn pause_before(&mut self, next: NextTurn) -> Option<Duration> {
        let rest = self.rest;
        self.rest = if next == NextTurn::Rest { (rest * 2).min(self.rest_max) } else { self.rest_min };
        match next {
            NextTurn::Idle => None,
            NextTurn::AtOnce => Some(Duration::ZERO),
            NextTurn::After(pause) => Some(pause),
            NextTurn::Rest => Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_until_a_turn_ends_otherwise() {
        let second = Duration::from_secs(1);
        let mut turns = Turns::new(second, second * 3);
        let rests = |turns: &mut Turns| [(); 4].map(|()| turns.pause_before(NextTurn::Rest));
        assert_eq!(rests(&mut turns), [1, 2, 3, 3].map(|length| Some(second * length)));
        assert_eq!(turns.pause_before(NextTurn::Idle), None);
        assert_eq!(turns.pause_before(NextTurn::Rest), Some(second));
    }
}
