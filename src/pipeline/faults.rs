//! Faults on purpose: rules that make an actor panic, die, abort, stall, loop, hang or fail. Only with the feature
//! `fault-injection`; without it this file is three empty functions.

#[cfg(feature = "fault-injection")]
pub(super) use rules::Faults;

#[cfg(not(feature = "fault-injection"))]
pub(super) use none::Faults;

#[cfg(not(feature = "fault-injection"))]
mod none {
    use crate::domain::event::Event;

    /// No faults.
    #[derive(Default)]
    pub(in crate::pipeline) struct Faults;

    impl Faults {
        pub fn outside(&self, _stage: &str, _event: &Event) {}

        #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
        pub fn inside(&self, _stage: &str, _event: &Event) -> Result<(), String> {
            Ok(())
        }

        #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
        pub fn turn(&self, _stage: &str) -> bool {
            false
        }
    }
}

#[cfg(feature = "fault-injection")]
mod rules {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use crate::config::{FaultAction, FaultPoint, FaultRule};
    use crate::domain::event::Event;

    /// The rules of `[[faults]]`, each with the times that it has struck.
    #[derive(Default)]
    pub(in crate::pipeline) struct Faults(Vec<(FaultRule, AtomicU32)>);

    impl Faults {
        pub fn new(rules: &[FaultRule]) -> Self {
            Self(rules.iter().map(|rule| (rule.clone(), AtomicU32::new(0))).collect())
        }

        /// Strikes at an event, but outside the isolation of events: the actor dies.
        pub fn outside(&self, stage: &str, event: &Event) {
            let matches = |rule: &FaultRule| rule.action == FaultAction::Crash && concerns_event(rule, stage, event);
            if self.strike(matches).is_some() {
                panic!("a fault rule kills the actor");
            }
        }

        /// Strikes inside the isolation of events.
        pub fn inside(&self, stage: &str, event: &Event) -> Result<(), String> {
            let matches = |rule: &FaultRule| rule.action != FaultAction::Crash && concerns_event(rule, stage, event);
            match self.strike(matches) {
                Some(rule) if rule.action == FaultAction::Error => Err("a fault rule fails".to_owned()),
                Some(rule) => {
                    do_harm(rule);
                    Ok(())
                }
                None => Ok(()),
            }
        }

        /// Strikes at no event; returns whether the caller's await is never to end.
        pub fn turn(&self, stage: &str) -> bool {
            let matches = |rule: &FaultRule| rule.point == FaultPoint::Turn && rule.stage.as_str() == stage;
            let Some(rule) = self.strike(matches) else { return false };
            do_harm(rule);
            rule.action == FaultAction::Hang
        }

        fn strike(&self, matches: impl Fn(&FaultRule) -> bool) -> Option<&FaultRule> {
            let (rule, struck) = self.0.iter().find(|(rule, _)| matches(rule))?;
            let before = struck.fetch_add(1, Ordering::Relaxed);
            (rule.times == 0 || before < rule.times).then_some(rule)
        }
    }

    fn concerns_event(rule: &FaultRule, stage: &str, event: &Event) -> bool {
        let name = event.submission.event_name.as_deref().unwrap_or_default();
        rule.point == FaultPoint::Event
            && rule.stage.as_str() == stage
            && (rule.event_name.is_empty() || rule.event_name == name)
            && is_drawn(rule.share, event)
    }

    /// Draws `share` of all attempts, the same ones each time: by the event's id and its attempts so far.
    fn is_drawn(share: f64, event: &Event) -> bool {
        let mut bits = event.id.cast_unsigned() ^ (u64::from(event.attempts) << 56);
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
            bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
        }
        let drawn = f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX);
        share >= 1.0 || drawn < share
    }

    fn do_harm(rule: &FaultRule) {
        match rule.action {
            FaultAction::Panic | FaultAction::Crash => panic!("a fault rule panics"),
            FaultAction::Abort => std::process::abort(),
            FaultAction::Stall => stall(rule.duration),
            FaultAction::Loop => spin(),
            FaultAction::Error | FaultAction::Hang => {}
        }
    }

    /// Blocks the thread, as a stuck call would.
    fn stall(duration: Duration) {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
    }

    /// Keeps a processor busy and never ends.
    fn spin() {
        loop {
            std::hint::spin_loop();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::clock;
        use crate::domain::submission::Submission;

        #[test]
        fn a_share_of_the_attempts_is_drawn_and_always_the_same() {
            let event =
                |id, attempts| Event { attempts, ..Event::new(id, 1, Submission::default(), None, clock::now()) };
            let drawn = |attempts| (0..10_000).filter(|id| is_drawn(0.1, &event(*id, attempts))).collect::<Vec<_>>();
            let first = drawn(0);
            let second = drawn(1);
            assert!((900..1_100).contains(&first.len()), "{} of 10,000", first.len());
            assert_eq!(first, drawn(0));
            let both = first.iter().filter(|id| second.contains(id)).count();
            assert!((50..150).contains(&both), "a retry is drawn anew: {both} of {} again", first.len());
            assert!((0..1_000).all(|id| is_drawn(1.0, &event(id, 0))));
        }
    }
}
