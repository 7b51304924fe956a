//! The command that shows what the nodes are doing.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::server::OperationsArgs;
use super::values::parse_span;

/// Bounds of the interval.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// What follows the help.
pub const TOP_HELP: &str = "\
Asks the operations port, with a token of the scope operate or read:all; failures are shown to tokens that may
read events. While the server does not answer, that is said and tried again. Figures are of all nodes, actors of
the node that answers.

Keys:
  1, 2, 3              Overview, Pipeline, Failures; also Tab and the arrows to the sides
  up, down             scroll
  p                    hold what is shown, and go on
  ?                    help
  q, Esc, Ctrl-C       quit

Exit codes:
  0  quit, or printed
  1  failed, or ended by a signal
  2  the command line is wrong";

/// How to show it.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct TopArgs {
    /// Time between two redraws: 100ms to 1h; the server sends changes once a second, a change of state is drawn at once
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    pub interval: Duration,
    /// Print what stands now as text and end; so it is without a terminal to draw on
    #[arg(long)]
    pub once: bool,
    /// Without colours; so it is with any value of NO_COLOR
    #[arg(long, env = "NO_COLOR", value_name = "ANY", num_args = 0..=1, require_equals = true, default_missing_value = "1", hide_env = true)]
    pub no_color: Option<String>,
    /// The server and the token
    #[command(flatten)]
    pub server: OperationsArgs,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let span = parse_span(text)?;
    let is_allowed = (INTERVAL_MIN..=INTERVAL_MAX).contains(&span);
    if is_allowed { Ok(span) } else { Err("allowed: 100ms to 1h".to_owned()) }
}
