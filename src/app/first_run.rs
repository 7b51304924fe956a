//! The first start on an empty database: a user, a token, and what to do with it.

use std::fs::OpenOptions;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::clock;
use crate::store::{Principal, Store, TokenSecret};
use crate::telemetry::facts;
use crate::telemetry::outlet::write_within;

/// The user of the first token.
const EMAIL: &str = "admin@localhost";

/// The file in the data folder that holds the first token.
const FILE: &str = "first-token";

const WAIT: Duration = Duration::from_secs(30);

/// Longest wait for standard output to take what the start prints.
const ANNOUNCE_MAX: Duration = Duration::from_secs(1);

/// What is known of the first token.
pub(super) enum FirstToken {
    /// Just made.
    Made(TokenSecret, PathBuf),
    /// Made by an earlier start, and still in its file.
    Kept(PathBuf),
    /// Not here: removed, or made by another node.
    NotHere,
}

/// Makes a user with every scope and its token, if there is no user yet.
///
/// The token is in its file before it is in the database: a start that is killed in between is simply repeated.
pub(super) async fn prepare(store: &Store, data_dir: &Path, node: String) -> anyhow::Result<FirstToken> {
    let path = data_dir.join(FILE);
    if !store.list_users(WAIT).await?.is_empty() {
        return Ok(if path.exists() { FirstToken::Kept(path) } else { FirstToken::NotHere });
    }
    let secret = TokenSecret::generate()?;
    let cannot_write = || format!("cannot write the first token to {}", path.display());
    write_token(&path, &secret).with_context(cannot_write)?;
    if store
        .create_first_user(EMAIL, "first token", &secret, clock::now(), &Principal::command(node), WAIT)
        .await?
        .is_some()
    {
        return Ok(FirstToken::Made(secret, path));
    }
    // Another node was first.
    std::fs::remove_file(&path).with_context(cannot_write)?;
    Ok(FirstToken::NotHere)
}

/// Readable only by its owner from the first byte on.
fn write_token(path: &Path, secret: &TokenSecret) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{}", secret.expose())?;
    file.sync_all()
}

impl FirstToken {
    /// Prints on standard output where the service is and what to do next. The service does not depend on it: what a
    /// pipe that nobody reads does not take is lost, and the token is in its file.
    pub(super) fn announce(&self, api: SocketAddr, dashboard: SocketAddr) {
        let mut text = format!(
            "Gristmill {} is ready: API http://{api}, dashboard http://{dashboard}\n",
            env!("CARGO_PKG_VERSION")
        );
        text += &match self {
            Self::Made(secret, path) => format!(
                "\nA first token was made for the user {EMAIL}. It is shown this once and kept in {}:\n\n  {}\n\n\
                 Try it:\n\n{}\n\n",
                path.display(),
                secret.expose(),
                curl_line(api, secret)
            ),
            Self::Kept(path) => format!("The first token is in {}.\n", path.display()),
            Self::NotHere => {
                "Make a token with: gristmill token create --user EMAIL --scopes write,read (users: gristmill user list)\n"
                    .to_owned()
            }
        };
        if let Err(error) = write_within(ANNOUNCE_MAX, stdout(), text) {
            facts::greeting_lost(&error);
        }
    }
}

fn curl_line(api: SocketAddr, secret: &TokenSecret) -> String {
    format!(
        "  curl -X POST http://{api}/api/v1/events \\\n    -H \"Authorization: Bearer {}\" \\\n    \
         -d '{{\"event_name\": \"page_view\", \"event_type\": \"engagement\", \"payload\": {{\"page\": \"/home\", \"duration\": 45}}}}'",
        secret.expose()
    )
}
