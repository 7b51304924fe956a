//! Texts on the screen: what came from outside made harmless, and numbers as people read them.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer};

use crate::telemetry::escape::LineEscaped;

/// A text from outside. It has no character that steers a terminal, breaks a line or hides: those are written out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn of(text: &str) -> Self {
        let mut clean = String::with_capacity(text.len());
        LineEscaped(&mut clean).write_str(text).expect("a String takes every text");
        Self(clean)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&String::deserialize(deserializer)?))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number per second, to a digit.
pub(super) fn rate(number: f64) -> String {
    if number < 100.0 { format!("{number:.1}") } else { grouped(number.round() as i64) }
}

/// A time of so many microseconds, to three digits; a dash if there is none.
pub(super) fn time(us: Option<f64>) -> String {
    match us {
        None => "–".to_owned(),
        Some(us) if us < 9_995.0 => format!("{:.2} ms", us / 1_000.0),
        Some(us) if us < 99_950.0 => format!("{:.1} ms", us / 1_000.0),
        Some(us) if us < 999_500.0 => format!("{:.0} ms", us / 1_000.0),
        Some(us) => format!("{:.2} s", us / 1_000_000.0),
    }
}

/// A share as percent; a dash of nothing.
pub(super) fn share(part: i64, whole: i64) -> String {
    if whole > 0 { format!("{:.1} %", 100.0 * part as f64 / whole as f64) } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_steers_no_terminal() {
        let text: Text = serde_json::from_str(r#""\u001b[2Jgone\u0007\u009b31m\r\n\u202eevil""#).expect("a text");
        assert_eq!(text.as_str(), r"\u{1b}[2Jgone\u{7}\u{9b}31m\r\n\u{202e}evil");
        assert_eq!(format!("{:>7}", Text::of("für")), "    für");
    }

    #[test]
    fn numbers_are_short_and_their_thousands_apart() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(grouped), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([0.04, 12.34, 12_345.6].map(rate), ["0.0", "12.3", "12,346"]);
        let times = [Some(64.0), Some(12_345.0), Some(123_456.0), Some(1_234_567.0), None].map(time);
        assert_eq!(times, ["0.06 ms", "12.3 ms", "123 ms", "1.23 s", "–"]);
        assert_eq!((share(1, 8), share(0, 0)), ("12.5 %".to_owned(), "–".to_owned()));
    }
}
