//! `gristmill top`: what the nodes are doing, live in the terminal until it is quit; or once, as text.
//!
//! One stream of the server sends what changes, as for its dashboard; nothing is requested twice. The terminal is given
//! back however the command ends.

mod draw;
mod model;
mod plain;
mod screen;
mod tables;
mod text;
mod view;
mod watch;

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::bail;

use self::draw::Palette;
use self::model::{Model, Update};
use self::screen::{Screen, TerminalInput};
use self::text::Text;
use self::view::{KeyAction, Tab, ViewState};
use super::api_client::ApiClient;
use crate::cli::args::top::TopArgs;
use crate::cli::output::print;

/// Longest wait for a key; a signal is noticed within it.
const TICK: Duration = Duration::from_millis(100);

/// Updates that wait to be shown; a server sends some a second.
const NEWS_MAX: usize = 64;

pub(super) fn run(top: &TopArgs, client: ApiClient) -> anyhow::Result<ExitCode> {
    if top.once || !stdout().is_terminal() {
        return once(&client);
    }
    let is_plain = top.no_color.as_ref().is_some_and(|value| !value.is_empty());
    let (news, updates) = sync_channel(NEWS_MAX);
    watch::stop_on_signals(news.clone())?;
    let wants_failures = Arc::new(AtomicBool::new(false));
    let workers = [
        watch::follow(client.clone(), news.clone()),
        watch::failures(client.clone(), Arc::clone(&wants_failures), news),
    ];
    let session = LiveView {
        updates,
        wants_failures,
        model: Model::new(client.base()),
        view: ViewState::default(),
        interval: top.interval,
        palette: Palette { has_colours: !is_plain },
    };
    session.run(|| workers.iter().all(|worker| !worker.is_finished()))
}

fn once(client: &ApiClient) -> anyhow::Result<ExitCode> {
    // A server's words are text from outside.
    let model = watch::once(client).map_err(|error| anyhow::anyhow!("{}", Text::of(&format!("{error:#}"))))?;
    print(plain::snapshot(&model, Instant::now()).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// A screen and what it shows.
struct LiveView {
    updates: Receiver<Update>,
    wants_failures: Arc<AtomicBool>,
    model: Model,
    view: ViewState,
    interval: Duration,
    palette: Palette,
}

impl LiveView {
    /// Draws until a key or a signal requests the end, as long as everything that is needed lives.
    fn run(mut self, lives: impl Fn() -> bool) -> anyhow::Result<ExitCode> {
        let mut screen = Screen::open()?;
        let mut shown = self.model.clone();
        let mut shown_at = Instant::now();
        let mut drawn_at: Option<Instant> = None;
        loop {
            if self.listen() {
                return Ok(ExitCode::FAILURE);
            }
            if !lives() {
                bail!("what asks the server has ended");
            }
            let cannot_wait = !self.view.is_paused && self.model.has_turned_since(&shown);
            if cannot_wait || drawn_at.is_none_or(|drawn_at| drawn_at.elapsed() >= self.interval) {
                if !self.view.is_paused {
                    (shown, shown_at) = (self.model.clone(), Instant::now());
                }
                let view = &self.view;
                let palette = self.palette;
                screen.draw(|frame| draw::draw(frame, &shown, view, palette, shown_at))?;
                drawn_at = Some(Instant::now());
            }
            let due = drawn_at.map_or(Duration::ZERO, |drawn_at| self.interval.saturating_sub(drawn_at.elapsed()));
            match screen.report(due.min(TICK))? {
                TerminalInput::Key(key) => match self.view.press(key) {
                    KeyAction::Quit => return Ok(ExitCode::SUCCESS),
                    KeyAction::Draw => drawn_at = None,
                    KeyAction::None => {}
                },
                TerminalInput::Resized => drawn_at = None,
                TerminalInput::Nothing => {}
            }
            self.keep_within();
        }
    }

    /// Takes the updates; whether a signal requests the end.
    fn listen(&mut self) -> bool {
        let now = Instant::now();
        while let Ok(news) = self.updates.try_recv() {
            if matches!(news, Update::Stop) {
                return true;
            }
            self.model.apply(news, now);
        }
        false
    }

    /// Scrolling ends with the table; failures are requested while they are shown.
    fn keep_within(&mut self) {
        let rows = match self.view.page {
            Tab::Overview => 0,
            Tab::Pipeline => self.model.line.iter().flat_map(|line| &line.pools).map(|pool| pool.actors.len()).sum(),
            Tab::Failures => self.model.failures.as_ref().map_or(0, Vec::len),
        };
        self.view.scroll = self.view.scroll.min(rows.saturating_sub(1));
        self.wants_failures.store(self.view.page == Tab::Failures, Ordering::Relaxed);
    }
}
