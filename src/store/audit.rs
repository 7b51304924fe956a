//! The audit log: who changed what, a row for each change.
//!
//! A row is written in the transaction of its change: there is no change without its row, and no row
//! without its change. It names ids and what was requested, never a secret, a payload or an email.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::audit;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use serde_json::Value;

use super::error::StoreError;
use super::open::Store;
use crate::clock;

/// The author of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user that the token belongs to; `None` for a command on a machine of the service.
    pub user_id: Option<i64>,
    /// That token.
    pub token_id: Option<i64>,
    /// The node that makes the change.
    pub node: String,
}

/// The actions that the log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user was made.
    UserCreated,
    /// A user was disabled.
    UserDisabled,
    /// A user was enabled.
    UserEnabled,
    /// A token was made.
    TokenCreated,
    /// A token was replaced by another.
    TokenRotated,
    /// A token was revoked.
    TokenRevoked,
    /// A token opened a session of the dashboard.
    SessionOpened,
    /// A user logged out, or there were too many sessions of one token.
    SessionClosed,
    /// Events that were named are processed anew.
    EventsReplayed,
    /// An event was called off.
    EventCancelled,
    /// A job was made.
    JobMade,
    /// A job was stopped.
    JobStopped,
    /// A pool or the line was paused.
    PipelinePaused,
    /// A pool or the line goes on.
    PipelineResumed,
    /// A pool has another size.
    PoolResized,
    /// The actors of a pool are replaced.
    PoolRestarted,
    /// The service removed old rows.
    RowsRemoved,
    /// Rows came back from the archive.
    RowsRestored,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Given by the database.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: Principal,
    /// What; a newer node may write what this one does not know.
    pub action: String,
    /// To what, as `tokens/7`.
    pub object: String,
    /// Further details.
    pub detail: Value,
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilters {
    /// Only this action.
    pub action: Option<&'static str>,
    /// Only what this user did.
    pub by_user: Option<i64>,
}

impl Principal {
    /// A command on a machine of the service, or the service itself.
    pub fn command(node: impl Into<String>) -> Self {
        Self { user_id: None, token_id: None, node: node.into() }
    }

    /// The user where a table has one for every change; there is no user 0.
    pub(super) fn user_or_none(&self) -> i64 {
        self.user_id.unwrap_or_default()
    }
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::UserCreated,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::TokenCreated,
        Self::TokenRotated,
        Self::TokenRevoked,
        Self::SessionOpened,
        Self::SessionClosed,
        Self::EventsReplayed,
        Self::EventCancelled,
        Self::JobMade,
        Self::JobStopped,
        Self::PipelinePaused,
        Self::PipelineResumed,
        Self::PoolResized,
        Self::PoolRestarted,
        Self::RowsRemoved,
        Self::RowsRestored,
    ];

    /// The action as it appears in answers and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user_created",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::TokenCreated => "token_created",
            Self::TokenRotated => "token_rotated",
            Self::TokenRevoked => "token_revoked",
            Self::SessionOpened => "session_opened",
            Self::SessionClosed => "session_closed",
            Self::EventsReplayed => "events_replayed",
            Self::EventCancelled => "event_cancelled",
            Self::JobMade => "job_made",
            Self::JobStopped => "job_stopped",
            Self::PipelinePaused => "pipeline_paused",
            Self::PipelineResumed => "pipeline_resumed",
            Self::PoolResized => "pool_resized",
            Self::PoolRestarted => "pool_restarted",
            Self::RowsRemoved => "rows_removed",
            Self::RowsRestored => "rows_restored",
        }
    }
}

impl Store {
    /// At most `limit` rows with an id below `before`, the newest first.
    pub async fn audit_before(
        &self,
        filters: AuditFilters,
        before: i64,
        limit: u64,
        wait: Duration,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.run("read the audit log", wait, move |conn| async move {
            let rows = audit::Entity::find()
                .apply_if(filters.action, |rows, action| rows.filter(audit::Column::Action.eq(action)))
                .apply_if(filters.by_user, |rows, user_id| rows.filter(audit::Column::ByUser.eq(user_id)))
                .filter(audit::Column::Id.lt(before))
                .order_by_desc(audit::Column::Id)
                .limit(limit)
                .all(conn.read())
                .await?;
            Ok(rows.into_iter().map(AuditEntry::of).collect())
        })
        .await
    }
}

/// Writes the row of a change that the transaction makes.
pub(super) async fn note(
    tx: &DatabaseTransaction,
    by: &Principal,
    action: Action,
    object: String,
    detail: Value,
) -> Result<(), StoreError> {
    let row = audit::ActiveModel {
        at: Set(clock::now()),
        by_user: Set(by.user_id),
        by_token: Set(by.token_id),
        node: Set(by.node.clone()),
        action: Set(action.as_str().to_owned()),
        object: Set(object),
        detail: Set(detail),
        ..Default::default()
    };
    StoreError::unless_written("audit", audit::Entity::insert(row).exec_without_returning(tx).await?, 1)
}

impl AuditEntry {
    fn of(row: audit::Model) -> Self {
        Self {
            id: row.id,
            at: row.at,
            by: Principal { user_id: row.by_user, token_id: row.by_token, node: row.node },
            action: row.action,
            object: row.object,
            detail: row.detail,
        }
    }
}
