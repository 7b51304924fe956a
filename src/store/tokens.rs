//! API tokens: made, looked up by hash, rotated, revoked. A secret leaves once, when it is made.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{api_token, user};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use serde_json::{Value, json};

use super::audit::{self, Action, Principal};
use super::error::StoreError;
use super::open::Store;
use super::token_parents;
use super::token_secret::{TokenSecret, hash_token};
use super::users::{self, User, bump_auth_version};
use crate::domain::scopes::Scopes;
use crate::domain::timestamp;

/// Hashes that one statement looks for.
const HASHES_MAX: usize = 500;

/// What a new token is made from.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The owner.
    pub user_id: i64,
    /// The owner's name for it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From then on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Given by the database.
    pub id: i64,
    /// The owner.
    pub user_id: i64,
    /// The owner's name for it.
    pub name: String,
    /// First characters of its text.
    pub prefix: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From then on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Lags: written in batches.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The token that it ends with: it is a session of the dashboard.
    pub parent_id: Option<i64>,
}

impl Token {
    /// `valid`, `expired` or `revoked` at this time.
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            _ => "valid",
        }
    }
}

/// What a request's token says about the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token.
    pub token_id: i64,
    /// Its owner.
    pub user_id: i64,
    /// The owner's email.
    pub email: String,
    /// The owner is disabled: the token is to be refused.
    pub user_disabled: bool,
    /// What it may do.
    pub scopes: Scopes,
    /// From then on it is to be refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Set: it is to be refused.
    pub revoked_at: Option<DateTime<Utc>>,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// The token that it ends with, which is checked already.
    pub parent_id: Option<i64>,
}

