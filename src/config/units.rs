//! Durations and sizes as people write them: `"250ms"`, `"7d"`, `"1MiB"`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number and a unit (`ms`, `s`, `m`, `h`, `d`); `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that holds it exactly; below a millisecond is cut off.
pub fn duration_text(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    text(ms, &DURATION_UNITS)
}

/// Reads a whole number and a unit (`B`, `KiB`, `MiB`, `GiB`), or a plain number of bytes; `None` for anything else.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS).or_else(|| digits(text))
}

/// Writes a size in the largest unit that holds it exactly.
pub fn size_text(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    text(bytes, &SIZE_UNITS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits(number)?.checked_mul(*factor)
}

/// Digits only: `u64::from_str` alone would take a leading plus.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn text(amount: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| amount.is_multiple_of(*factor))
        .map(|(unit, factor)| format!("{}{unit}", amount / factor))
        .expect("the last unit is 1 and divides every amount")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "2", "s", "1.5s", "-1s", "+1s", " 2s", "2 s", "2S", "2sec", "1h30m", "٢s", "99999999999999999d"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_a_whole_number_and_a_binary_unit_or_bytes() {
        for (text, bytes) in
            [("0", 0), ("512B", 512), ("1KiB", 1024), ("1MiB", 1_048_576), ("1GiB", 1 << 30), ("77", 77)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1MB", "1mib", "1.5MiB", "-1B", "+7", "1 MiB", "99999999999999999999", "99999999999GiB"]
        {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for ms in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
        }
        for bytes in [0, 1, 1023, 1024, 1025, 1 << 20, 3 << 30] {
            assert_eq!(parse_size(&size_text(bytes)), Some(bytes));
        }
        assert_eq!(duration_text(Duration::from_secs(300)), "5m");
        assert_eq!(size_text(268_435_456), "256MiB");
    }
}
