//! `gristmill config`: what is in effect. A wrong configuration never gets this far.

use anyhow::Context;

use super::args::ConfigCommand;
use super::database::database;
use super::output::print;
use crate::app::store_options;
use crate::config::Config;

pub(super) fn run(config: &Config, command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show => print(config.show().trim_end())?,
        ConfigCommand::Check => {
            store_options(config).check().with_context(|| database(config))?;
            print("the configuration is valid")?;
        }
    }
    Ok(())
}
