//! Releases of locks that the system refuses, in one process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::super::run;
use super::super::server::Setup;
use super::super::wait::{SOON, wait_for};

/// Locks of SQLite's, each a byte of its shared memory and the kind of lock: <https://www.sqlite.org/walformat.html>.
#[derive(Clone, Copy, Debug)]
pub enum Lock {
    /// Of whoever writes.
    Write,
    /// Of whoever empties the log.
    Checkpoint,
    /// Of those who read what is in the log.
    Read,
    /// Of whoever moves the mark up to which those read.
    Mark,
}

impl Lock {
    fn order(self) -> &'static str {
        match self {
            Self::Write => "120w",
            Self::Checkpoint => "121w",
            Self::Read => "124r",
            Self::Mark => "124w",
        }
    }
}

/// Fails releases of locks in the processes that were set up with it.
#[derive(Debug)]
pub struct Unlocks {
    library: PathBuf,
    order: PathBuf,
}

impl Unlocks {
    /// None fails yet.
    pub fn new() -> Self {
        let folder = run::folder("unlocks");
        let source = folder.join("unlocks.c");
        let library = folder.join("unlocks.so");
        fs::write(&source, include_str!("unlocks.c")).expect("the folder is ours");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
        let output = compiler.output().expect("the C compiler that the build needs is here");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { library, order: folder.join("order") }
    }

    /// A server whose releases can fail.
    pub fn around(&self, setup: Setup) -> Setup {
        setup
            .with_env("LD_PRELOAD", &self.library.display().to_string())
            .with_env("UNLOCK_FAILS", &self.order.display().to_string())
    }

    /// Has the next release of this lock fail, and waits until it has, while something goes on.
    pub fn fail_one(&self, lock: Lock, mut meanwhile: impl FnMut()) {
        self.fail_next(lock);
        let has_failed = || {
            meanwhile();
            (!self.is_pending()).then_some(())
        };
        wait_for("a release to fail", SOON, has_failed, || format!("of {lock:?}"));
    }

    /// Has the next release of this lock fail.
    pub fn fail_next(&self, lock: Lock) {
        let draft = self.order.with_extension("new");
        fs::write(&draft, lock.order()).expect("the folder is ours");
        fs::rename(&draft, &self.order).expect("the folder is ours");
    }

    /// Whether a release is still to fail.
    pub fn is_pending(&self) -> bool {
        self.order.exists()
    }

    /// Fails none that has not failed yet.
    pub fn fail_none(&self) {
        // It may fail just now.
        let _ = fs::remove_file(&self.order);
    }
}
