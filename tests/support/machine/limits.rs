//! Limits around a process: memory and threads by cgroups, file handles by `prlimit`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::lacks::Lack;
use super::super::run::{self, Undo};

/// Programs that limits need.
pub const PROGRAMS: [&str; 1] = ["prlimit"];

/// A cgroup (version 1) of one controller.
#[derive(Debug)]
pub struct Cage {
    folder: PathBuf,
    _undo: Undo,
}

impl Cage {
    /// A cage for at most this many bytes of memory.
    pub fn of_memory(bytes: u64) -> Self {
        Self::new("memory").with("memory.limit_in_bytes", bytes)
    }

    /// A cage for at most this many threads.
    pub fn of_threads(threads: u64) -> Self {
        Self::new("pids").with("pids.max", threads)
    }

    /// What a cage needs and is not here.
    pub fn lacks() -> Option<Lack> {
        let missing = ["memory", "pids"].iter().find(|controller| !hierarchy(controller).is_dir());
        missing.map(|controller| Lack::Machine(hierarchy(controller).display().to_string()))
    }

    /// What a program's words have to begin with for it to start inside.
    pub fn wrapper(&self) -> [String; 4] {
        let enter = format!("echo $$ >'{}' && exec \"$@\"", self.folder.join("cgroup.procs").display());
        ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()]
    }

    /// Its folder in the cgroups' file system.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Another limit for who is inside.
    pub fn limit_threads(&self, threads: u64) {
        self.write("pids.max", threads);
    }

    /// Threads inside.
    pub fn threads(&self) -> u64 {
        self.read("pids.current")
    }

    /// How often a thread was refused.
    pub fn refused_threads(&self) -> u64 {
        self.read("pids.events")
    }

    /// How often memory ran out.
    pub fn times_full(&self) -> u64 {
        self.read("memory.failcnt")
    }

    fn new(controller: &str) -> Self {
        let folder = hierarchy(controller).join(format!("gristmill-test-{}-{}", std::process::id(), run::number()));
        // It is empty when who was inside is dead, which takes the kernel a moment.
        let path = folder.display();
        let undo = Undo::new(format!(
            "for try in 1 2 3 4 5 6 7 8 9; do rmdir '{path}' 2>/dev/null && exit; sleep 0.2; done; rmdir '{path}'"
        ));
        fs::create_dir(&folder).expect("root makes cgroups");
        Self { folder, _undo: undo }
    }

    fn with(self, file: &str, value: u64) -> Self {
        self.write(file, value);
        self
    }

    fn write(&self, file: &str, value: u64) {
        fs::write(self.folder.join(file), value.to_string())
            .unwrap_or_else(|error| panic!("{file} = {value}: {error}"));
    }

    /// The last number in a file of the cgroup.
    fn read(&self, file: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let word = text.split_whitespace().last().and_then(|word| word.parse().ok());
        word.unwrap_or_else(|| panic!("{file} holds no number: {text}"))
    }
}

fn hierarchy(controller: &str) -> PathBuf {
    PathBuf::from("/sys/fs/cgroup").join(controller)
}

/// What a program's words have to begin with for it to have at most this many file handles.
pub fn file_handles(count: u32) -> [String; 2] {
    ["prlimit".to_owned(), format!("--nofile={count}:{count}")]
}
