//! Slices of JSON text that travel from the request to the database without being re-serialised.

use bytes::Bytes;
use serde::de::IgnoredAny;

/// A syntactically valid JSON value, exactly as it was received.
///
/// It shares the buffer of the request body: cloning it copies no payload bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

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

    /// What kind of JSON value this is, told from its first byte.
    pub fn kind(&self) -> Kind {
        Kind::of(self.as_str())
    }
}

/// What JSON takes for white space: less than ASCII does.
pub const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Errors if `text` is not JSON.
pub fn check_syntax(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

/// Whether a key that was read as bytes has a control character. Where keys are read so, serde_json takes one also
/// unescaped, which is not JSON: [`check_syntax`] of the whole text tells.
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
    if Kind::of(text) != Kind::Number {
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
pub enum Kind {
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

impl Kind {
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
