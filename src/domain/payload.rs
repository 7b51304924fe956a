//! The payload's shape: object or null, encodable, within the size and the depth allowed.
//!
//! The text is scanned once, without recursion and without building a value, so that neither depth nor size
//! chosen by a client costs more than the bytes it sent. What is checked here is exactly what keeps the answers
//! of SQLite and PostgreSQL the same: whatever JSONB cannot hold is refused on both.

use super::json::{JsonKind, JsonText};
use super::number::{self, Fault};
use super::pointer::{closing_quote, pointer_at};
use super::rejection::{Flaw, RejectCode, Rejection};

/// The error of [`validate_payload_shape`]: a rejection of the payload.
pub type PayloadValidationError = Rejection;

/// Deepest payload that is kept with a rejected event; beyond it JSONB's own parser could run out of stack.
pub const KEPT_DEPTH_MAX: usize = 128;

/// Most bytes of a payload whose numbers are written out, unless `bytes_max` is more. JSONB writes `1e308` with 309
/// digits, and every reader of the event has to take what it writes.
const WRITTEN_BYTES_MAX: usize = 8 << 20;

/// Bounds of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Most bytes of the payload as received.
    pub bytes_max: usize,
    /// Most levels of nesting; the payload object itself is level 1.
    pub depth_max: usize,
    /// Most characters of one number, as received and as JSONB writes it.
    pub number_chars_max: usize,
}

impl PayloadLimits {
    /// The same for a payload that was taken already and comes back from the database, whose text may be longer.
    pub fn of_stored(self) -> Self {
        Self { bytes_max: usize::MAX, ..self }
    }

    fn written_bytes_max(&self) -> usize {
        self.bytes_max.max(WRITTEN_BYTES_MAX)
    }
}

/// Checks that `payload` is an object or absent, can be stored, and is within `limits`.
pub fn validate_payload_shape(
    payload: Option<&JsonText>,
    limits: &PayloadLimits,
) -> Result<(), PayloadValidationError> {
    let Some(payload) = payload else { return Ok(()) };
    if payload.kind() != JsonKind::Object {
        return Err(not_an_object(payload.kind()));
    }
    if payload.len() > limits.bytes_max {
        return Err(too_large(payload.len(), limits.bytes_max));
    }
    let scanned = scan(payload.as_str(), limits.depth_max, limits.number_chars_max);
    let written = scanned.map_err(|problem| problem.reject(payload, limits))?;
    let written_max = limits.written_bytes_max();
    if written > written_max {
        let detail = format!("payload is {written} bytes with its numbers written out, limit {written_max}");
        return Err(Rejection::of(Flaw::new(RejectCode::PayloadTooLarge, "/payload", detail)));
    }
    Ok(())
}

/// Whether a database can hold `payload`, so that it may be stored beside its event's rejection.
pub fn can_be_kept(payload: &JsonText, limits: &PayloadLimits) -> bool {
    payload.len() <= limits.bytes_max
        && scan(payload.as_str(), KEPT_DEPTH_MAX, limits.number_chars_max)
            .is_ok_and(|written| written <= limits.written_bytes_max())
}

fn not_an_object(kind: JsonKind) -> Rejection {
    let detail = format!("payload is {}, expected an object or null", kind.with_article());
    Rejection::of(Flaw::new(RejectCode::PayloadNotObject, "/payload", detail))
}

fn too_large(bytes: usize, bytes_max: usize) -> Rejection {
    const MIB: usize = 1 << 20;
    let limit = match bytes_max % MIB {
        0 => format!("{}MB", bytes_max / MIB),
        _ => format!("{bytes_max} byte"),
    };
    let detail = format!("payload is {bytes} bytes, limit {bytes_max}");
    let flaw = Flaw::new(RejectCode::PayloadTooLarge, "/payload", detail);
    Rejection::with_error(flaw, format!("Payload exceeds {limit} size limit"))
}

/// What the scan found, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShapeFault {
    at: usize,
    kind: ShapeFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShapeFaultKind {
    TooDeep,
    Nul,
    LoneSurrogate,
    Number(Fault),
}

impl ShapeFault {
    fn reject(self, payload: &JsonText, limits: &PayloadLimits) -> Rejection {
        let pointer = pointer_at("/payload", payload.as_str(), self.at);
        let (code, detail) = match self.kind {
            ShapeFaultKind::TooDeep => {
                let levels = depth_of(payload.as_str());
                let detail = format!("payload is {levels} levels deep, limit {}", limits.depth_max);
                (RejectCode::PayloadTooDeep, detail)
            }
            ShapeFaultKind::Nul => (
                RejectCode::PayloadNotEncodable,
                "payload has the character \\u0000, which a database cannot hold".to_owned(),
            ),
            ShapeFaultKind::LoneSurrogate => (
                RejectCode::PayloadNotEncodable,
                "payload has a lone surrogate escape, which is not a character".to_owned(),
            ),
            ShapeFaultKind::Number(fault) => {
                (RejectCode::PayloadNotEncodable, format!("payload has {}", fault.text(limits.number_chars_max)))
            }
        };
        Rejection::of(Flaw::new(code, pointer, detail))
    }
}

