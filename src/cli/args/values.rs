//! How values are written on the command line.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use crate::config::units::parse_duration;
use crate::domain::timestamp;

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After this time from its creation.
    After(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

impl Expiry {
    /// The time at which it ends if created at `now`; `None` beyond the year 9999.
    pub fn at(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Expiry::At(at) => Some(at),
            Expiry::After(span) => timestamp::after(now, span),
        }
    }
}

pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "allowed: a whole number and ms, s, m, h or d, as 1h".to_owned())
}

/// A day as the archive writes it.
pub(super) fn parse_day(text: &str) -> Result<String, String> {
    let day = text.parse::<NaiveDate>().map(|day| day.to_string()).ok().filter(|day| day == text);
    day.ok_or_else(|| "allowed: a day as 2026-11-30".to_owned())
}

pub(super) fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if let Some(span) = parse_duration(text) {
        return Ok(Expiry::After(span));
    }
    timestamp::parse(text)
        .map(Expiry::At)
        .ok_or_else(|| "allowed: a duration as 30d, or a time as 2027-01-01T00:00:00Z".to_owned())
}
