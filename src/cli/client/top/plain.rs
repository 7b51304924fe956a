//! The snapshot: one look as plain text, for files, pipes and anything else that is not a terminal.

use std::fmt::Write;
use std::time::Instant;

use ratatui::text::Span;

use super::model::Model;
use super::tables::{self, Sheet};

/// Widest column but the last one, which has no end.
const COLUMN_MAX: usize = 32;

/// What the model knows, as lines without any control character but their ends.
pub(super) fn snapshot(model: &Model, now: Instant) -> String {
    let mut text = format!("gristmill at {}", model.base);
    if let Some(line) = &model.line {
        text += &format!(", node {}, the line is {}, generation {}", line.node.name, line.state.value, line.generation);
    }
    text.push('\n');
    for sheet in [tables::figures(model), tables::times(model), tables::waiting(model)] {
        append(&mut text, &sheet);
    }
    if let Some(line) = &model.line {
        append(&mut text, &tables::pools(line));
        append(&mut text, &tables::actors(model, line, now));
        match &line.nodes {
            Some(_) => append(&mut text, &tables::nodes(line)),
            None => text += "\nthe database does not answer: nodes are unknown\n",
        }
    }
    match tables::failures(model) {
        Ok(sheet) if sheet.rows.is_empty() => text += "\nno failed or refused events\n",
        Ok(sheet) => append(&mut text, &sheet),
        Err(why) => text += &format!("\n{why}\n"),
    }
    text
}

/// How many cells a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

fn append(text: &mut String, sheet: &Sheet) {
    text.push('\n');
    let titles: Vec<String> = sheet.head.iter().map(|title| title.trim_start_matches('>').to_owned()).collect();
    let rows: Vec<&Vec<String>> = std::iter::once(&titles).chain(&sheet.rows).collect();
    let last = titles.len() - 1;
    let widths: Vec<usize> = (0..=last)
        .map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or_default())
        .map(|wide| wide.min(COLUMN_MAX))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let filling = " ".repeat(widths[at].saturating_sub(width(cell)));
            let (before, after) =
                if sheet.head[at].starts_with('>') { (filling, String::new()) } else { (String::new(), filling) };
            let end = if at == last { "" } else { "  " };
            write!(line, "{before}{cell}{after}{end}").expect("a String takes every text");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::filled_model;
    use super::super::model::{Model, Update};
    use super::super::text::Text;
    use super::*;

    #[test]
    fn a_snapshot_has_all_there_is_and_no_character_that_steers_a_terminal() {
        let now = Instant::now();
        let text = snapshot(&filled_model(now), now);
        let row = |first: &str| -> Vec<&str> {
            let line = text.lines().find(|line| line.split_whitespace().next() == Some(first));
            line.unwrap_or_else(|| panic!("no {first} in\n{text}")).split_whitespace().collect()
        };
        assert!(
            text.starts_with("gristmill at http://127.0.0.1:5555, node mill\\u{1b}[2J, the line is paused"),
            "{text}"
        );
        assert_eq!(row("processed"), ["processed", "4.0", "60", "87.0", "%"]);
        assert_eq!(row("failed"), ["failed", "0.4", "6", "8.7", "%"]);
        assert_eq!(row("p99")[1..3], ["1.02", "ms"]);
        assert_eq!(row("pending").last(), Some(&"10,000+"));
        assert_eq!(row("validators"), ["validators", "paused", "1/1", "5", "9"]);
        assert_eq!(row("validator-1")[1..4], ["running", "5", "12,345"]);
        assert!(text.contains("bad\\u{7}name") && text.contains("line\\nbreak\\u{1b}]0;x"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
    }

    #[test]
    fn what_cannot_be_shown_is_named() {
        let now = Instant::now();
        let mut model = filled_model(now);
        model.apply(Update::Failures(Err(Text::of("403"))), now);
        assert!(snapshot(&model, now).ends_with("failures cannot be read: 403\n"));
        model.apply(Update::Failures(Ok(Vec::new())), now);
        assert!(snapshot(&model, now).ends_with("no failed or refused events\n"));
        if let Some(line) = &mut model.line {
            line.nodes = None;
        }
        assert!(snapshot(&model, now).contains("the database does not answer: nodes are unknown\n"));
        assert!(snapshot(&Model::new("http://a"), now).starts_with("gristmill at http://a\n"));
    }
}
