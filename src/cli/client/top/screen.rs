//! The terminal while it is ours: given back however the command ends, by a panic of any thread too.

use std::io::Stdout;
use std::time::Duration;

use anyhow::Context;
use ratatui::Terminal;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::prelude::CrosstermBackend;

/// The terminal, which is given back when this is dropped.
pub(super) struct Screen {
    terminal: Option<Terminal<CrosstermBackend<Stdout>>>,
}

/// What the terminal reports.
pub(super) enum TerminalInput {
    Key(KeyEvent),
    Resized,
    /// Nothing in the time that was given, or nothing that matters.
    Nothing,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Self> {
        // Made before the terminal is taken, so that one that is taken half is given back as well.
        let mut screen = Self { terminal: None };
        screen.terminal = Some(ratatui::try_init().context("the terminal cannot be drawn on")?);
        Ok(screen)
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> anyhow::Result<()> {
        let terminal = self.terminal.as_mut().expect("an open screen has one");
        terminal.draw(draw).map(drop).context("the terminal cannot be drawn on")
    }

    /// Waits at most so long for a key.
    pub(super) fn report(&self, wait: Duration) -> anyhow::Result<TerminalInput> {
        if !event::poll(wait).context("the terminal cannot be read")? {
            return Ok(TerminalInput::Nothing);
        }
        Ok(match event::read().context("the terminal cannot be read")? {
            Event::Key(key) => TerminalInput::Key(key),
            Event::Resize(..) => TerminalInput::Resized,
            _ => TerminalInput::Nothing,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What cannot be given back is gone: there is nobody to report it to.
        let _ = ratatui::try_restore();
    }
}