/// Levels of nesting of the valid JSON `text`.
fn depth_of(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = closing_quote(bytes, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Scans the valid JSON `text` for what is refused; the first problem by position wins. Returns its length with numbers
/// written out.
fn scan(text: &str, depth_max: usize, number_chars_max: usize) -> Result<usize, ShapeFault> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    let mut added = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(ShapeFault { at, kind: ShapeFaultKind::TooDeep });
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'"' => at = scan_string(bytes, at)?,
            b'-' | b'0'..=b'9' => {
                let length = number::check(&text[at..], number_chars_max);
                let length = length.map_err(|fault| ShapeFault { at, kind: ShapeFaultKind::Number(fault) })?;
                added += length.written.saturating_sub(length.sent);
                at += length.sent;
            }
            _ => at += 1,
        }
    }
    Ok(text.len() + added)
}

/// Checks the escapes of the string that opens at `start`; returns the index after its closing quote.
fn scan_string(bytes: &[u8], start: usize) -> Result<usize, ShapeFault> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                at += escape_length(bytes, at).map_err(|kind| ShapeFault { at: start, kind })?;
            }
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Bytes of the `\uXXXX` escape at `at`, of both halves if it is a surrogate pair.
fn escape_length(bytes: &[u8], at: usize) -> Result<usize, ShapeFaultKind> {
    match unit_at(bytes, at) {
        Some(0) => Err(ShapeFaultKind::Nul),
        Some(0xD800..=0xDBFF) => match unit_at(bytes, at + 6) {
            Some(0xDC00..=0xDFFF) => Ok(12),
            _ => Err(ShapeFaultKind::LoneSurrogate),
        },
        Some(0xDC00..=0xDFFF) => Err(ShapeFaultKind::LoneSurrogate),
        _ => Ok(6),
    }
}

