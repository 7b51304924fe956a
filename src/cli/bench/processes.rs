//! Processor time and memory of the processes on this machine that are part of a run, from `/proc`.

use std::time::Duration;

use procfs::process::{Process, Stat, all_processes};

/// Whose figures are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Processes {
    /// The server.
    pub(super) server: Option<i32>,
    /// PostgreSQL's postmaster: it and all its children count, those that have ended too.
    pub(super) postmaster: Option<i32>,
}

/// Processor time, user and system, that was used so far, or in between.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProcessorTime {
    pub(super) server: Option<Duration>,
    pub(super) database: Option<Duration>,
    /// This process.
    pub(super) generator: Option<Duration>,
}

/// Resident memory of the server, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) now: u64,
    pub(super) peak: u64,
}

impl Processes {
    /// What was used so far.
    pub(super) fn used(&self) -> ProcessorTime {
        let own = |process: Process| process.stat().ok().map(|stat| of_ticks(stat.utime + stat.stime));
        ProcessorTime {
            server: self.server.and_then(|pid| own(Process::new(pid).ok()?)),
            database: self.postmaster.and_then(of_family),
            generator: Process::myself().ok().and_then(own),
        }
    }

    /// The server's memory.
    pub(super) fn memory(&self) -> Option<Memory> {
        let status = Process::new(self.server?).ok()?.status().ok()?;
        Some(Memory { now: status.vmrss? * 1_024, peak: status.vmhwm? * 1_024 })
    }
}

impl ProcessorTime {
    /// What was used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        let between = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self {
            server: between(self.server, before.server),
            database: between(self.database, before.database),
            generator: between(self.generator, before.generator),
        }
    }
}

/// The postmaster of this backend, if the backend is a process of PostgreSQL on this machine that serves `database`.
pub(super) fn postmaster(backend: i32, database: &str) -> Option<i32> {
    let process = Process::new(backend).ok()?;
    let title = process.cmdline().ok()?.join(" ");
    let is_backend = title.contains("postgres") && title.contains(database);
    is_backend.then(|| process.stat().ok().map(|stat| stat.ppid))?
}

/// Of a process, its children, and those children that it has waited for.
fn of_family(parent: i32) -> Option<Duration> {
    let stats = all_processes().ok()?.filter_map(|process| process.ok()?.stat().ok());
    let family: Vec<Stat> = stats.filter(|stat| stat.pid == parent || stat.ppid == parent).collect();
    let is_there = family.iter().any(|stat| stat.pid == parent);
    let of_one = |stat: &Stat| stat.utime + stat.stime + (stat.cutime + stat.cstime).max(0).cast_unsigned();
    is_there.then(|| of_ticks(family.iter().map(of_one).sum()))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_of_this_process_and_of_children_that_have_ended_is_counted() {
        let pid = std::process::id().cast_signed();
        let processes = Processes { server: Some(pid), postmaster: Some(pid) };
        let before = processes.used();
        let began = Instant::now();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done";
        assert!(Command::new("sh").args(["-c", script]).status().expect("sh runs").success());
        let lasted = began.elapsed();
        let used = processes.used().since(before);
        let family = used.database.expect("/proc");
        assert!(family > Duration::ZERO && family >= used.server.expect("/proc"), "{used:?} of {lasted:?}");
        let memory = processes.memory().expect("/proc");
        assert!(memory.now > 0 && memory.peak >= memory.now);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_figures() {
        let none = Processes { server: Some(i32::MAX), postmaster: Some(i32::MAX) };
        let used = none.used();
        assert!(used.server.is_none() && used.database.is_none() && none.memory().is_none());
        assert_eq!(postmaster(std::process::id().cast_signed(), "no such database"), None);
    }
}
