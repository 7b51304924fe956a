//! Slices of JSON text that travel from the request to the database without being re-serialised.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A syntactically valid JSON value, exactly as it was received.
///
/// It shares the buffer of the request body: cloning it copies no payload bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

impl From<Box<RawValue>> for JsonText {
    fn from(value: Box<RawValue>) -> Self {
        Self(Bytes::from(String::from(Box::<str>::from(value))))
    }
}

impl JsonText {
    /// Takes the part `value` of `body`, which must lie inside it and be valid JSON.
    pub(crate) fn slice_of(body: &Bytes, value: &str) -> Self {
        Self(body.slice_ref(value.as_bytes()))
    }

    /// Reads `text`, for instance from a database column; errors if it is not JSON.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        let text = text.into();
        check_syntax(&text)?;
        Ok(Self(Bytes::from(text)))
    }

    /// The text of the value.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("both constructors take UTF-8 text")
    }

    /// Length of the value in UTF-8 bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A JSON value has at least one byte; this is here for completeness beside `len`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kind of this JSON value, known from its first byte.
    pub fn kind(&self) -> JsonKind {
        JsonKind::of(self.as_str())
    }
}

/// What counts as white space in JSON: less than in ASCII.
pub const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Appends `value` to `lines` as one line of JSON, whatever text of a client is spliced into it.
///
/// Line breaks outside of strings are white space and become blanks; inside of strings JSON has them escaped already, but
/// for the line separators of Unicode, at which some readers of lines break too: those are written as escapes.
pub fn write_line(lines: &mut Vec<u8>, value: &impl Serialize) {
    let start = lines.len();
    serde_json::to_writer(&mut *lines, value).expect("values have text keys only, and memory takes them");
    for byte in &mut lines[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    if let Cow::Owned(escaped) = without_separators(&lines[start..]) {
        lines.truncate(start);
        lines.extend_from_slice(&escaped);
    }
    lines.push(b'\n');
}

/// The JSON `text` with U+0085, U+2028 and U+2029 as escapes; outside of strings they cannot occur.
fn without_separators(text: &[u8]) -> Cow<'_, [u8]> {
    let escape_at = |at: usize| match text.get(at..)? {
        [0xC2, 0x85, ..] => Some((2, br"\u0085")),
        [0xE2, 0x80, 0xA8, ..] => Some((3, br"\u2028")),
        [0xE2, 0x80, 0xA9, ..] => Some((3, br"\u2029")),
        _ => None,
    };
    let mut escaped = Vec::new();
    let mut copied = 0;
    for at in memchr::memchr2_iter(0xC2, 0xE2, text) {
        if let Some((length, escape)) = escape_at(at) {
            escaped.extend_from_slice(&text[copied..at]);
            escaped.extend_from_slice(escape);
            copied = at + length;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    escaped.extend_from_slice(&text[copied..]);
    Cow::Owned(escaped)
}

/// Errors if `text` is not JSON.
pub fn check_syntax(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

/// Whether a key that was read as bytes has a control character. Where keys are read so, serde_json takes one also
/// unescaped, which is not JSON: only [`check_syntax`] of the whole text finds it.
pub fn has_control(key: &[u8]) -> bool {
    key.iter().any(|byte| *byte < b' ')
}

/// The integer that the valid JSON number `text` is, however it is written: `7`, `7.0` and `70e-1` are the same.
///
/// `None` if it has a fraction, or does not fit.
pub fn integer(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if JsonKind::of(text) != JsonKind::Number {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let shift = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    if digits.bytes().all(|byte| b"-0".contains(&byte)) {
        return Some(0);
    }
    if shift < 0 {
        let kept = digits.len().checked_sub(usize::try_from(shift.unsigned_abs()).ok()?)?;
        let (whole, fraction) = digits.split_at(kept);
        return whole.parse().ok().filter(|_| fraction.bytes().all(|byte| byte == b'0'));
    }
    digits.parse::<i64>().ok()?.checked_mul(10_i64.checked_pow(u32::try_from(shift).ok()?)?)
}

/// The six kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// a number
    Number,
    /// a string
    String,
    /// an array
    Array,
    /// an object
    Object,
}

impl JsonKind {
    /// The kind of the valid JSON value `text`.
    pub fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }

    /// The kind's name with its article, for messages.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_for_every_reader_and_the_same_value() {
        let texts = [
            "{\n  \"a\" : [1,\r\n2],\r\t\"b\":\"\\n\"\n}",
            "{\"\u{2028}{\\\"summary\\\":1}\u{2029}\":\"\u{85}\u{2027}\u{202a}\u{a0}\u{e9}\u{85}\"}",
            "\"\u{2029}\u{2028}\"",
            "{}",
        ];
        let mut lines = b"before\n".to_vec();
        for text in texts {
            let raw: &serde_json::value::RawValue = serde_json::from_str(text).expect("valid JSON");
            write_line(&mut lines, &raw);
        }
        let lines = String::from_utf8(lines).expect("UTF-8");
        let breaks = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        assert_eq!(lines.matches(breaks).count(), 5, "{lines:?}");
        for (line, text) in lines.lines().skip(1).zip(texts) {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("valid JSON");
            assert_eq!(value(line), value(text), "{line}");
        }
    }

    #[test]
    fn an_integer_may_be_written_with_a_point_or_an_exponent() {
        for (text, number) in [
            ("7", Some(7)),
            ("-7.00", Some(-7)),
            ("-0", Some(0)),
            ("0.0e5", Some(0)),
            ("70e-1", Some(7)),
            ("1.5E+1", Some(15)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9.223372036854775807e18", Some(i64::MAX)),
            ("9.223372036854775808e18", None),
            ("9223372036854775808", None),
            ("7.5", None),
            ("-0.5", None),
            ("9007199254740993.5", None),
            ("1e-1", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("\"7\"", None),
            ("\"é.5\"", None),
            ("true", None),
            ("[7]", None),
        ] {
            assert_eq!(integer(text), number, "{text}");
        }
    }
}
