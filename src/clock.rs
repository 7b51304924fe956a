//! The wall clock and the one form of time outside the process: RFC 3339, UTC, microseconds, `Z`.
//!
//! Both databases hold microseconds, so nothing finer leaves this module. Leap seconds (`23:59:60`) are refused:
//! the databases have no such instant and each would store another one.

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, Timelike, Utc};

/// A text longer than this is no time; it is the longest one with nine digits and an offset, and some room.
const TEXT_CHARS_MAX: usize = 64;

/// chrono counts a leap second as nanoseconds from here on.
const LEAP_NANOSECOND: u32 = 1_000_000_000;

/// A text that is not a time that can be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time is {given}, allowed: {allowed}")]
pub struct TimeError {
    given: String,
    allowed: &'static str,
}

/// The wall time, cut to microseconds.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Writes a time as `2026-11-23T17:20:00.123456Z`.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads RFC 3339 with any offset, converted to UTC and cut to microseconds; years 1 to 9999 of UTC.
pub fn parse_rfc3339(text: &str) -> Result<DateTime<Utc>, TimeError> {
    let refuse = |allowed| {
        let given: String = text.chars().take(TEXT_CHARS_MAX).collect();
        TimeError {
            given: format!("{given:?}"),
            allowed,
        }
    };
    let parsed = DateTime::parse_from_rfc3339(text)
        .map_err(|_| refuse("RFC 3339, as \"2026-11-23T17:20:00Z\""))?;
    let time = parsed.with_timezone(&Utc);
    if time.nanosecond() >= LEAP_NANOSECOND {
        return Err(refuse("seconds from 00 to 59, no leap second"));
    }
    if !(1..=9999).contains(&time.year()) {
        return Err(refuse("years 1 to 9999 in UTC"));
    }
    Ok(time.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_cut_to_microseconds() {
        assert_eq!(now().nanosecond() % 1_000, 0);
    }

    #[test]
    fn times_are_converted_to_utc_and_cut_to_microseconds() {
        for (text, expected) in [
            ("2026-11-23T17:20:00Z", "2026-11-23T17:20:00.000000Z"),
            ("2026-11-23T17:20:00.1Z", "2026-11-23T17:20:00.100000Z"),
            (
                "2026-11-23T17:20:00.123456789Z",
                "2026-11-23T17:20:00.123456Z",
            ),
            ("2026-11-23T17:20:00+14:00", "2026-11-23T03:20:00.000000Z"),
            ("2026-11-23T17:20:00-00:00", "2026-11-23T17:20:00.000000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            (
                "9999-12-31T23:59:59.999999999Z",
                "9999-12-31T23:59:59.999999Z",
            ),
            (
                "1969-12-31T23:59:59.999999999Z",
                "1969-12-31T23:59:59.999999Z",
            ),
        ] {
            let time = parse_rfc3339(text).expect(text);
            assert_eq!(rfc3339(time), expected);
            assert_eq!(parse_rfc3339(&rfc3339(time)), Ok(time));
        }
    }

    #[test]
    fn what_is_no_storable_time_is_refused_and_named() {
        for text in [
            "",
            "now",
            "1766000000",
            "2026-11-23",
            "2026-11-23T17:20:00",
            "2026-02-30T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T25:00:00Z",
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.5Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "２０２６-11-23T17:20:00Z",
            "2026-11-23T17:20:00Z\n",
            " 2026-11-23T17:20:00Z",
        ] {
            let error = parse_rfc3339(text).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("time is {text:?}, allowed: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_text_is_cut_in_the_report() {
        let error = parse_rfc3339(&"9".repeat(1_000_000)).expect_err("no time");
        assert!(error.to_string().len() < 200);
    }
}
