//! `gristmill config`: what is in effect. A wrong configuration never gets this far.

use super::args::ConfigCommand;
use super::output::print;
use crate::config::Config;

pub(super) fn run(config: &Config, command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show => print(config.show().trim_end())?,
        ConfigCommand::Check => print("the configuration is valid")?,
    }
    Ok(())
}
