//! What one test run leaves nowhere else: its folder, and the watch that clears up after it.
//!
//! The watch is a shell process that reads a pipe from this one. However this process ends, the
//! pipe closes with it; then the watch kills what was still guarded and removes the folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// `+ PID` guards a process; postmasters (Q) get SIGQUIT so that their children go too. `u NAME COMMAND` remembers what
/// undoes a change to the machine, newest first. `- PID` and `- NAME` end that.
const WATCH: &str = r#"
trap '' HUP INT QUIT TERM
held=
undo=
while read -r verb name command; do
  case $verb in
    +) held="$held $name" ;;
    u) undo="$name $command
$undo" ;;
    -)
      rest=; for one in $held; do [ "$one" = "$name" ] || rest="$rest $one"; done; held=$rest
      undo=$(printf '%s\n' "$undo" | grep -v "^$name ") ;;
  esac
done
for one in $held; do
  case $one in
    Q*) kill -QUIT "${one#Q}" && kill -CONT "${one#Q}" ;;
    *) kill -KILL "$one" ;;
  esac
done
# A dead process may stay as a zombie where nobody reaps orphans.
lives() { kill -0 "$1" && ! grep -q '^State:.*Z' "/proc/$1/status"; }
tries=0
for one in $held; do
  while lives "${one#Q}" && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
  kill -KILL "${one#Q}"
done
printf '%s\n' "$undo" | while read -r name command; do sh -c "$command" </dev/null; done
rm -rf --one-file-system "$1"
"#;

struct Run {
    folder: PathBuf,
    pipe: Mutex<ChildStdin>,
    _watch: Child,
}

/// The process's guard: while it lives, the watch ends the process when this test run ends.
#[derive(Debug)]
pub struct Guard {
    name: String,
}

/// How the watch ends a process that it still guards when the run is over.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGQUIT: PostgreSQL's immediate stop, which takes its children along.
    Quit,
}

impl Guard {
    /// Guards `child` until the guard is dropped.
    pub fn new(child: &Child, ending: Ending) -> Self {
        let name = match ending {
            Ending::Kill => child.id().to_string(),
            Ending::Quit => format!("Q{}", child.id()),
        };
        tell('+', &name);
        Self { name }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        tell('-', &self.name);
    }
}

/// A change to the machine (a mount, a namespace, a cgroup) that is undone when this is dropped, or by the watch when the
/// run ends before.
#[derive(Debug)]
pub struct Undo {
    name: String,
    command: String,
}

impl Undo {
    /// Remembers the shell command, one line, that undoes a change; ask before the change is made.
    pub fn new(command: String) -> Self {
        let name = format!("u{}", number());
        tell('u', &format!("{name} {command}"));
        Self { name, command }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let output = Command::new("sh").args(["-c", &self.command]).stdin(Stdio::null()).output();
        let complaint = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        // Another panic may be under way: a second one would hide it.
        match complaint {
            Ok(text) if text.is_empty() => {}
            trouble => eprintln!("{}: {trouble:?}", self.command),
        }
        tell('-', &self.name);
    }
}

/// A new, empty folder in this run's folder; `name` only helps a person who looks.
pub fn folder(name: &str) -> PathBuf {
    let folder = run().folder.join(format!("{name}-{}", number()));
    fs::create_dir(&folder).expect("the run's folder takes a new folder");
    folder
}

/// A number that was not given before in this run.
pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sends a signal (`KILL`, `TERM`, `STOP`, …) to a process of this run.
pub fn signal(pid: u32, name: &str) {
    assert!(try_signal(pid, name), "process {pid} took no signal {name}");
}

/// Sends a signal to a process of this run that may have ended; whether it was there.
pub fn try_signal(pid: u32, name: &str) -> bool {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("the kill command runs").success()
}

/// Whether a process with this id exists.
pub fn is_alive(pid: u32) -> bool {
    try_signal(pid, "0")
}

/// Whether this process may mount, make network namespaces and signal anybody.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Locks, also after another test panicked while it held the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(verb: char, name: &str) {
    writeln!(lock(&run().pipe), "{verb} {name}").expect("the watch reads until this process ends");
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        // Not under target/: PostgreSQL runs as another user, who may not reach this tree.
        // The id may be an earlier run's, which left its folder when the machine went down.
        let free = |attempt| {
            let name = format!("gristmill-test-{}-{attempt}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).is_ok().then_some(folder)
        };
        let folder = (1..100).find_map(free).expect("the temporary folder is writable");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut watch = watch_over(&folder);
        let pipe = Mutex::new(watch.stdin.take().expect("it was asked for"));
        Run { folder, pipe, _watch: watch }
    })
}

/// Starts the watch in a process group of its own, where an interrupt from the terminal misses it.
fn watch_over(folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", WATCH, "gristmill-test-watch"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh starts")
}
