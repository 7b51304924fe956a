//! What is shown, and how keys change it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What there is to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Overview,
    Pipeline,
    Failures,
}

impl Tab {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Overview, Self::Pipeline, Self::Failures];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Pipeline => "Pipeline",
            Self::Failures => "Failures",
        }
    }

    fn moved(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|page| *page == self).unwrap_or_default();
        Self::ALL[(place + by) % Self::ALL.len()]
    }
}

/// What a key requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAction {
    /// The end.
    Quit,
    /// The screen anew.
    Draw,
    /// Nothing.
    None,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ViewState {
    pub(super) page: Tab,
    /// Rows of the tab's table that are scrolled past.
    pub(super) scroll: usize,
    /// Whether what is shown stays as it is.
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
}

impl ViewState {
    pub(super) fn press(&mut self, key: KeyEvent) -> KeyAction {
        if key.kind == KeyEventKind::Release {
            return KeyAction::None;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return KeyAction::Quit,
            KeyCode::Esc if self.shows_help => self.shows_help = false,
            KeyCode::Char('q') | KeyCode::Esc => return KeyAction::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char(digit @ '1'..='3') => self.open(Tab::ALL[digit as usize - '1' as usize]),
            KeyCode::Tab | KeyCode::Right => self.open(self.page.moved(1)),
            KeyCode::BackTab | KeyCode::Left => self.open(self.page.moved(Tab::ALL.len() - 1)),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::Home => self.scroll = 0,
            _ => return KeyAction::None,
        }
        KeyAction::Draw
    }

    fn open(&mut self, page: Tab) {
        (self.page, self.scroll) = (page, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut ViewState, code: KeyCode) -> KeyAction {
        view.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn q_escape_and_control_c_quit_and_nothing_else_does() {
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut ViewState::default(), code), KeyAction::Quit);
        }
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(ViewState::default().press(control_c), KeyAction::Quit);
        for code in [KeyCode::Char('c'), KeyCode::Char('x'), KeyCode::Enter, KeyCode::F(1)] {
            assert_eq!(press(&mut ViewState::default(), code), KeyAction::None, "{code:?}");
        }
        let mut view = ViewState { shows_help: true, ..ViewState::default() };
        assert_eq!(
            (press(&mut view, KeyCode::Esc), view),
            (KeyAction::Draw, ViewState::default()),
            "it closes the help"
        );
    }

    #[test]
    fn pages_follow_each_other_in_a_circle_and_have_numbers() {
        let mut view = ViewState { scroll: 7, ..ViewState::default() };
        press(&mut view, KeyCode::Char('2'));
        assert_eq!((view.page, view.scroll), (Tab::Pipeline, 0));
        for (code, page) in [
            (KeyCode::Tab, Tab::Failures),
            (KeyCode::Right, Tab::Overview),
            (KeyCode::BackTab, Tab::Failures),
            (KeyCode::Left, Tab::Pipeline),
            (KeyCode::Char('1'), Tab::Overview),
            (KeyCode::Char('3'), Tab::Failures),
        ] {
            press(&mut view, code);
            assert_eq!(view.page, page, "{code:?}");
        }
    }

    #[test]
    fn pause_help_and_scrolling_are_kept_until_undone() {
        let mut view = ViewState::default();
        press(&mut view, KeyCode::Char('p'));
        press(&mut view, KeyCode::Char('?'));
        press(&mut view, KeyCode::Down);
        press(&mut view, KeyCode::PageDown);
        press(&mut view, KeyCode::Up);
        assert_eq!(view, ViewState { page: Tab::Overview, scroll: 10, is_paused: true, shows_help: true });
        press(&mut view, KeyCode::Char(' '));
        press(&mut view, KeyCode::Char('?'));
        press(&mut view, KeyCode::Home);
        assert_eq!(view, ViewState::default());
    }
}
