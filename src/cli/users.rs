//! `gristmill user`: the people who may have tokens and events.

use anyhow::{Context, ensure};

use super::args::UserCommand;
use super::as_json;
use super::database::{WAIT, with_store};
use super::output::print;
use crate::clock;
use crate::config::Config;
use crate::domain::email::{EMAIL_BYTES_MAX, is_email};
use crate::domain::timestamp;
use crate::http::UserView;
use crate::store::Principal;

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
        let created = store.create_user(email, clock::now(), &Principal::command(config.node_name()), WAIT).await?;
        created.with_context(|| format!("a user with the email {email:?} exists already"))
    })?;
    if json {
        print(as_json(&UserView::of(&user))?)?;
    } else {
        print(format_args!("user {} created: {}", user.id, user.email))?;
    }
    Ok(())
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let users = with_store(config, async |store| Ok(store.list_users(WAIT).await?))?;
    if json {
        print(as_json(&users.iter().map(UserView::of).collect::<Vec<_>>())?)?;
        return Ok(());
    }
    print(format_args!("{:>6}  {:<9}  {:<27}  EMAIL", "ID", "STATE", "CREATED"))?;
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        print(format_args!("{:>6}  {state:<9}  {}  {}", user.id, timestamp::render(user.created_at), user.email))?;
    }
    Ok(())
}

fn set_disabled(config: &Config, email: &str, disabled: bool) -> anyhow::Result<()> {
    let before = with_store(config, async |store| {
        let user = store.user_by_email(email, WAIT).await?;
        let user = user.with_context(|| format!("no user has the email {email:?}"))?;
        store.set_user_disabled(user.id, disabled, &Principal::command(config.node_name()), WAIT).await?;
        Ok(user)
    })?;
    let state = if disabled { "disabled" } else { "enabled" };
    print(format_args!("{email} {} {state}", if before.disabled == disabled { "was already" } else { "is now" }))?;
    Ok(())
}