/// The UTF-16 unit of the `\uXXXX` escape at `at`, if there is one.
fn unit_at(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let hex = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };

    fn check(text: &str) -> Result<(), Rejection> {
        validate_payload_shape(Some(&JsonText::parse(text).expect("valid JSON")), &LIMITS)
    }

    fn code_and_pointer(text: &str) -> (&'static str, String) {
        let rejection = check(text).expect_err("must be refused");
        (rejection.code().as_str(), rejection.first.pointer)
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn an_absent_payload_is_valid() {
        assert_eq!(validate_payload_shape(None, &LIMITS), Ok(()));
    }

    #[test]
    fn only_objects_are_payloads() {
        for (text, kind) in [("[]", "an array"), ("\"s\"", "a string"), ("1", "a number"), ("true", "a boolean")] {
            let rejection = check(text).expect_err("must be refused");
            assert_eq!(rejection.code(), RejectCode::PayloadNotObject);
            assert_eq!(rejection.error, format!("payload is {kind}, expected an object or null"));
        }
    }

    #[test]
    fn the_size_limit_is_exact_and_has_the_references_sentence() {
        let of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert_eq!(check(&of(1_048_576)), Ok(()));
        let rejection = check(&of(1_048_577)).expect_err("one byte too many");
        assert_eq!(rejection.error, "Payload exceeds 1MB size limit");
        assert_eq!(rejection.first.detail, "payload is 1048577 bytes, limit 1048576");
    }

    #[test]
    fn level_ten_is_accepted_and_level_eleven_refused_with_its_place() {
        assert_eq!(check(&nested(10)), Ok(()));
        assert_eq!(code_and_pointer(&nested(11)), ("payload_too_deep", format!("/payload{}", "/a".repeat(10))));
        assert_eq!(check(&nested(127)).expect_err("deep").error, "payload is 127 levels deep, limit 10");
        assert_eq!(check(r#"{"a":[{"b":[[[[[[[1]]]]]]]}]}"#), Ok(()));
        assert_eq!(code_and_pointer(r#"{"a":[{"b":[[[[[[[[1]]]]]]]]}]}"#).0, "payload_too_deep");
        assert_eq!(check(r#"{"a":"[[[[[[[[[[[[[[[[[","b":"\"{{{{{{{{{{{{{{"}"#), Ok(()));
    }

    #[test]
    fn a_hundred_thousand_levels_are_refused_without_recursion() {
        assert_eq!(code_and_pointer(&nested(100_000)).0, "payload_too_deep");
    }

    #[test]
    fn text_that_a_database_cannot_hold_is_refused() {
        for text in [
            r#"{"a":"\u0000"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":"\ud800\\udc00"}"#,
            r#"{"a":"\ud83dx"}"#,
        ] {
            assert_eq!(code_and_pointer(text), ("payload_not_encodable", "/payload/a".to_owned()), "{text}");
        }
        assert_eq!(code_and_pointer(r#"{"b":[1,{"\u0000":1}]}"#).0, "payload_not_encodable");
        for text in [r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\\u0000"}"#, r#"{"a":"\u0001"}"#, r#"{"a":"\\\\\u00e9"}"#] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn numbers_outside_f64_are_refused_and_exact_ones_kept() {
        for number in ["1e309", "1e400", "-1e400", "1e-400", "1e-20000", "0.1e-400"] {
            assert_eq!(code_and_pointer(&format!(r#"{{"a":[0,{number}]}}"#)).1, "/payload/a/1", "{number}");
        }
        let long = "7".repeat(300);
        let longer = "7".repeat(1_001);
        for number in ["9007199254740993", "1.10", "1e308", "-0", "0e999", "0.0e-997", "18446744073709551616", &long] {
            assert_eq!(check(&format!(r#"{{"a":{number}}}"#)), Ok(()), "{number}");
        }
        let rejection = check(&format!(r#"{{"a":{longer}}}"#)).expect_err("too long");
        assert_eq!(rejection.error, "payload has a number of 1001 characters, limit 1000");
    }

    #[test]
    fn the_limit_of_a_number_counts_what_is_written_out() {
        let limits = PayloadLimits { number_chars_max: 309, ..LIMITS };
        let check = |number: &str| {
            let payload = JsonText::parse(format!(r#"{{"a":{number}}}"#)).expect("valid JSON");
            validate_payload_shape(Some(&payload), &limits).map_err(|rejection| rejection.error)
        };
        for number in ["1e308", "0e308", "0e-307", "1e-307", "1.5e-306"] {
            assert_eq!(check(number), Ok(()), "{number}");
        }
        for (number, chars) in [("-1e308", 310), ("0e-308", 310), ("1e-308", 310), ("1.5e-307", 310), ("0e309", 310)] {
            let error = format!("payload has a number of {chars} characters when written out, limit 309");
            assert_eq!(check(number), Err(error), "{number}");
        }
    }

    #[test]
    fn numbers_written_out_count_towards_the_size() {
        let of = |numbers: usize| format!(r#"{{"a":[0{}]}}"#, ",1e308".repeat(numbers));
        let written = |numbers: usize| 9 + numbers * 310;
        let most = (WRITTEN_BYTES_MAX - 9) / 310;
        assert_eq!(check(&of(most)), Ok(()));
        let rejection = check(&of(most + 1)).expect_err("too large");
        assert_eq!(rejection.code(), RejectCode::PayloadTooLarge);
        let size = written(most + 1);
        assert_eq!(rejection.error, format!("payload is {size} bytes with its numbers written out, limit 8388608"));
        let kept = |text: String| can_be_kept(&JsonText::parse(text).expect("valid JSON"), &LIMITS);
        assert!(kept(of(most)) && !kept(of(most + 1)) && !kept(r#"{"a":0e-16383}"#.to_owned()));
    }

    #[test]
    fn a_stored_payload_may_be_longer_than_a_sent_one() {
        let payload = JsonText::parse(format!(r#"{{"a": [1{}]}}"#, ", 1".repeat(400_000))).expect("valid JSON");
        assert!(validate_payload_shape(Some(&payload), &LIMITS).is_err());
        assert_eq!(validate_payload_shape(Some(&payload), &LIMITS.of_stored()), Ok(()));
    }

    #[test]
    fn a_rejected_payload_is_kept_only_if_a_database_can_hold_it() {
        let kept = |text: &str| can_be_kept(&JsonText::parse(text).expect("valid JSON"), &LIMITS);
        assert!(kept("[1]") && kept(&nested(11)) && kept(&nested(128)));
        assert!(!kept(&nested(129)) && !kept(r#"{"a":"\u0000"}"#) && !kept("1e999"));
    }

    proptest! {
        #[test]
        fn the_scan_agrees_with_a_recursive_count(shape in "[{\\[]{0,20}") {
            let mut text = String::from("{\"k\":");
            let mut close = String::from("}");
            for open in shape.chars() {
                text.push_str(if open == '{' { "{\"k\":" } else { "[" });
                close.insert(0, if open == '{' { '}' } else { ']' });
            }
            let text = format!("{text}1{close}");
            prop_assert_eq!(check(&text).is_ok(), shape.len() < 10);
            prop_assert_eq!(depth_of(&text), shape.len() + 1);
        }

        #[test]
        fn every_string_that_serde_can_write_is_accepted_unless_it_holds_nul(value in any::<String>()) {
            let text = serde_json::json!({ "a": value }).to_string();
            prop_assert_eq!(check(&text).is_ok(), !value.contains('\0'));
        }
    }
}
