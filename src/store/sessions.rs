//! Sessions of the dashboard: tokens of the same user with the same scopes that end with the token they were opened with.
//!
//! Guaranteed: a session is valid for no longer than its token, whatever becomes of that one; a token has at most
//! [`SESSIONS_MAX`] at a time, and each that was opened or closed has its row in the audit log. What has ended is removed
//! when the token opens the next one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::api_token;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use super::audit::{self, Action, Principal};
use super::error::StoreError;
use super::open::Store;
use super::token_secret::TokenSecret;
use super::tokens::{NewToken, Token, insert, object, revoke, row_of};
use super::users::bump_auth_version;
use crate::domain::timestamp;

/// Sessions of one token at once; the oldest ends when there would be more.
const SESSIONS_MAX: usize = 20;
/// How long a session that has ended is kept, so that its actions can be traced.
const KEPT_DAYS: i64 = 30;
/// The name of a session in the list of tokens.
const NAME: &str = "dashboard session";

impl Store {
    /// Opens a session for the token `parent_id` that lasts as long at most. None when that token has ended, or is a
    /// session itself.
    pub async fn open_session(
        &self,
        parent_id: i64,
        lasts: Duration,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<Option<(Token, TokenSecret)>, StoreError> {
        let secret = TokenSecret::generate()?;
        let made = secret.clone();
        let by = by.clone();
        let token = self
            .transaction("open a session", wait, move |tx| {
                Box::pin(async move {
                    let Some(session) = open(tx, parent_id, lasts, now, &made, &by).await? else { return Ok(None) };
                    let expires_at = session.expires_at.map(timestamp::render);
                    let detail = json!({"parent_id": parent_id, "expires_at": expires_at});
                    audit::note(tx, &by, Action::SessionOpened, object(session.id), detail).await?;
                    Ok(Some(session))
                })
            })
            .await?;
        Ok(token.map(|token| (token, secret)))
    }

    /// Ends the session `id` of the token `parent_id`. False when it has been ended already.
    pub async fn close_session(
        &self,
        id: i64,
        parent_id: i64,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        let by = by.clone();
        self.transaction("close a session", wait, move |tx| {
            Box::pin(async move { close(tx, id, parent_id, "logged_out", now, &by).await })
        })
        .await
    }
}

async fn close(
    tx: &DatabaseTransaction,
    id: i64,
    parent_id: i64,
    why: &str,
    now: DateTime<Utc>,
    by: &Principal,
) -> Result<bool, StoreError> {
    let is_changed = revoke(tx, id, now).await?;
    if is_changed {
        let detail = json!({"parent_id": parent_id, "why": why});
        audit::note(tx, by, Action::SessionClosed, object(id), detail).await?;
    }
    Ok(is_changed)
}

async fn open(
    tx: &DatabaseTransaction,
    parent_id: i64,
    lasts: Duration,
    now: DateTime<Utc>,
    secret: &TokenSecret,
    by: &Principal,
) -> Result<Option<Token>, StoreError> {
    // First: sessions of one token are opened one after the other, so the bound holds.
    bump_auth_version(tx).await?;
    let found = api_token::Entity::find_by_id(parent_id).one(tx).await?;
    let parent = found.map(Token::try_from).transpose()?;
    let Some(parent) = parent.filter(|parent| parent.state(now) == "valid" && parent.parent_id.is_none()) else {
        return Ok(None);
    };
    make_room(tx, parent_id, now, by).await?;
    let expires_at = parent.expires_at.into_iter().chain(timestamp::after(now, lasts)).min();
    let new = NewToken { user_id: parent.user_id, name: NAME.to_owned(), scopes: parent.scopes, expires_at };
    let row = api_token::ActiveModel { parent_id: Set(Some(parent_id)), ..row_of(new, secret, now) };
    insert(tx, row).await.map(Some)
}

/// Removes what ended long ago, and ends the oldest of those that are too many.
async fn make_room(
    tx: &DatabaseTransaction,
    parent_id: i64,
    now: DateTime<Utc>,
    by: &Principal,
) -> Result<(), StoreError> {
    let of_parent = api_token::Column::ParentId.eq(parent_id);
    let long_ago = now - TimeDelta::days(KEPT_DAYS);
    api_token::Entity::delete_many()
        .filter(of_parent.clone())
        .filter(api_token::Column::ExpiresAt.lt(long_ago))
        .exec(tx)
        .await?;
    let open = api_token::Entity::find()
        .filter(of_parent)
        .filter(api_token::Column::RevokedAt.is_null())
        .filter(api_token::Column::ExpiresAt.gt(now))
        .order_by_desc(api_token::Column::Id)
        .all(tx)
        .await?;
    for session in open.iter().skip(SESSIONS_MAX - 1) {
        close(tx, session.id, parent_id, "too_many", now, by).await?;
    }
    Ok(())
}
