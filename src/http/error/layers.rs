//! The errors of the layers below as API errors.

use super::ApiError;
use crate::domain::batch::BatchError;
use crate::domain::submission::Unreadable;
use crate::http::problems::Problem;
use crate::pipeline::{Refused, Unsettled};
use crate::store::{Cause, StoreError, UnreadableEvent};
use crate::telemetry::facts;

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotObject(rejection) => Self::rejected(*rejection, None),
            other => Self::new(Problem::InvalidJson, other.to_string()),
        }
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        let detail = error.to_string();
        match error {
            BatchError::Unreadable(unreadable) => unreadable.into(),
            BatchError::NotAList(_) => Self::new(Problem::BatchNotList, detail),
            BatchError::Empty { .. } => Self::new(Problem::BatchEmpty, detail),
            BatchError::TooMany { .. } => Self::new(Problem::BatchTooLarge, detail),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let later = |problem, detail| Self::new(problem, detail).after(refused.retry_after);
        match refused.why {
            Unsettled::Full => later(Problem::Overloaded, "the pipeline is full, nothing was stored"),
            Unsettled::Paused => later(Problem::Overloaded, "the pipeline is paused, nothing was stored"),
            Unsettled::Draining => Self::new(Problem::Draining, "the server is stopping, nothing was stored"),
            Unsettled::NotStored | Unsettled::Impossible(_) => {
                later(Problem::NotStored, "the database did not take the event, nothing was stored")
            }
            Unsettled::Unknown => Self::new(
                Problem::OutcomeUnknown,
                "the database did not say whether the event was stored, send again with the same key",
            ),
        }
    }
}

/// The texts of the database stay in the log: they may name hosts and tables.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            facts::database_missed(&error);
            return Self::new(Problem::DatabaseUnavailable, "the database does not answer");
        }
        if let Cause::Unreadable(event) = error.cause {
            return event.into();
        }
        facts::statement_refused(&error);
        Self::internal("the database refused the server's statement")
    }
}

impl From<UnreadableEvent> for ApiError {
    fn from(event: UnreadableEvent) -> Self {
        Self { event_id: Some(event.id), ..Self::new(Problem::EventUnreadable, event.to_string()) }
    }
}
