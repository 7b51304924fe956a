//! Times as text: RFC 3339, UTC, microseconds, `Z`.

use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Utc};

/// `time` as RFC 3339 text with microseconds and `Z`.
pub fn render(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads RFC 3339 `text` with any offset; the result is UTC, cut to microseconds.
///
/// A leap second (`23:59:60`) is the second after it. `None` if `text` is not RFC 3339 or its year in UTC lies
/// outside 1 to 9999, which the databases could not give back.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text).ok()?;
    DateTime::from_timestamp_micros(parsed.timestamp_micros()).filter(has_place)
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
