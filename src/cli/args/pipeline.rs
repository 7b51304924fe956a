//! The commands that look at the pipeline and control it.

use clap::{Args as ClapArgs, Subcommand};

use super::server::OperationsArgs;
use crate::domain::actor_kind::ActorKind;

/// What to do with the pipeline.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum PipelineCommand {
    /// Show pools, actors and nodes
    Show {
        /// The line of another node, by its name or boot_id [default: of the node that answers]
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Print the answer as it came
        #[arg(long)]
        json: bool,
        /// The server and the token
        #[command(flatten)]
        server: OperationsArgs,
    },
    /// Hand a pool nothing more, on every node, until it is resumed
    Pause(Which),
    /// Go on with a pool; what is paused by itself stays so when the whole line is resumed
    Resume(Which),
    /// Replace each actor of a pool, on every node
    Restart {
        /// The pool.
        #[arg(help = names(ActorKind::controlled()))]
        pool: String,
        /// The server and the token
        #[command(flatten)]
        server: OperationsArgs,
    },
    /// Give a pool another size, on every node, also after restarts
    Size {
        /// The pool.
        #[arg(help = names(ActorKind::stages()))]
        pool: String,
        /// 1 to 64, or default for what is configured
        #[arg(value_name = "N|default", value_parser = parse_size)]
        size: Size,
        /// The server and the token
        #[command(flatten)]
        server: OperationsArgs,
    },
}

impl PipelineCommand {
    /// The server and the credentials for it.
    pub fn server(&self) -> &OperationsArgs {
        match self {
            Self::Show { server, .. } | Self::Restart { server, .. } | Self::Size { server, .. } => server,
            Self::Pause(which) | Self::Resume(which) => &which.server,
        }
    }
}

/// A pool or all of them.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct Which {
    /// One of its pools.
    #[arg(help = names(ActorKind::controlled()) + " [default: the whole line]")]
    pub pool: Option<String>,
    /// The server and the token
    #[command(flatten)]
    pub server: OperationsArgs,
}

/// The names of pools, as a sentence has them.
fn names(kinds: impl Iterator<Item = ActorKind>) -> String {
    let mut names: Vec<&str> = kinds.map(ActorKind::pool_name).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}

/// A number of actors; `None` = as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub Option<u16>);

fn parse_size(text: &str) -> Result<Size, String> {
    if text == "default" {
        return Ok(Size(None));
    }
    let size = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    size.map(|size| Size(Some(size))).ok_or_else(|| "expected a whole number, or default".to_owned())
}
