//! Jobs: replays and cancellations of all events that match a filter.

use sea_orm::entity::prelude::*;

/// A row of `jobs`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// Given by the database.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// `retry` or `cancel`.
    pub kind: String,
    /// `running`, `done`, `failed` or `cancelled`.
    pub status: String,
    /// The user who wants it.
    pub by_user: i64,
    /// Filter: the events' state.
    pub of_status: Option<String>,
    /// Filter: their name.
    pub of_event_name: Option<String>,
    /// Filter: their type.
    pub of_event_type: Option<String>,
    /// Filter: their user.
    pub of_user: Option<i64>,
    /// Filter: the code of their error.
    pub of_error_code: Option<String>,
    /// Filter: received then or later.
    pub received_after: Option<DateTimeUtc>,
    /// Filter: received before that.
    pub received_before: Option<DateTimeUtc>,
    /// What is changed in the payloads, as it was sent.
    pub patch: Option<String>,
    /// Whether processed events are processed anew as well.
    pub forced: bool,
    /// The highest id when the job was made: it goes no further.
    pub until_id: i64,
    /// The time of receipt of the last event that was looked at.
    pub cursor_at: Option<DateTimeUtc>,
    /// The last event that was looked at.
    pub cursor_id: Option<i64>,
    /// Events that matched so far.
    pub matched: i64,
    /// Of these: those that were reopened, or called off.
    pub changed: i64,
    /// Of these: those that somebody else had changed by then, or was at work on.
    pub skipped: i64,
    /// Of these: those that were refused, as a JSON object from code to number.
    pub refused: String,
    /// Why it failed.
    pub error: Option<String>,
    /// By the clock of the node that took it, as events are received.
    pub created_at: DateTimeUtc,
    /// When it last got on.
    pub updated_at: DateTimeUtc,
    /// When it ended.
    pub finished_at: Option<DateTimeUtc>,
}

/// No relation is followed: joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
