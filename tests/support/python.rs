//! Python with the libraries of `tests/requirements.txt`, which `./test` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lacks::Lack;

/// Where `./test` puts Python, and says there that all of it is installed.
const FOLDER: &str = "target/python";
const INSTALLED: &str = "installed";

/// What a test lacks that needs these libraries.
pub fn lacks() -> Option<Lack> {
    let is_there = folder().join(INSTALLED).exists();
    (!is_there).then(|| Lack::Tool("the libraries of tests/requirements.txt".to_owned()))
}

/// Runs a script of `tests/`, not started yet.
pub fn script(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(folder().join("bin/python"));
    command.arg("-I").arg(root().join("tests").join(path)).args(arguments).stdin(Stdio::null());
    command
}

/// A program that a library brings along, not started yet.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(folder().join("bin").join(name));
    command.stdin(Stdio::null());
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}
