//! What this machine lacks for a test, which then is skipped: said past the test runner, and noted where `./test` counts it.

use std::fmt::{self, Display, Formatter};
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use super::run;

/// Names the file in which `./test` has skips noted.
const NOTED_IN: &str = "GRISTMILL_TEST_SKIPS";

/// Something that a test needs and that is not here.
#[derive(Clone, Debug)]
pub enum Lack {
    /// A program or a library, which `./test` installs; where CI lacks it, CI fails.
    Tool(String),
    /// A right or a property of the machine, which nobody can install.
    Machine(String),
}

impl Display for Lack {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(what) => write!(formatter, "tool: it needs {what}, which ./test installs"),
            Self::Machine(what) => write!(formatter, "machine: it needs {what}"),
        }
    }
}

/// What a test lacks that needs root and these programs.
pub fn root_with(programs: &[&str]) -> Option<Lack> {
    let root = (!run::is_root()).then(|| Lack::Machine("root".to_owned()));
    root.or_else(|| programs.iter().find_map(|program| self::program(program)))
}

/// What a test lacks that needs this program.
pub fn program(program: &str) -> Option<Lack> {
    (!is_installed(program)).then(|| Lack::Tool(format!("the program {program}")))
}

/// Whether a test has to be skipped: one of these is the reason, if any.
pub fn skips(lacks: &[Option<Lack>]) -> bool {
    let lack = lacks.iter().flatten().next();
    if let Some(lack) = lack {
        skip(lack);
    }
    lack.is_some()
}

/// Says and notes that the test of this thread is skipped.
pub fn skip(lack: &Lack) {
    let thread = std::thread::current();
    let line = format!("{}: {lack}", thread.name().unwrap_or("a test"));
    say(&format!("SKIPPED {line}"));
    if let Some(path) = std::env::var_os(NOTED_IN) {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{line}")).expect("./test names a file that can be written");
    }
}

/// Writes a line at once, past the test runner, which keeps the output of tests that pass to itself.
pub fn say(line: &str) {
    // Nobody to tell is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).stdout(Stdio::null()).status();
    found.expect("sh starts").success()
}
