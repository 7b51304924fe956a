//! Users: owners of events and tokens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{auth_change, user};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::audit::{self, Action, Principal};
use super::error::StoreError;
use super::open::Store;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Given by the database.
    pub id: i64,
    /// Unique.
    pub email: String,
    /// Its tokens are refused and its events rejected.
    pub disabled: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self { id: row.id, email: row.email, disabled: row.disabled, created_at: row.created_at }
    }
}

impl Store {
    /// Makes a user. None when the email is taken.
    pub async fn create_user(
        &self,
        email: &str,
        now: DateTime<Utc>,
        by: &Principal,
        wait: Duration,
    ) -> Result<Option<User>, StoreError> {
        let email = email.to_owned();
        let by = by.clone();
        let row = user::ActiveModel {
            email: Set(email.clone()),
            disabled: Set(false),
            created_at: Set(now),
            ..Default::default()
        };
        self.transaction("create a user", wait, move |tx| {
            Box::pin(async move {
                // First: it holds the one row that every change of users writes, so the check below is exact.
                bump_auth_version(tx).await?;
                let taken = user::Entity::find().filter(user::Column::Email.eq(&email));
                if taken.one(tx).await?.is_some() {
                    return Ok(None);
                }
                let made = user::Entity::insert(row).exec_with_returning(tx).await?;
                audit::note(tx, &by, Action::UserCreated, object(made.id), json!({})).await?;
                Ok(Some(made.into()))
            })
        })
        .await
    }

    /// Every user, by id.
    pub async fn list_users(&self, wait: Duration) -> Result<Vec<User>, StoreError> {
        self.run("list the users", wait, |conn| async move {
            let rows = user::Entity::find().order_by_asc(user::Column::Id);
            Ok(into_users(rows.all(conn.read()).await?))
        })
        .await
    }

    /// At most `limit` users with an id above `after`, by id.
    pub async fn users_after(&self, after: i64, limit: u64, wait: Duration) -> Result<Vec<User>, StoreError> {
        self.run("list users", wait, move |conn| async move {
            let rows = user::Entity::find().filter(user::Column::Id.gt(after)).order_by_asc(user::Column::Id);
            Ok(into_users(rows.limit(limit).all(conn.read()).await?))
        })
        .await
    }

    /// The users of these ids; an unknown id has none.
    pub async fn users_by_ids(&self, ids: &[i64], wait: Duration) -> Result<Vec<User>, StoreError> {
        let ids = ids.to_vec();
        self.run("read users", wait, |conn| async move {
            let rows = user::Entity::find().filter(user::Column::Id.is_in(ids));
            Ok(into_users(rows.all(conn.read()).await?))
        })
        .await
    }

    /// The user of this email.
    pub async fn user_by_email(&self, email: &str, wait: Duration) -> Result<Option<User>, StoreError> {
        let email = email.to_owned();
        self.run("read a user", wait, |conn| async move {
            let row = user::Entity::find().filter(user::Column::Email.eq(email));
            Ok(row.one(conn.read()).await?.map(User::from))
        })
        .await
    }

    /// Disables or enables a user and returns its new state. None if there is no such user.
    pub async fn set_user_disabled(
        &self,
        id: i64,
        disabled: bool,
        by: &Principal,
        wait: Duration,
    ) -> Result<Option<User>, StoreError> {
        let by = by.clone();
        self.transaction("change a user", wait, move |tx| {
            Box::pin(async move {
                bump_auth_version(tx).await?;
                let changed = user::Entity::update_many()
                    .col_expr(user::Column::Disabled, Expr::value(disabled))
                    .filter(user::Column::Id.eq(id))
                    .filter(user::Column::Disabled.ne(disabled))
                    .exec(tx)
                    .await?;
                if changed.rows_affected > 0 {
                    let action = if disabled { Action::UserDisabled } else { Action::UserEnabled };
                    audit::note(tx, &by, action, object(id), json!({})).await?;
                }
                let user = user::Entity::find_by_id(id).one(tx).await?.map(User::from);
                match user {
                    Some(user) if user.disabled != disabled => Err(StoreError::unwritten("users", 1, 1)),
                    user => Ok(user),
                }
            })
        })
        .await
    }

    /// Grows with every change of users and tokens.
    pub async fn auth_version(&self, wait: Duration) -> Result<i64, StoreError> {
        self.run("read the version of users and tokens", wait, |conn| async move {
            let row = auth_change::Entity::find_by_id(1).one(conn.read()).await?;
            Ok(row.map_or(0, |row| row.version))
        })
        .await
    }
}

/// The user's name in the audit log.
pub(super) fn object(id: i64) -> String {
    format!("users/{id}")
}

/// Belongs to the transaction of each change of users or tokens.
pub(super) async fn bump_auth_version(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let version = Expr::col(auth_change::Column::Version).add(1);
    let moved = auth_change::Entity::update_many().col_expr(auth_change::Column::Version, version).exec(tx).await?;
    StoreError::unless_written("auth_changes", moved.rows_affected, 1)
}

fn into_users(rows: Vec<user::Model>) -> Vec<User> {
    rows.into_iter().map(User::from).collect()
}
