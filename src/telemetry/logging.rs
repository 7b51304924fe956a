//! Log lines on standard error: text for people, JSON for collectors.
//!
//! Guarantees: one event is one line; no text in a message or field can break the line, forge another one, turn the
//! reading direction around or reach the terminal as a control sequence; in text form a field's value ends where its
//! quotes end. Nobody waits for a log that cannot be written ([`Outlet`]).
//! Not guaranteed: that text inside a *message* cannot look like a field. What comes from clients belongs in fields.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::escape::{JsonEscaped, LineEscaped, is_plain};
use super::outlet::Outlet;
use crate::clock;
use crate::config::{LogConfig, LogFormat};
use crate::domain::timestamp;

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is invalid; a checked configuration has no such level.
    #[error("log.level is {0:?}, allowed: levels or levels per module")]
    Level(String),
    /// Something has set up logging before.
    #[error("logging is set up already")]
    Again,
    /// The thread that writes cannot be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] io::Error),
}

/// Sends the log to standard error for the rest of the process; coloured only when that is a terminal.
pub fn init(log: &LogConfig) -> Result<Outlet, LoggingError> {
    let outlet = Outlet::start(io::stderr())?;
    let lines = outlet.clone();
    let subscriber = subscriber(log, io::stderr().is_terminal(), move || lines.clone())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Again)?;
    Ok(outlet)
}

/// A subscriber that writes to `writer`, for `init` and for tests that read what was written.
pub fn subscriber<W>(
    log: &LogConfig,
    colours: bool,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level: Targets = log.level.parse().map_err(|_| LoggingError::Level(log.level.clone()))?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .event_format(TextLines { colours })
            .fmt_fields(TextFields)
            .with_writer(writer)
            .log_internal_errors(false)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_timer(WallClock)
            .map_event_format(JsonLines)
            .with_writer(writer)
            .log_internal_errors(false)
            .boxed(),
    };
    Ok(Registry::default().with(lines).with(level))
}

/// `time LEVEL message field=value …`, then the fields of the spans around it.
struct TextLines {
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = event.metadata().level();
        let (on, off) = if self.colours { (colour(level), "\u{1b}[0m") } else { ("", "") };
        write!(line, "{} {on}{level:<5}{off}", timestamp::render(clock::now()))?;
        let mut fields = TextVisitor::new(true);
        event.record(&mut fields);
        line.write_str(&fields.finish())?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
        }
        writeln!(line)
    }
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

/// The fields of spans, in the same form as those of events.
struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut visitor = TextVisitor::new(false);
        fields.record(&mut visitor);
        writer.write_str(&visitor.finish())
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// Collects ` message` and ` field=value`s, escaped.
struct TextVisitor {
    has_message: bool,
    message: String,
    fields: String,
}

impl TextVisitor {
    fn new(has_message: bool) -> Self {
        TextVisitor { has_message, message: String::new(), fields: String::new() }
    }

    fn finish(self) -> String {
        self.message + &self.fields
    }

    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        // Writing to a string cannot fail; a value whose own Display fails is cut there.
        if self.has_message && name == "message" {
            self.message.push(' ');
            let _ = LineEscaped(&mut self.message).write_fmt(value);
        } else {
            let mut text = String::new();
            let _ = text.write_fmt(value);
            let _ = self.put_field(name, &text);
        }
    }

    fn put_field(&mut self, name: &str, value: &str) -> fmt::Result {
        write!(self.fields, " {name}=")?;
        if is_plain(value) {
            return self.fields.write_str(value);
        }
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        self.fields.push('"');
        LineEscaped(&mut self.fields).write_str(&quoted)?;
        self.fields.write_char('"')
    }
}

impl Visit for TextVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

/// The time of a JSON line.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp::render(clock::now()))
    }
}

/// JSON lines; JSON itself escapes only the lowest control characters, the others are escaped on the way out.
struct JsonLines<F>(F);

impl<S, N, F> FormatEvent<S, N> for JsonLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut escaped = JsonEscaped(&mut line);
        self.0.format_event(context, Writer::new(&mut escaped), event)
    }
}

#[cfg(test)]
mod tests;
