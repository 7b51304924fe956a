//! The `gristmill` binary.

use std::process::ExitCode;

use clap::Parser;
use gristmill::cli;

fn main() -> ExitCode {
    cli::run(&cli::args::Args::parse())
}
