//! Why a flush wrote nothing.

use sea_orm::DbErr;
use uuid::Uuid;

use super::record::EventKey;
use crate::store::StoreError;

/// Why a flush wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The database refused it, or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ids of these events, each with its task, belong to other events already: they need new ones.
    #[error("{} event ids are taken by other events", .0.len())]
    Collision(Vec<(i64, Uuid)>),
}

/// What can end the transaction from inside.
pub(super) enum TxAbort {
    Store(StoreError),
    Collision(Vec<EventKey>),
}

impl TxAbort {
    pub fn into_result<T>(self) -> Result<Result<T, Vec<EventKey>>, StoreError> {
        match self {
            Self::Store(error) => Err(error.of_foreign_constraint().before_commit()),
            Self::Collision(events) => Ok(Err(events)),
        }
    }
}

impl From<DbErr> for TxAbort {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for TxAbort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
