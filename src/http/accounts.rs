//! `/api/v1/tokens` and `/api/v1/users`, for the scope `admin`.
//!
//! Guaranteed: a secret is in one answer and nowhere else; a caller that administers tokens cannot make one that may do
//! more than its own. A change is seen at once here and within `auth.refresh` on the other nodes.

pub(super) mod pages;
pub mod tokens;
pub mod users;
mod view;

pub use pages::AccountPage;
pub use view::{MadeToken, TokenView, UserView};

use actix_web::web::Data;

use super::error::ApiError;
use super::problems::Problem;
use super::state::AppState;
use crate::store::{StoreError, StoreOutcome};

pub(super) fn no_such(what: &str, id: i64) -> ApiError {
    ApiError::new(Problem::NotFound, format!("there is no {what} {id}"))
}

/// A change that failed: 504 if the answer to its COMMIT was lost, since nobody knows then whether it was made.
pub(super) fn not_changed(error: StoreError) -> ApiError {
    if error.is_transient() && error.outcome == StoreOutcome::Unknown {
        let detail = "the database did not say whether the change was made, look before you send it again";
        return ApiError::new(Problem::OutcomeUnknown, detail);
    }
    error.into()
}

/// Lets a change work here before it is answered. If it cannot be read now, the watch sees it later.
pub(super) async fn see_change(state: &Data<AppState>) {
    let _ = state.auth.refresh().await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{Cause, StoreErrorKind};

    #[test]
    fn a_change_whose_commit_was_not_answered_is_unknown_and_not_denied() {
        let code = |outcome| {
            let cause = Cause::WaitOver(Duration::from_secs(5));
            let error = StoreError { kind: StoreErrorKind::Transient, outcome, context: "a test", cause };
            not_changed(error).problem().entry().code
        };
        assert_eq!(code(StoreOutcome::Unknown), "outcome_unknown");
        assert_eq!(code(StoreOutcome::NotStored), "database_unavailable");
    }
}
