//! `gristmill token`: which caller may do what. A secret is printed once, when its token is made.

use std::time::Duration;

use anyhow::{Context, bail};

use super::args::{TokenCommand, TokenCreate};
use super::as_json;
use super::database::{WAIT, with_store};
use super::output::{print, remark};
use crate::clock;
use crate::config::Config;
use crate::domain::scopes::Scopes;
use crate::http::{MadeToken, TokenView};
use crate::store::{NewToken, Principal, Store, Token, TokenSecret};

pub(super) fn run(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(create) => create_token(config, create),
        TokenCommand::List { user, json } => list(config, user.as_deref(), json),
        TokenCommand::Revoke { token } => revoke(config, &token),
        TokenCommand::Rotate { token, overlap, json } => rotate(config, &token, overlap, json),
    }
}

fn create_token(config: &Config, create: TokenCreate) -> anyhow::Result<()> {
    let scopes: Scopes = create.scopes.join(" ").parse()?;
    let now = clock::now();
    let expires_at = match create.expires {
        Some(expiry) => Some(expiry.at(now).context("the expiry lies beyond the year 9999")?),
        None => None,
    };
    let (token, secret) = with_store(config, async |store| {
        let user = user_id(&store, &create.user).await?;
        let new = NewToken { user_id: user, name: create.name, scopes, expires_at };
        Ok(store.create_token(new, now, &Principal::command(config.node_name()), WAIT).await?)
    })?;
    show_secret(&token, &secret, create.json)
}

fn list(config: &Config, user: Option<&str>, json: bool) -> anyhow::Result<()> {
    let tokens = with_store(config, async |store| {
        let user = match user {
            Some(email) => Some(user_id(&store, email).await?),
            None => None,
        };
        Ok(store.list_tokens(user, WAIT).await?)
    })?;
    if json {
        let now = clock::now();
        print(as_json(&tokens.iter().map(|token| TokenView::of(token, now)).collect::<Vec<_>>())?)?;
        return Ok(());
    }
    print(format_args!("{:>6}  {:>6}  {:<11}  {:<8}  {:<40}  NAME", "ID", "USER", "PREFIX", "STATE", "SCOPES"))?;
    for token in tokens {
        let state = token.state(clock::now());
        let scopes = token.scopes.to_string();
        print(format_args!(
            "{:>6}  {:>6}  {:<11}  {state:<8}  {scopes:<40}  {}",
            token.id, token.user_id, token.prefix, token.name
        ))?;
    }
    Ok(())
}

fn revoke(config: &Config, which: &str) -> anyhow::Result<()> {
    let (token, changed) = with_store(config, async |store| {
        let token = find(&store, which).await?;
        let changed = store.revoke_token(token.id, clock::now(), &Principal::command(config.node_name()), WAIT).await?;
        Ok((token, changed))
    })?;
    print(format_args!("token {} {} revoked", token.prefix, if changed { "is now" } else { "was already" }))?;
    Ok(())
}

fn rotate(config: &Config, which: &str, overlap: Duration, json: bool) -> anyhow::Result<()> {
    let (token, secret) = with_store(config, async |store| {
        let old = find(&store, which).await?;
        let rotated =
            store.rotate_token(old.id, overlap, clock::now(), &Principal::command(config.node_name()), WAIT).await?;
        rotated.with_context(|| format!("token {} is revoked or expired and cannot be rotated", old.prefix))
    })?;
    show_secret(&token, &secret, json)
}

async fn user_id(store: &Store, email: &str) -> anyhow::Result<i64> {
    let user = store.user_by_email(email, WAIT).await?;
    user.map(|user| user.id)
        .with_context(|| format!("no user has the email {email:?}, `gristmill user create` makes one"))
}

/// The one token that `which` names by its id or its first characters.
async fn find(store: &Store, which: &str) -> anyhow::Result<Token> {
    let is_wanted = |token: &Token| token.prefix == which || token.id.to_string() == which;
    let mut found: Vec<Token> = store.list_tokens(None, WAIT).await?.into_iter().filter(is_wanted).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!("no token has the id or prefix {which:?}, `gristmill token list` shows them"),
        several => bail!("{several} tokens have the prefix {which:?}, name one by its id"),
    }
}

fn show_secret(token: &Token, secret: &TokenSecret, json: bool) -> anyhow::Result<()> {
    if json {
        print(as_json(&MadeToken::of(token, secret, None, clock::now()))?)?;
    } else {
        print(secret.expose())?;
        remark(format_args!("token {} with the scopes {}: it is shown this once", token.id, token.scopes));
    }
    Ok(())
}
