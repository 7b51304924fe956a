//! Times as text: RFC 3339, UTC, microseconds, `Z`.

use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Timelike, Utc};

/// `time` as RFC 3339 text with microseconds and `Z`.
pub fn render(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The years in which June and December ended with a leap second, 23:59:60 UTC. The last one was announced for 2016.
const LEAP_JUNES: [i32; 11] = [1972, 1981, 1982, 1983, 1985, 1992, 1993, 1994, 1997, 2012, 2015];
const LEAP_DECEMBERS: [i32; 16] =
    [1972, 1973, 1974, 1975, 1976, 1977, 1978, 1979, 1987, 1989, 1990, 1995, 1998, 2005, 2008, 2016];

/// Reads RFC 3339 `text` with any offset; the result is UTC, cut to microseconds.
///
/// A leap second (`23:59:60` in UTC) is the second after it; any other sixtieth second is invalid. `None` if `text`
/// is not RFC 3339 or its year in UTC lies outside 1 to 9999, which the databases could not return.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    // chrono takes the typographic minus (U+2212) for a sign.
    let parsed = DateTime::parse_from_rfc3339(text).ok().filter(|_| text.is_ascii())?.to_utc();
    // It gives a sixtieth second as the one before, with a second's nanoseconds and more.
    if parsed.nanosecond() >= 1_000_000_000 && !is_before_leap_second(parsed) {
        return None;
    }
    DateTime::from_timestamp_micros(parsed.timestamp_micros()).filter(has_place)
}

fn is_before_leap_second(time: DateTime<Utc>) -> bool {
    let is_leap_day = match (time.month(), time.day()) {
        (6, 30) => LEAP_JUNES.contains(&time.year()),
        (12, 31) => LEAP_DECEMBERS.contains(&time.year()),
        _ => false,
    };
    is_leap_day && (time.hour(), time.minute()) == (23, 59)
}

/// The time that lies `span` after `time`; `None` beyond the year 9999, which no database column holds.
pub fn after(time: DateTime<Utc>, span: Duration) -> Option<DateTime<Utc>> {
    time.checked_add_signed(TimeDelta::from_std(span).ok()?).filter(has_place)
}

fn has_place(time: &DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_offset_and_written_in_utc_with_microseconds() {
        for (text, written) in [
            ("2025-12-18T10:30:00Z", Some("2025-12-18T10:30:00.000000Z")),
            ("2025-12-18T10:30:00.123456789+14:00", Some("2025-12-17T20:30:00.123456Z")),
            ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00.000000Z")),
            ("2016-12-31T23:59:60.25Z", Some("2017-01-01T00:00:00.250000Z")),
            ("2015-07-01T05:29:60+05:30", Some("2015-07-01T00:00:00.000000Z")),
            ("1972-06-30T13:59:60-10:00", Some("1972-07-01T00:00:00.000000Z")),
            ("2025-12-18T10:30:60Z", None),
            ("2016-12-31T22:59:60Z", None),
            ("2016-12-31T23:58:60Z", None),
            ("2016-12-31T23:59:60+01:00", None),
            ("2016-06-30T23:59:60Z", None),
            ("2015-12-31T23:59:60Z", None),
            ("2016-12-31T23:59:61Z", None),
            ("2025-12-18T10:30:00\u{2212}02:00", None),
            ("2025-12-18T10:30:00\u{ff0b}02:00", None),
            ("2025-12-18T10:30:\u{660}\u{660}Z", None),
            ("9999-12-31T23:59:59-00:01", None),
            ("0000-06-01T00:00:00Z", None),
            ("10000-01-01T00:00:00Z", None),
            ("2025-12-18", None),
            ("1766053800", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(render).as_deref(), written, "{text}");
        }
    }

    #[test]
    fn no_time_after_another_lies_beyond_the_year_9999() {
        let late = parse("9999-12-31T23:59:58Z").expect("a time");
        let end = after(late, Duration::from_secs(1)).map(render);
        assert_eq!(end.as_deref(), Some("9999-12-31T23:59:59.000000Z"));
        assert_eq!(after(late, Duration::from_secs(2)), None);
        assert_eq!(after(late, Duration::MAX), None);
    }
}
