//! `gristmill user`: who may have tokens and events.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::args::UserCommand;
use super::database::{WAIT, with_store};
use crate::clock;
use crate::config::Config;
use crate::domain::timestamp;
use crate::store::User;

pub(super) fn run(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create { email, json } => create(config, &email, json),
        UserCommand::List { json } => list(config, json),
        UserCommand::Disable { email } => set_disabled(config, &email, true),
        UserCommand::Enable { email } => set_disabled(config, &email, false),
    }
}

fn create(config: &Config, email: &str, json: bool) -> anyhow::Result<()> {
    ensure!(
        is_email(email),
        "the email is {email:?}, expected NAME@HOST without blanks, at most {EMAIL_BYTES_MAX} bytes"
    );
    let user = with_store(config, async |store| {
        let created = store.create_user(email, clock::now(), WAIT).await?;
        created.with_context(|| format!("a user with the email {email:?} exists already"))
    })?;
    if json {
        println!("{}", as_json(&user));
    } else {
        println!("user {} created: {}", user.id, user.email);
    }
    Ok(())
}

/// Longest email: what a mail server has to accept (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// Whether the text could be an email: it stands in lists and log lines, so nothing hidden may be in it.
fn is_email(text: &str) -> bool {
    let is_fit = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let has_parts = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    is_fit && has_parts && text.len() <= EMAIL_BYTES_MAX
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let users = with_store(config, async |store| Ok(store.list_users(WAIT).await?))?;
    if json {
        println!("{}", Value::from(users.iter().map(as_json).collect::<Vec<_>>()));
        return Ok(());
    }
    println!("{:>6}  {:<9}  {:<27}  EMAIL", "ID", "STATE", "CREATED");
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        println!("{:>6}  {state:<9}  {}  {}", user.id, timestamp::render(user.created_at), user.email);
    }
    Ok(())
}

fn set_disabled(config: &Config, email: &str, disabled: bool) -> anyhow::Result<()> {
    let changed = with_store(config, async |store| {
        store.user_by_email(email, WAIT).await?.with_context(|| format!("no user has the email {email:?}"))?;
        Ok(store.set_user_disabled(email, disabled, WAIT).await?)
    })?;
    let state = if disabled { "disabled" } else { "enabled" };
    println!("{email} {} {state}", if changed { "is now" } else { "was already" });
    Ok(())
}

fn as_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "disabled": user.disabled,
        "created_at": timestamp::render(user.created_at),
    })
}
