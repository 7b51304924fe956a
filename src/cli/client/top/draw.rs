//! The screen: which texts of the model stand where. Fits 80 by 24 cells; what is narrower is cut off.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, RenderDirection, Row, Sparkline, Table};

use super::model::{FigureBucket, Model};
use super::plain::width;
use super::tables::{self, Sheet};
use super::text;
use super::view::{Tab, ViewState};

/// Widest column but the last one, which takes the rest.
const COLUMN_MAX: u16 = 24;

/// Words of states that are well, and of those that are not.
const GOOD: [&str; 2] = ["running", "alive"];
const BAD: [&str; 5] = ["paused", "restarting", "leaving", "silent", "stopped"];

const KEYS: &str = "1-3 Tab pages  arrows scroll  p pause  ? help  q quit";
const HELP: [&str; 9] = [
    "1 2 3            Overview, Pipeline, Failures",
    "Tab, left, right the next page, the one before",
    "up, down         scroll; also Page up, Page down, Home",
    "p, space         hold what is shown; go on",
    "?, h             this help; Esc closes it",
    "q, Esc, Ctrl-C   quit",
    "",
    "per second and now: the last five seconds that are full",
    "figures are of all nodes, actors of the node that answers",
];

/// How things are marked: with colours, or without where they are not wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) has_colours: bool,
}

impl Palette {
    fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn of_state(self, word: &str) -> Style {
        match word {
            word if GOOD.contains(&word) => self.coloured(Color::Green),
            word if BAD.contains(&word) => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            _ => Style::new(),
        }
    }
}

/// Draws all of the screen.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, view: &ViewState, palette: Palette, now: Instant) {
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
    let [head, state, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(title(view), head);
    frame.render_widget(condition(model, view, palette, now), state);
    match view.page {
        Tab::Overview => overview(frame, body, model, palette),
        Tab::Pipeline => pipeline(frame, body, model, view, palette, now),
        Tab::Failures => match tables::failures(model) {
            Ok(sheet) => table(frame, body, "Newest failed and refused events", sheet, view.scroll, palette),
            Err(why) => frame.render_widget(Paragraph::new(why), body),
        },
    }
    frame.render_widget(Line::from(KEYS).style(Modifier::DIM), foot);
    if view.shows_help {
        help(frame);
    }
}

fn title(view: &ViewState) -> Line<'static> {
    let mut spans = vec![Span::styled("gristmill top  ", Modifier::BOLD)];
    for (at, page) in Tab::ALL.into_iter().enumerate() {
        let style = if page == view.page { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        spans.push(Span::styled(format!(" {} {} ", at + 1, page.title()), style));
    }
    Line::from(spans)
}

/// What is wrong, else which server this is.
fn condition(model: &Model, view: &ViewState, palette: Palette, now: Instant) -> Line<'static> {
    let mut spans = Vec::new();
    if view.is_paused {
        spans.push(Span::styled("[paused: p goes on] ", Modifier::BOLD));
    }
    if let Some(trouble) = model.trouble(now) {
        spans.push(Span::styled(trouble, palette.coloured(Color::Red).add_modifier(Modifier::BOLD)));
        return Line::from(spans);
    }
    if let Some(line) = &model.line {
        spans.push(Span::raw(format!("node {}, the line is ", line.node.name)));
        spans.push(Span::styled(line.state.value.to_string(), palette.of_state(line.state.value.as_str())));
        spans.push(Span::raw(format!(", generation {}, {}", line.generation, model.base)));
    }
    Line::from(spans)
}

fn overview(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let rows = [Constraint::Length(9), Constraint::Length(7), Constraint::Fill(1)];
    let [above, middle, below] = Layout::vertical(rows).areas(area);
    let sides = |area| Layout::horizontal([Constraint::Length(42), Constraint::Fill(1)]).spacing(2).areas(area);
    let [left, right] = sides(above);
    table(frame, left, "Figures of all nodes", tables::figures(model), 0, palette);
    if let Some(line) = &model.line {
        table(frame, right, "Pools of this node", tables::pools(line), 0, palette);
    }
    let [left, right] = sides(middle);
    table(frame, left, "Processing time", tables::times(model), 0, palette);
    table(frame, right, "What waits", tables::waiting(model), 0, palette);
    let [left, right] = sides(below);
    // The last bucket is still being filled.
    let course = || model.course.iter().rev().skip(1);
    let seconds = model.step_seconds as f64;
    let processed: Vec<u64> = course().map(|bucket| u64::try_from(bucket.processed).unwrap_or_default()).collect();
    let per_second = |count: u64| text::rate(count as f64 / seconds);
    let most = per_second(processed.iter().copied().max().unwrap_or_default());
    spark(
        frame,
        left,
        &format!("Processed per second, at most {most}"),
        processed.into_iter().map(Some).collect(),
        palette,
    );
    let p95 = |bucket: &FigureBucket| bucket.times().quantile_us(0.95);
    let most = course().filter_map(p95).fold(None, |most: Option<f64>, us| Some(most.map_or(us, |most| most.max(us))));
    let title = format!("p95, at most {}", text::time(most));
    spark(frame, right, &title, course().map(|bucket| p95(bucket).map(|us| us as u64)).collect(), palette);
}

