//! What the kernel says of the process, under the names that all of Prometheus' clients use. Where there is no `/proc`,
//! nothing.

use procfs::process::{LimitValue, Process};
use prometheus::Counter;

use super::exposition::Exposition;
use super::family::valid;

/// Writes what is known.
pub fn write_process(page: &mut Exposition) {
    let Ok(process) = Process::myself() else { return };
    if let Ok(status) = process.status() {
        if let Some(kib) = status.vmrss {
            page.gauge("process_resident_memory_bytes", "Memory that is resident.", kib as f64 * 1_024.0);
        }
        if let Some(kib) = status.vmsize {
            page.gauge("process_virtual_memory_bytes", "Memory that is mapped.", kib as f64 * 1_024.0);
        }
        page.gauge("process_threads", "Threads.", status.threads as f64);
    }
    write_times(page, &process);
    if let Ok(files) = process.fd_count() {
        page.gauge("process_open_fds", "Open files and connections.", files as f64);
    }
    if let Ok(LimitValue::Value(most)) = process.limits().map(|limits| limits.max_open_files.soft_limit) {
        page.gauge("process_max_fds", "Most open files and connections.", most as f64);
    }
}

fn write_times(page: &mut Exposition, process: &Process) {
    let Ok(stat) = process.stat() else { return };
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let used = valid(Counter::new("process_cpu_seconds_total", "Time of processors that was used."));
    used.inc_by(seconds(stat.utime + stat.stime));
    page.add(&used);
    if let Ok(booted) = procfs::boot_time_secs() {
        let help = "When the process was started, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, booted as f64 + seconds(stat.starttime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_reported() {
        let mut page = Exposition::default();
        write_process(&mut page);
        assert_eq!(page.into_text().matches("# TYPE process_").count(), 7);
    }
}