impl Store {
    /// Makes a token. An unknown user is refused.
    pub async fn create_token(
        &self,
        new: NewToken,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<(Token, TokenSecret), StoreError> {
        let secret = TokenSecret::generate()?;
        let row = row_of(new, &secret, now);
        let by = by.clone();
        let made = self.transaction("create a token", wait, move |tx| {
            Box::pin(async move {
                let token = insert(tx, row).await?;
                audit::note(tx, &by, Action::TokenCreated, object(token.id), detail(&token)).await?;
                Ok(token)
            })
        });
        Ok((made.await?, secret))
    }

    /// Makes the first user of all and its token, which is `secret`, together. None when there is a user already.
    pub async fn create_first_user(
        &self,
        email: &str,
        name: &str,
        secret: &TokenSecret,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<Option<User>, StoreError> {
        let email = email.to_owned();
        let name = name.to_owned();
        let secret = secret.clone();
        let by = by.clone();
        self.transaction("create the first user", wait, move |tx| {
            Box::pin(async move {
                // First: it holds the one row that every change of users writes, so the check below is exact.
                bump_auth_version(tx).await?;
                if user::Entity::find().one(tx).await?.is_some() {
                    return Ok(None);
                }
                let row = user::ActiveModel {
                    email: Set(email),
                    disabled: Set(false),
                    created_at: Set(now),
                    ..Default::default()
                };
                let made: User = user::Entity::insert(row).exec_with_returning(tx).await?.into();
                let token = NewToken { user_id: made.id, name, scopes: Scopes::all(), expires_at: None };
                let token = insert(tx, row_of(token, &secret, now)).await?;
                audit::note(tx, &by, Action::UserCreated, users::object(made.id), json!({})).await?;
                audit::note(tx, &by, Action::TokenCreated, object(token.id), detail(&token)).await?;
                Ok(Some(made))
            })
        })
        .await
    }

    /// Tokens by id, of one user or of all.
    pub async fn list_tokens(&self, user_id: Option<i64>, wait: Duration) -> Result<Vec<Token>, StoreError> {
        self.run("list the tokens", wait, move |conn| async move {
            let rows = api_token::Entity::find()
                .apply_if(user_id, |rows, id| rows.filter(api_token::Column::UserId.eq(id)))
                .order_by_asc(api_token::Column::Id)
                .all(conn.read())
                .await?;
            rows.into_iter().map(Token::try_from).collect()
        })
        .await
    }

    /// At most `limit` tokens with an id above `after`, by id, of one user or of all.
    pub async fn tokens_after(
        &self,
        user_id: Option<i64>,
        after: i64,
        limit: u64,
        wait: Duration,
    ) -> Result<Vec<Token>, StoreError> {
        self.run("list tokens", wait, move |conn| async move {
            let rows = api_token::Entity::find()
                .apply_if(user_id, |rows, id| rows.filter(api_token::Column::UserId.eq(id)))
                .filter(api_token::Column::Id.gt(after))
                .order_by_asc(api_token::Column::Id)
                .limit(limit)
                .all(conn.read())
                .await?;
            rows.into_iter().map(Token::try_from).collect()
        })
        .await
    }

    /// The token of this id.
    pub async fn token_by_id(&self, id: i64, wait: Duration) -> Result<Option<Token>, StoreError> {
        self.run("read a token", wait, move |conn| async move {
            let row = api_token::Entity::find_by_id(id).one(conn.read()).await?;
            row.map(Token::try_from).transpose()
        })
        .await
    }

    /// Revokes a token. False when there is none of this id that is not revoked yet.
    pub async fn revoke_token(
        &self,
        id: i64,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        let by = by.clone();
        self.transaction("revoke a token", wait, move |tx| {
            Box::pin(async move {
                let is_changed = revoke(tx, id, now).await?;
                if is_changed {
                    audit::note(tx, &by, Action::TokenRevoked, object(id), json!({})).await?;
                }
                Ok(is_changed)
            })
        })
        .await
    }

    /// Makes a token like this one, which ends after `overlap` at the latest. None when it is unknown, revoked or expired.
    pub async fn rotate_token(
        &self,
        id: i64,
        overlap: Duration,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<Option<(Token, TokenSecret)>, StoreError> {
        let secret = TokenSecret::generate()?;
        let made = secret.clone();
        let by = by.clone();
        let rotated = self.transaction("rotate a token", wait, move |tx| {
            Box::pin(async move {
                let Some(token) = rotate(tx, id, overlap, now, &made).await? else { return Ok(None) };
                let seconds = overlap.as_secs();
                let detail = json!({"new_token": token.id, "user_id": token.user_id, "overlap_seconds": seconds});
                audit::note(tx, &by, Action::TokenRotated, object(id), detail).await?;
                Ok(Some(token))
            })
        });
        Ok(rotated.await?.map(|token| (token, secret)))
    }

    /// The tokens of these hashes with their owners, whatever their state: the caller judges it.
    pub async fn find_tokens(&self, hashes: Vec<[u8; 32]>, wait: Duration) -> Result<Vec<TokenRecord>, StoreError> {
        self.run("look up tokens", wait, move |conn| async move {
            let mut records = Vec::with_capacity(hashes.len());
            for hashes in hashes.chunks(HASHES_MAX) {
                let wanted = hashes.iter().map(|hash| hash.to_vec());
                let tokens =
                    api_token::Entity::find().filter(api_token::Column::Hash.is_in(wanted)).all(conn.read()).await?;
                let owners =
                    user::Entity::find().filter(user::Column::Id.is_in(tokens.iter().map(|token| token.user_id)));
                let owners: HashMap<i64, user::Model> =
                    owners.all(conn.read()).await?.into_iter().map(|owner| (owner.id, owner)).collect();
                let parents = token_parents::parents(conn.read(), &tokens).await?;
                for token in tokens.into_iter().filter_map(|token| token_parents::bounded(token, &parents)) {
                    if let Some(owner) = owners.get(&token.user_id) {
                        records.push(record(token, owner)?);
                    }
                }
            }
            Ok(records)
        })
        .await
    }
}

/// The token's name in the audit log.
pub(super) fn object(id: i64) -> String {
    format!("tokens/{id}")
}

/// The details of a new token in the audit log.
fn detail(token: &Token) -> Value {
    let expires_at = token.expires_at.map(timestamp::render);
    json!({"user_id": token.user_id, "scopes": token.scopes.to_string(), "expires_at": expires_at})
}

pub(super) async fn insert(tx: &DatabaseTransaction, row: api_token::ActiveModel) -> Result<Token, StoreError> {
    let made = api_token::Entity::insert(row).exec_with_returning(tx).await?;
    bump_auth_version(tx).await?;
    Token::try_from(made)
}

/// Whether there was a token of this id that was not revoked yet.
pub(super) async fn revoke(tx: &DatabaseTransaction, id: i64, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let changed = api_token::Entity::update_many()
        .col_expr(api_token::Column::RevokedAt, Expr::value(now))
        .filter(api_token::Column::Id.eq(id))
        .filter(api_token::Column::RevokedAt.is_null())
        .exec(tx)
        .await?;
    bump_auth_version(tx).await?;
    if changed.rows_affected == 0 {
        // There is none, or it is revoked already; a valid one would be taken for revoked.
        let left = api_token::Entity::find_by_id(id).filter(api_token::Column::RevokedAt.is_null()).one(tx).await?;
        StoreError::unless_written("api_tokens", 0, usize::from(left.is_some()))?;
    }
    Ok(changed.rows_affected > 0)
}

async fn rotate(
    tx: &DatabaseTransaction,
    id: i64,
    overlap: Duration,
    now: DateTime<Utc>,
    secret: &TokenSecret,
) -> Result<Option<Token>, StoreError> {
    // Held to the end, so that the version moves and two rotations of one token queue.
    bump_auth_version(tx).await?;
    let found = api_token::Entity::find_by_id(id).one(tx).await?;
    let Some(old) = found.map(Token::try_from).transpose()? else {
        return Ok(None);
    };
    let expired = old.expires_at.is_some_and(|end| end <= now);
    if expired || old.revoked_at.is_some() {
        return Ok(None);
    }
    // An end in the far future counts as none.
    let end = old.expires_at.into_iter().chain(timestamp::after(now, overlap)).min();
    // What is to end at once must not wait for a node whose clock is behind.
    let revoked_at = overlap.is_zero().then_some(now);
    let ended = api_token::Entity::update_many()
        .col_expr(api_token::Column::ExpiresAt, Expr::value(end))
        .col_expr(api_token::Column::RevokedAt, Expr::value(revoked_at))
        .filter(api_token::Column::Id.eq(id))
        .exec(tx)
        .await?;
    StoreError::unless_written("api_tokens", ended.rows_affected, 1)?;
    let new = NewToken { user_id: old.user_id, name: old.name, scopes: old.scopes, expires_at: old.expires_at };
    // A session stays one: it would outlive its token otherwise.
    let row = api_token::ActiveModel { parent_id: Set(old.parent_id), ..row_of(new, secret, now) };
    insert(tx, row).await.map(Some)
}

pub(super) fn row_of(new: NewToken, secret: &TokenSecret, now: DateTime<Utc>) -> api_token::ActiveModel {
    api_token::ActiveModel {
        user_id: Set(new.user_id),
        name: Set(new.name),
        hash: Set(hash_token(secret.expose()).to_vec()),
        prefix: Set(secret.prefix()),
        scopes: Set(new.scopes.to_string()),
        created_at: Set(now),
        expires_at: Set(new.expires_at),
        ..Default::default()
    }
}

impl TryFrom<api_token::Model> for Token {
    type Error = StoreError;

    fn try_from(row: api_token::Model) -> Result<Self, StoreError> {
        Ok(Self {
            scopes: scopes(&row)?,
            id: row.id,
            user_id: row.user_id,
            name: row.name,
            prefix: row.prefix,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            parent_id: row.parent_id,
        })
    }
}

fn record(token: api_token::Model, owner: &user::Model) -> Result<TokenRecord, StoreError> {
    let hash = token.hash.as_slice().try_into();
    Ok(TokenRecord {
        scopes: scopes(&token)?,
        hash: hash.map_err(|_| StoreError::setup(format!("token {} has no hash", token.id)))?,
        token_id: token.id,
        user_id: owner.id,
        email: owner.email.clone(),
        user_disabled: owner.disabled,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
        parent_id: token.parent_id,
    })
}

fn scopes(row: &api_token::Model) -> Result<Scopes, StoreError> {
    row.scopes.parse().map_err(|error| StoreError::setup(format!("token {}: {error}", row.id)))
}
