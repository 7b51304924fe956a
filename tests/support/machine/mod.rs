//! Parts of the machine that a test owns and may break: disks, networks, limits, clocks.
//!
//! Nearly all of it needs root. What is made here is undone when it is dropped, and by the run's watch if the run
//! ends before.

pub mod clock;
pub mod disk;
pub mod freezer;
pub mod limits;
pub mod network;
pub mod unlocks;

mod proofs;

use std::process::{Command, Stdio};

use super::run;

/// Why a test that needs root and these programs cannot run here; `None` if it can.
pub fn lacks(programs: &[&str]) -> Option<String> {
    if !run::is_root() {
        return Some("it needs root".to_owned());
    }
    let missing = programs.iter().find(|program| !is_installed(program));
    missing.map(|program| format!("it needs the program {program}: run ./test, which installs it"))
}

/// Why a test that needs this program and no root cannot run here; `None` if it can.
pub fn lacks_program(program: &str) -> Option<String> {
    (!is_installed(program)).then(|| format!("it needs the program {program}"))
}

/// Whether a test has to be skipped, which it says: one of these is the reason, if any.
pub fn skips(reasons: &[Option<String>]) -> bool {
    let reason = reasons.iter().flatten().next();
    if let Some(reason) = reason {
        println!("SKIPPED: {reason}");
    }
    reason.is_some()
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).stdout(Stdio::null()).status();
    found.expect("sh starts").success()
}
