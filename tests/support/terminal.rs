//! A terminal that a program draws on and that a test types into: a pseudo terminal of util-linux's `script`.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::run::{Ending, Guard, lock};
use super::wait::{SOON, wait_for};

/// Runs the words of a command in 80 by 24 cells, between two looks at how the terminal is set.
const SCENE: &str = "stty rows 24 cols 80; echo tty=$(tty); before=$(stty -g); sh -c 'echo pid=$$; exec \"$@\"' sh WORDS; \
    code=$?; test \"$before\" = \"$(stty -g)\" && echo given back; echo code=$code";

/// What a terminal is told when a program takes all of it, and when it gives it back.
const TAKEN: &str = "\u{1b}[?1049h";
pub const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// A terminal with a program in it.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    told: Arc<Mutex<Vec<u8>>>,
    _guard: Guard,
}

impl Terminal {
    /// Starts a command in a terminal of its own.
    pub fn start(command: &Command) -> Self {
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().expect("text without quotes")))
            .collect();
        let mut script = Command::new("script");
        script.args(["-qfc", &SCENE.replace("WORDS", &words.join(" ")), "/dev/null"]);
        for (name, value) in [("TERM", Some("xterm-256color")), ("SHELL", Some("/bin/sh")), ("NO_COLOR", None)] {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.current_dir(command.get_current_dir().expect("a command has its folder"));
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("script is installed");
        let guard = Guard::new(&child, Ending::Kill);
        let keys = child.stdin.take().expect("a pipe");
        let mut output = child.stdout.take().expect("a pipe");
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                lock(&all).extend_from_slice(&piece[..length]);
            }
        });
        Self { child, keys, told, _guard: guard }
    }

    /// All that the terminal was told so far, as bytes.
    pub fn told(&self) -> String {
        String::from_utf8_lossy(&lock(&self.told)).into_owned()
    }

    /// What stands on the screen now, line by line.
    pub fn screen(&self) -> Vec<String> {
        let told = self.told();
        told.rsplit_once(TAKEN).map(|(_, drawn)| cells(drawn)).unwrap_or_default()
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal takes keys");
    }

    /// Waits until this text stands on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let is_there = || self.screen().iter().any(|line| line.contains(text)).then_some(());
        let state = || format!("{}\n{:?}", self.screen().join("\n"), self.told());
        wait_for(&format!("{text:?} on the screen"), SOON, is_there, state);
    }

    /// What the scene said of itself behind this word, up to the line's end.
    pub fn said(&self, word: &str) -> String {
        let rest = || {
            let told = self.told();
            let (rest, _) = told.split_once(word)?.1.split_once('\n')?;
            Some(rest.trim().to_owned())
        };
        wait_for(word, SOON, rest, || format!("{:?}", self.told()))
    }

    /// Closes the terminal under the program, as when its window is closed.
    pub fn close(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child takes a signal");
    }

    /// Waits for the program's end; what the terminal was told in all.
    pub fn ended(mut self) -> String {
        let end = || self.child.try_wait().expect("a child can be asked");
        wait_for("the program to end", SOON, end, || format!("{:?}", String::from_utf8_lossy(&lock(&self.told))));
        self.said("code=");
        self.told()
    }
}

/// The cells after all of this was drawn: text goes where the cursor was moved to, marks are passed over.
fn cells(drawn: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![vec![' '; 200]; 60];
    let mut row = 0;
    let mut column = 0;
    let mut rest = drawn.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            if let Some(cell) = lines.get_mut(row).and_then(|line| line.get_mut(column)).filter(|_| !c.is_control()) {
                (*cell, column) = (c, column + 1);
            }
            continue;
        }
        // `ESC [`, numbers, a letter.
        let mut numbers = String::new();
        let letter = rest.by_ref().skip(1).find(|c| {
            if !c.is_ascii_alphabetic() {
                numbers.push(*c);
            }
            c.is_ascii_alphabetic()
        });
        match letter {
            Some('H') => {
                let place =
                    |number: Option<&str>| number.and_then(|number| number.parse::<usize>().ok()).unwrap_or(1) - 1;
                let mut numbers = numbers.split(';');
                (row, column) = (place(numbers.next()), place(numbers.next()));
            }
            Some('J') => lines.iter_mut().flatten().for_each(|cell| *cell = ' '),
            _ => {}
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}
