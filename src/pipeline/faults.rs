//! Faults on purpose: rules that make a stage panic, die, abort, stall or fail. Only with the feature
//! `fault-injection`; without it this file is two empty functions.

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
    }
}

#[cfg(feature = "fault-injection")]
mod rules {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use crate::config::{FaultAction, FaultRule};
    use crate::domain::event::Event;

    /// The rules of `[[faults]]`, each with the times that it has struck.
    #[derive(Default)]
    pub(in crate::pipeline) struct Faults(Vec<(FaultRule, AtomicU32)>);

    impl Faults {
        pub fn new(rules: &[FaultRule]) -> Self {
            Self(rules.iter().map(|rule| (rule.clone(), AtomicU32::new(0))).collect())
        }

        /// Strikes outside the isolation of events: the actor dies.
        pub fn outside(&self, stage: &str, event: &Event) {
            if self.strike(stage, event, |action| action == FaultAction::Crash).is_some() {
                panic!("a fault rule kills the actor");
            }
        }

        /// Strikes inside the isolation of events.
        pub fn inside(&self, stage: &str, event: &Event) -> Result<(), String> {
            match self.strike(stage, event, |action| action != FaultAction::Crash) {
                Some((FaultAction::Panic, _)) => panic!("a fault rule panics"),
                Some((FaultAction::Abort, _)) => std::process::abort(),
                Some((FaultAction::Error, _)) => Err("a fault rule fails".to_owned()),
                Some((FaultAction::Stall, duration)) => {
                    stall(duration);
                    Ok(())
                }
                Some((FaultAction::Crash, _)) | None => Ok(()),
            }
        }

        fn strike(
            &self,
            stage: &str,
            event: &Event,
            is_meant: impl Fn(FaultAction) -> bool,
        ) -> Option<(FaultAction, Duration)> {
            let name = event.submission.event_name.as_deref().unwrap_or_default();
            let (rule, struck) = self.0.iter().find(|(rule, _)| {
                rule.stage.as_str() == stage
                    && (rule.event_name.is_empty() || rule.event_name == name)
                    && is_meant(rule.action)
            })?;
            let before = struck.fetch_add(1, Ordering::Relaxed);
            (rule.times == 0 || before < rule.times).then_some((rule.action, rule.duration))
        }
    }

    /// Blocks the thread, as a stuck call would.
    fn stall(duration: Duration) {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
    }
}
