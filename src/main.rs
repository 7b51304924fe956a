//! The `gristmill` binary.

use std::process::ExitCode;

use gristmill::cli;

/// Buffers are made on one thread and freed on another all the way down the line; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