/// A series, the newest number first and on the right.
fn spark(frame: &mut Frame<'_>, area: Rect, title: &str, numbers: Vec<Option<u64>>, palette: Palette) {
    let spark = Sparkline::default()
        .block(headed(title))
        .data(numbers)
        .direction(RenderDirection::RightToLeft)
        .style(palette.coloured(Color::Cyan));
    frame.render_widget(spark, area);
}

fn pipeline(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &ViewState, palette: Palette, now: Instant) {
    let Some(line) = &model.line else { return };
    let nodes = tables::nodes(line);
    let height = u16::try_from(nodes.rows.len() + 2).unwrap_or(u16::MAX).min(area.height / 3);
    let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(height)]).areas(area);
    table(frame, above, "Actors of this node", tables::actors(model, line, now), view.scroll, palette);
    match &line.nodes {
        Some(_) => table(frame, below, "Nodes, * is the one that answers", nodes, 0, palette),
        None => frame.render_widget(Paragraph::new("the database does not answer: nodes are unknown"), below),
    }
}

fn headed(title: &str) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Modifier::DIM)
        .title(Span::styled(format!("{title} "), Modifier::BOLD))
}

fn table(frame: &mut Frame<'_>, area: Rect, title: &str, sheet: Sheet, scroll: usize, palette: Palette) {
    let Sheet { head, rows } = sheet;
    // The title and the head take a line each.
    let shown = usize::from(area.height.saturating_sub(2));
    let passed = scroll.min(rows.len().saturating_sub(shown));
    let cell = |at: usize, text: String, style: Style| {
        let line = Line::from(text).style(style);
        Cell::from(if head[at].starts_with('>') { line.right_aligned() } else { line })
    };
    let wide = |at: usize| {
        let texts = rows.iter().map(|row| width(&row[at])).chain([width(head[at].trim_start_matches('>'))]);
        u16::try_from(texts.max().unwrap_or_default()).unwrap_or(COLUMN_MAX).min(COLUMN_MAX)
    };
    // A last column of texts takes the rest.
    let is_open = |at: usize| at + 1 == head.len() && !head[at].starts_with('>');
    let width_of = |at| if is_open(at) { Constraint::Fill(1) } else { Constraint::Length(wide(at)) };
    let widths: Vec<Constraint> = (0..head.len()).map(width_of).collect();
    let titles = head.iter().enumerate().map(|(at, title)| {
        cell(at, title.trim_start_matches('>').to_owned(), Style::new().add_modifier(Modifier::DIM))
    });
    let titles = Row::new(titles.collect::<Vec<_>>());
    let rows: Vec<Row<'_>> = rows
        .into_iter()
        .skip(passed)
        .take(shown)
        .map(|row| {
            let cells = row.into_iter().enumerate().map(|(at, text)| {
                let style = if head[at] == "STATE" { palette.of_state(&text) } else { Style::new() };
                cell(at, text, style)
            });
            Row::new(cells.collect::<Vec<_>>())
        })
        .collect();
    frame.render_widget(Table::new(rows, widths).header(titles).column_spacing(1).block(headed(title)), area);
}

