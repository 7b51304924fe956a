//! Which server a command talks to, and with which token.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The server and the token.
#[derive(Debug, Clone, PartialEq, Default, ClapArgs)]
pub struct ServerArgs {
    /// The server, as http://localhost:8000; else the one that runs in the configured data folder. There is no TLS in this
    /// program: https:// is refused, a proxy on this machine can speak it
    #[arg(long, env = "GRISTMILL_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A file with the token; without --url and a token, the first token in the configured data folder
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token itself; every user of the machine can see it here, prefer the file or the variable
    #[arg(long, env = "GRISTMILL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// The server's operations port and the token.
#[derive(Debug, Clone, PartialEq, Default, ClapArgs)]
pub struct OperationsArgs {
    /// The operations port, as http://localhost:5555; else that of the server in the configured data folder
    #[arg(long, env = "GRISTMILL_OPERATIONS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A file with the token, which needs the scope operate; without --url and a token, the first token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token itself; every user of the machine can see it here, prefer the file or the variable
    #[arg(long, env = "GRISTMILL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

impl OperationsArgs {
    /// The same, of whatever port.
    pub fn server(&self) -> ServerArgs {
        ServerArgs { url: self.url.clone(), token_file: self.token_file.clone(), token: self.token.clone() }
    }
}
