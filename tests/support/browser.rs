//! Chromium, driven by the scripts of `tests/browser/` with the libraries that `./test` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lacks::{Lack, program};
use super::run;

/// Where `./test` puts the libraries of `tests/browser/package.json`, and says there that all of them are installed.
const FOLDER: &str = "target/browser";
const INSTALLED: &str = "installed";
/// Where the scripts put what the pages look like.
const SCREENSHOTS: &str = "target/screenshots";

/// What a test in a browser lacks.
pub fn lacks() -> Option<Lack> {
    let has_libraries = root().join(FOLDER).join(INSTALLED).exists();
    let libraries = || Lack::Tool("the libraries of tests/browser/package.json".to_owned());
    program("node").or_else(|| program("chromium")).or((!has_libraries).then(libraries))
}

/// Runs a script of `tests/browser/` to its end, with these variables; panics with what it says if it fails.
pub fn play(script: &str, variables: &[(&str, &str)]) {
    let profile = run::folder("browser");
    let output = Command::new("node")
        .arg(root().join("tests/browser").join(script))
        .env("LIBRARIES", root().join(FOLDER))
        .env("SCREENSHOTS", root().join(SCREENSHOTS))
        .env("PROFILE", &profile)
        // A browser that is asked to may not look into the settings of a person.
        .env("HOME", &profile)
        .env("SANDBOX", if run::is_root() { "" } else { "1" })
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("node starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{told}\n{errors}", output.status);
    // A script that ends early, as node does when nothing is left to wait for, has not passed.
    assert!(told.trim_end().ends_with("passed"), "{script} did not come to its end\n{told}\n{errors}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that the scripts keep of the pages.
pub fn screenshot(name: &str) -> PathBuf {
    root().join(SCREENSHOTS).join(name)
}
