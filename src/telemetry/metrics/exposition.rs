//! The text of a scrape: Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// Names of labels, and their values.
pub type Labels<'a> = (&'a [&'a str], &'a [&'a str]);

/// The page of one scrape in the making.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric: its samples follow.
    pub fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {}", Escaped { text: help, quotes: false }));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample; `suffix` distinguishes the parts of a histogram.
    pub fn sample(&mut self, name: &str, suffix: &str, (names, values): Labels<'_>, value: impl Display) {
        self.write(format_args!("{name}{suffix}"));
        for (place, (name, value)) in names.iter().zip(values).enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{name}=\"{}\"", Escaped { text: value, quotes: true }));
        }
        let after = if names.is_empty() { "" } else { "}" };
        self.line(format_args!("{after} {value}"));
    }

    /// A metric of one figure that may rise and fall.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.begin(name, "gauge", help);
        self.sample(name, "", (&[], &[]), value);
    }

    /// A metric of one figure that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.begin(name, "counter", help);
        self.sample(name, "", (&[], &[]), value);
    }

    /// The page as it is sent.
    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.write(text);
        self.0.push('\n');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text takes everything");
    }
}

/// Text with the characters that would end a line, or a label's value.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.quotes => f.write_str("\\\""),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_or_a_help_text_ends_its_line() {
        let mut page = Exposition::default();
        page.begin("a", "gauge", "one\ntwo \"three\" \\");
        page.sample("a", "", (&["b", "c"], &["x\"y\n", "\\"]), 1.5);
        assert_eq!(
            page.into_text(),
            "# HELP a one\\ntwo \"three\" \\\\\n# TYPE a gauge\na{b=\"x\\\"y\\n\",c=\"\\\\\"} 1.5\n"
        );
    }
}
