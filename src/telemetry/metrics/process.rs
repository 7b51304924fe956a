//! What the kernel says of the process, under the names that all of Prometheus' clients use. Where there is no `/proc`,
//! nothing.

use std::fs;

use super::exposition::Exposition;

/// Ticks of `/proc/self/stat` in a second: the kernel's USER_HZ, the same on every architecture that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` behind the name of the program, from 0.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Writes what is known.
pub fn write_process(page: &mut Exposition) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Memory that is resident.", kib * 1_024);
    }
    if let Some(kib) = field(&status, "VmSize:") {
        page.gauge("process_virtual_memory_bytes", "Memory that is mapped.", kib * 1_024);
    }
    if let Some(threads) = field(&status, "Threads:") {
        page.gauge("process_threads", "Threads.", threads);
    }
    write_times(page);
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open files and connections.", files.count());
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = field(&limits, "Max open files") {
        page.gauge("process_max_fds", "Most open files and connections.", most);
    }
}

fn write_times(page: &mut Exposition) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything, a parenthesis too.
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |place: usize| Some(fields.get(place)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    if let (Some(user), Some(system)) = (seconds(USER_TICKS), seconds(SYSTEM_TICKS)) {
        page.counter("process_cpu_seconds_total", "Time of processors that was used.", user + system);
    }
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    if let (Some(booted), Some(after)) = (field(&machine, "btime"), seconds(START_TICKS)) {
        let help = "When the process was started, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, booted as f64 + after);
    }
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_by_their_lines() {
        let status = "Name:\ta\nVmSize:\t  2000 kB\nVmRSS:\t  1000 kB\nThreads:\t7\n";
        assert_eq!(
            [field(status, "VmRSS:"), field(status, "Threads:"), field(status, "VmSwap:")],
            [Some(1_000), Some(7), None]
        );
        assert_eq!(
            field("Max open files            1024                 4096                 files", "Max open files"),
            Some(1_024)
        );
        assert_eq!(
            field("Max open files            unlimited            unlimited            files", "Max open files"),
            None
        );
    }

    #[test]
    fn this_process_is_reported() {
        let mut page = Exposition::default();
        write_process(&mut page);
        assert_eq!(page.into_text().matches("# TYPE process_").count(), 7);
    }
}
