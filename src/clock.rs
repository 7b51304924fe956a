//! The wall clock: the only place that asks what time it is.
//!
//! Both databases hold microseconds, so nothing finer leaves this module.

use chrono::{DateTime, SubsecRound, Utc};

/// The wall time, cut to microseconds.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;

    use super::*;

    #[test]
    fn now_is_cut_to_microseconds() {
        assert_eq!(now().nanosecond() % 1_000, 0);
    }
}
