//! A wall clock that a test sets for one process, while it runs.

use std::fs;
use std::path::PathBuf;

use super::super::lacks::Lack;
use super::super::run;
use super::super::server::Setup;

/// Where Debian's package `faketime` puts the library for programs with threads, below `/usr/lib/<architecture>`.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The wall clock of the processes that were set up with it. Time spans stay true, as when somebody sets a real clock.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right.
    pub fn new() -> Self {
        let library = library().expect("a test asks first what it lacks");
        let clock = Self { library, file: run::folder("clock").join("shift") };
        clock.shift("+0");
        clock
    }

    /// What such a clock needs and is not here.
    pub fn lacks() -> Option<Lack> {
        library().is_none().then(|| Lack::Tool(LIBRARY.to_owned()))
    }

    /// A server that lives by this clock.
    pub fn around(&self, setup: Setup) -> Setup {
        self.environment().iter().fold(setup, |setup, (name, value)| setup.with_env(name, value))
    }

    /// What makes a process live by this clock.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Sets the clock this much off the true time: `+1h`, `-10d`.
    pub fn shift(&self, by: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{by}\n")).expect("the folder is ours");
        fs::rename(&new, &self.file).expect("the folder is ours");
    }
}

fn library() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").ok()?.flatten();
    architectures.map(|folder| folder.path().join(LIBRARY)).find(|library| library.exists())
}