fn help(frame: &mut Frame<'_>) {
    let wide = 62;
    let high = HELP.len() as u16 + 2;
    let area = frame.area().centered(Constraint::Length(wide), Constraint::Length(high));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP.map(Line::from).to_vec()).block(Block::bordered().title(" Keys ")), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::super::model::Update;
    use super::super::model::tests::filled_model;
    use super::super::text::Text;
    use super::*;

    const COLOURS: Palette = Palette { has_colours: true };

    fn drawn(model: &Model, view: ViewState, palette: Palette, size: (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal");
        terminal.draw(|frame| draw(frame, model, &view, palette, Instant::now())).expect("drawn");
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let wide = usize::from(buffer.area.width);
        let cells: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
        cells.chunks(wide).map(|row| row.concat().trim_end().to_owned()).collect()
    }

    fn on(page: Tab) -> ViewState {
        ViewState { page, ..ViewState::default() }
    }

    /// All of the screen in 80 by 24 cells.
    fn shown(page: Tab) -> String {
        lines(&drawn(&filled_model(Instant::now()), on(page), COLOURS, (80, 24))).join("\n")
    }

    #[test]
    fn the_overview_fits_a_small_terminal_and_has_figures_percentiles_pools_and_what_waits() {
        let text = shown(Tab::Overview);
        for part in [
            "processed        4.0         60 87.0 %",
            "failed           0.4          6  8.7 %",
            "p95  1.00 ms    1.00 ms",
            "validators paused    1/1    5    9",
            "pending in the database  10,000+",
            "node mill\\u{1b}[2J, the line is paused, generation 1, http://127.0.0.1:5555",
            "Processed per second, at most 4.0",
            "p95, at most 1.00 ms",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.lines().count(), 24);
        assert!(
            text.lines().nth(22).is_some_and(|line| line.contains('█')),
            "the course is drawn to the last line\n{text}"
        );
        assert!(text.ends_with(KEYS), "{text}");
    }

    #[test]
    fn the_pipeline_has_every_actor_and_every_node() {
        let text = shown(Tab::Pipeline);
        for part in ["validator-1 running       5 12,345  0 %        4      0 stuck", "mill\\u{1b}[2J * alive"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn failures_are_shown_without_what_would_steer_the_terminal() {
        let text = shown(Tab::Failures);
        let row = "11-29 10:00:01    17 bad\\u{7}name failed refused line\\nbreak\\u{1b}]0;x";
        assert!(text.contains(row), "{row} is not in\n{text}");
    }

    #[test]
    fn a_lost_connection_is_shown_on_every_tab_and_help_above_all() {
        let mut model = filled_model(Instant::now());
        model.apply(Update::Lost(Text::of("no answer")), Instant::now());
        for page in Tab::ALL {
            let text = lines(&drawn(&model, ViewState { is_paused: true, ..on(page) }, COLOURS, (80, 24)))[1].clone();
            assert_eq!(text, "[paused: p goes on] no connection, trying again: no answer");
        }
        let help =
            lines(&drawn(&model, ViewState { shows_help: true, ..ViewState::default() }, COLOURS, (80, 24))).join("\n");
        assert!(HELP.iter().all(|line| help.contains(line)), "{help}");
    }

    #[test]
    fn a_list_is_scrolled_to_its_last_row_and_no_further() {
        let mut model = filled_model(Instant::now());
        let one = model.failures.clone().expect("failures").remove(0);
        let many = (1..=40).map(|id| super::super::model::FailedEvent { id, ..one.clone() }).collect();
        model.apply(Update::Failures(Ok(many)), Instant::now());
        let ids = |scroll| {
            let view = ViewState { scroll, ..on(Tab::Failures) };
            let rows = lines(&drawn(&model, view, COLOURS, (80, 24)));
            rows.iter()
                .filter(|row| row.starts_with("11-29"))
                .filter_map(|row| row.split_whitespace().nth(2)?.parse::<i64>().ok())
                .collect::<Vec<_>>()
        };
        assert_eq!((ids(0).first().copied(), ids(0).len()), (Some(1), 19));
        assert_eq!(ids(3).first(), Some(&4));
        assert_eq!((ids(1_000).first().copied(), ids(1_000).last().copied()), (Some(22), Some(40)));
    }

    #[test]
    fn no_size_of_the_terminal_is_too_small_and_none_too_large() {
        for size in [(1, 1), (3, 2), (20, 5), (79, 23), (300, 100)] {
            for page in Tab::ALL {
                drawn(&filled_model(Instant::now()), ViewState { shows_help: true, ..on(page) }, COLOURS, size);
                drawn(&Model::new("http://a"), on(page), COLOURS, size);
            }
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        let has_colours = |palette| {
            let screens = Tab::ALL.map(|page| drawn(&filled_model(Instant::now()), on(page), palette, (80, 24)));
            screens
                .iter()
                .flat_map(|buffer| &buffer.content)
                .any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
        };
        assert!(has_colours(COLOURS));
        assert!(!has_colours(Palette { has_colours: false }));
    }
}
