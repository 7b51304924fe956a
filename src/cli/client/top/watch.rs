//! What is requested of the server, on threads of their own: the screen never waits for a network.

use std::io::{BufRead, BufReader, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

use super::model::{FailedEvent, FigureBucket, Model, SeriesReply, Update};
use super::text::Text;
use crate::cli::client::api_client::ApiClient;

/// The series that is shown: with buckets of five seconds, as the newest figures have them.
const WINDOW: &str = "5m";

/// Waits between two connections.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Time to end in order after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// How often failures are requested at most while they are shown, and how often it is seen that they are.
const FAILURES: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);
/// Failures of each kind.
const FAILURES_MAX: &str = "20";

/// Follows the pipeline and the figures for as long as somebody listens.
pub(super) fn follow(client: ApiClient, news: SyncSender<Update>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut wait = WAIT_FIRST;
        loop {
            let mut has_received = false;
            let received = stream(&client, |received| {
                has_received = true;
                news.send(received).is_ok()
            });
            let why = match received {
                Ok(()) => Text::of("the server ended the stream"),
                Err(error) => Text::of(&format!("{error:#}")),
            };
            if news.send(Update::Lost(why)).is_err() {
                return;
            }
            wait = if has_received { WAIT_FIRST } else { (wait * 2).min(WAIT_MAX) };
            sleep(wait);
        }
    })
}

/// Requests the failures while they are wanted.
pub(super) fn failures(client: ApiClient, is_wanted: Arc<AtomicBool>, news: SyncSender<Update>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut polled_at: Option<Instant> = None;
        loop {
            let is_due = polled_at.is_none_or(|polled_at| polled_at.elapsed() >= FAILURES);
            if is_due && is_wanted.load(Ordering::Relaxed) {
                let failures = newest_failures(&client).map_err(|error| Text::of(&format!("{error:#}")));
                if news.send(Update::Failures(failures)).is_err() {
                    return;
                }
                polled_at = Some(Instant::now());
            }
            sleep(LOOK);
        }
    })
}

/// Sends [`Update::Stop`] for the first signal that requests an end, and when the terminal is gone. A process that does
/// not end by that is ended: the library below reads a terminal that is gone for ever, and hears of nothing else.
pub(super) fn stop_on_signals(news: SyncSender<Update>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let terminal = watched().context("the terminal cannot be watched")?;
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
                () = gone(&terminal) => {}
            }
        });
        // A full queue means that nobody listens.
        let _ = news.try_send(Update::Stop);
        sleep(GRACE);
        // On a thread of its own: a terminal that takes nothing holds up its writers.
        thread::spawn(ratatui::try_restore);
        sleep(GRACE / 4);
        std::process::exit(1);
    });
    Ok(())
}

/// The terminal under a descriptor of its own.
#[expect(deprecated, reason = "what follows it is unsafe, and asks for a descriptor that stays open: this one does")]
fn watched() -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(stdout().as_fd().try_clone_to_owned()?, Interest::READABLE)
}

/// Waits until the terminal's other end is closed. Reads nothing of what is typed.
async fn gone(terminal: &AsyncFd<OwnedFd>) {
    while let Ok(mut readable) = terminal.readable().await {
        if readable.ready().is_read_closed() {
            return;
        }
        readable.clear_ready();
    }
}

/// Everything that `top` shows, requested once.
pub(super) fn once(client: &ApiClient) -> anyhow::Result<Model> {
    let mut model = Model::new(client.base());
    let mut has_line = false;
    let mut has_figures = false;
    stream(client, |received| {
        has_line |= matches!(received, Update::Line(_));
        has_figures |= matches!(received, Update::Figures(_));
        model.apply(received, Instant::now());
        !(has_line && has_figures)
    })?;
    if !(has_line && has_figures) {
        bail!("the server ended the stream");
    }
    let failures = newest_failures(client).map_err(|error| Text::of(&format!("{error:#}")));
    model.apply(Update::Failures(failures), Instant::now());
    Ok(model)
}

/// Delivers the series and then what changes, until `deliver` returns false or the connection ends.
fn stream(client: &ApiClient, mut deliver: impl FnMut(Update) -> bool) -> anyhow::Result<()> {
    let mut lines = client.read("/api/live", &[], &[])?;
    let mut newest = Text::default();
    let mut received = (String::new(), String::new());
    loop {
        let line = &mut received.0;
        let kind = &mut received.1;
        line.clear();
        if lines.read_line(line).context("the stream broke off")? == 0 {
            return Ok(());
        }
        let news = match line.trim_end().split_once(": ") {
            Some(("event", event)) => {
                event.clone_into(kind);
                continue;
            }
            Some(("data", data)) if kind == "pipeline" => Update::Line(Box::new(read(data)?)),
            Some(("data", data)) if kind == "figures" => Update::Figures(read(data)?),
            _ => continue,
        };
        if let Update::Figures(figures) = &news {
            // At first, and after a pause in which buckets went by, the newest two are not all.
            if figures.buckets.first().is_some_and(|first| is_later(first, &newest))
                && !deliver(Update::Course(course(client)?))
            {
                return Ok(());
            }
            newest = figures.buckets.last().map(|last| last.at.clone()).unwrap_or_default();
        }
        if !deliver(news) {
            return Ok(());
        }
    }
}

fn is_later(bucket: &FigureBucket, than: &Text) -> bool {
    bucket.at.as_str() > than.as_str()
}

fn course(client: &ApiClient) -> anyhow::Result<SeriesReply> {
    whole(client, "/api/v1/stats/series", &[("window", WINDOW)])
}

/// The newest events that were given up or refused, whichever kind they are.
fn newest_failures(client: &ApiClient) -> anyhow::Result<Vec<FailedEvent>> {
    #[derive(Deserialize)]
    struct FailurePage {
        data: Vec<FailedEvent>,
    }
    let mut all = Vec::new();
    for status in ["failed", "validation_error"] {
        let page: FailurePage = whole(client, "/api/v1/events", &[("status", status), ("limit", FAILURES_MAX)])?;
        all.extend(page.data);
    }
    all.sort_by(|one, other| other.received_at.as_str().cmp(one.received_at.as_str()));
    Ok(all)
}

fn whole<T: DeserializeOwned>(client: &ApiClient, path: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
    let answer: BufReader<_> = client.read(path, query, &[])?;
    serde_json::from_reader(answer).with_context(|| format!("the answer to {path} cannot be read"))
}

fn read<T: DeserializeOwned>(data: &str) -> anyhow::Result<T> {
    serde_json::from_str(data).context("the server's news cannot be parsed")
}
