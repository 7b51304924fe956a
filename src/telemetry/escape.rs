//! Makes text from outside safe to show on one line of a terminal or a file.

use std::fmt::{self, Write};

/// Whether a character is invisible, ends a line, changes the reading direction or steers a terminal.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether a value can stand behind `field=` without quotes.
pub fn is_plain(value: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || is_hidden(c) || "\"\\=".contains(c);
    !value.is_empty() && !value.chars().any(breaks)
}

/// Passes text on with hidden characters as `\n`, `\r`, `\t` or `\u{…}`.
pub struct LineEscaped<'a, W>(pub &'a mut W);

impl<W: Write> Write for LineEscaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        pass(self.0, text, is_hidden, |out, c| write!(out, "{}", c.escape_default()))
    }
}

/// Passes JSON on with the hidden characters that JSON leaves alone as `\uXXXX`; the line's own end stays.
pub struct JsonEscaped<'a, W>(pub &'a mut W);

impl<W: Write> Write for JsonEscaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_escaped = |c: char| c != '\n' && is_hidden(c);
        pass(self.0, text, is_escaped, |out, c| {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
        })
    }
}

/// Writes the stretches between escaped characters whole.
fn pass<W: Write>(
    out: &mut W,
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(&mut W, char) -> fmt::Result,
) -> fmt::Result {
    let mut start = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| is_escaped(*c)) {
        out.write_str(&text[start..at])?;
        escape(out, c)?;
        start = at + c.len_utf8();
    }
    out.write_str(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        let mut out = String::new();
        LineEscaped(&mut out).write_str(text).expect("a string takes everything");
        out
    }

    #[test]
    fn hidden_characters_are_spelt_out_and_others_kept() {
        for (text, expected) in [
            ("plain Ünïcödé 日本 🌾", "plain Ünïcödé 日本 🌾"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[2J\u{7f}\u{9b}31m", "\\u{1b}[2J\\u{7f}\\u{9b}31m"),
            ("\u{2028}\u{2029}\u{85}", "\\u{2028}\\u{2029}\\u{85}"),
            ("\u{202e}abc\u{2066}", "\\u{202e}abc\\u{2066}"),
            ("\u{200b}\u{feff}\0", "\\u{200b}\\u{feff}\\u{0}"),
        ] {
            assert_eq!(line(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_a_hidden_character_on_a_line(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(is_hidden));
        }

        #[test]
        fn json_stays_the_same_value(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string is JSON");
            let mut out = String::new();
            JsonEscaped(&mut out).write_str(&json).expect("a string takes everything");
            prop_assert!(!out.chars().any(is_hidden));
            let back: String = serde_json::from_str(&out).expect("still JSON");
            prop_assert_eq!(back, text);
        }
    }
}
