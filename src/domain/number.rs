//! Numbers as both databases store them: exact, in the range of a float, and of bounded length even when written out.
//!
//! JSONB has no exponents: `1e308` comes back with 309 digits, and `0e-9` with nine zeros. What counts is what is read back.

/// The length of a number in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// As received.
    pub sent: usize,
    /// As JSONB writes it.
    pub written: usize,
}

/// Why a number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has this many characters.
    TooLong(usize),
    /// As a 64-bit float it is infinite, or zero although it has a non-zero digit.
    OutOfRange,
    /// It has this many characters when it is written out.
    WrittenTooLong(usize),
}

impl Fault {
    /// What is wrong, where `chars_max` is the limit.
    pub fn text(self, chars_max: usize) -> String {
        match self {
            Self::TooLong(chars) => format!("a number of {chars} characters, limit {chars_max}"),
            Self::OutOfRange => "a number outside the range of a 64-bit float".to_owned(),
            Self::WrittenTooLong(chars) => {
                format!("a number of {chars} characters when written out, limit {chars_max}")
            }
        }
    }
}

/// Checks the number with which the valid JSON `text` begins.
pub fn check(text: &str, chars_max: usize) -> Result<Length, Fault> {
    let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let sent = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    if sent > chars_max {
        return Err(Fault::TooLong(sent));
    }
    let number = &text[..sent];
    if may_leave_f64(number) && leaves_f64(number) {
        return Err(Fault::OutOfRange);
    }
    let written = written_chars(number);
    if written > chars_max { Err(Fault::WrittenTooLong(written)) } else { Ok(Length { sent, written }) }
}

/// Without an exponent, 300 characters can neither overflow an f64 nor underflow it.
fn may_leave_f64(number: &str) -> bool {
    number.len() > 300 || number.contains(['e', 'E'])
}

/// Whether `number` is infinite as f64, or zero as f64 although it has a non-zero digit.
fn leaves_f64(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    match number.parse::<f64>() {
        Ok(value) => value.is_infinite() || (value == 0.0 && !is_zero),
        Err(_) => true,
    }
}

/// Characters of `number` as JSONB writes it: without an exponent, with every zero that takes its place. Those of a zero
/// count too, although JSONB leaves out the ones before its point: no database takes any number of them.
fn written_chars(number: &str) -> usize {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return number.len() };
    /// Far beyond what may be written, and small enough to be added to.
    const EXPONENT_MAX: i64 = 1 << 40;
    let out_of_range = if exponent.starts_with('-') { -EXPONENT_MAX } else { EXPONENT_MAX };
    let exponent = exponent.parse().unwrap_or(out_of_range).clamp(-EXPONENT_MAX, EXPONENT_MAX);
    let digits = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let leading = whole.bytes().chain(fraction.bytes()).position(|digit| digit != b'0');
    let sign = usize::from(leading.is_some() && mantissa.starts_with('-'));
    let whole = (whole.len() as i64 - leading.unwrap_or(0) as i64 + exponent).max(1) as usize;
    let fraction = (fraction.len() as i64 - exponent).max(0) as usize;
    sign + whole + usize::from(fraction > 0) + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_long_as_jsonb_writes_it() {
        for (number, written) in [
            ("0", "0"),
            ("-0.0", "-0.0"),
            ("0e-3", "0.000"),
            ("-0e-3", "0.000"),
            ("0.00e-1", "0.000"),
            ("0.000e2", "000.0"),
            ("0e3", "0000"),
            ("1e5", "100000"),
            ("-1.50e1", "-15.0"),
            ("1.5E+1", "15"),
            ("12.5e-4", "0.00125"),
            ("100e-2", "1.00"),
            ("0.001e2", "0.1"),
            ("0.001e3", "1"),
            ("0.0012e6", "1200"),
            ("1200e-4", "0.1200"),
        ] {
            assert_eq!(written_chars(number), written.len(), "{number}");
        }
        for (number, chars) in [("1e308", 309), ("-1.5e-300", 304), ("0e-16383", 16_385), ("0e16383", 16_384)] {
            assert_eq!(written_chars(number), chars, "{number}");
        }
        let far = |exponent: &str| written_chars(&format!("0e{exponent}{}", "9".repeat(900))) > 1 << 39;
        assert!(far("") && far("+") && far("-"));
    }
}
