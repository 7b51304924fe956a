//! Gives one event back by its id.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::prefer::Preferences;
use super::view::EventView;
use super::{spooled, wait};
use crate::domain::scopes::Scope;
use crate::http::auth::Caller;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::respond::json;

/// `GET /api/v1/events/{id}`, with `Prefer: wait=N` when the event is finished.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let text = call.request.match_info().query("id");
    let preferences = Preferences::read(call.headers()).of_one_event();
    let id = event_id(text)?;
    let seen = wait::finished(&call.state, id, viewer(&caller), preferences.wait.unwrap_or_default()).await;
    let event = spooled::or_spooled(&call.state, id, viewer(&caller), seen).await?;
    let response = json(StatusCode::OK, &EventView::of(&event));
    Ok(preferences.applied_to(response))
}

/// The id in the path, of an event that the caller may see.
pub async fn visible_id(call: &Call) -> Result<i64, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let id = event_id(call.request.match_info().query("id"))?;
    let seen = call.state.store.event(id, viewer(&caller), STORE_WAIT).await;
    spooled::or_spooled(&call.state, id, viewer(&caller), seen).await.map(|_| id)
}

/// Ids are written one way only: what is written otherwise names no event.
pub(super) fn event_id(text: &str) -> Result<i64, ApiError> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_canonical).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("there is no event {shown:?}, an id is a positive integer up to {}", i64::MAX);
        ApiError::new(Problem::NotFound, detail)
    })
}

/// The user whose events the caller sees: its own, or with `None` everyone's.
pub(super) fn viewer(caller: &Caller) -> Option<i64> {
    if caller.scopes.has(Scope::ReadAll) { None } else { Some(caller.user_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_integer_written_plainly() {
        assert_eq!(event_id("1").ok(), Some(1));
        assert_eq!(event_id("9223372036854775807").ok(), Some(i64::MAX));
        for text in ["0", "-1", "+1", "01", "1.0", "9223372036854775808", "", "abc", "\0", "١", "1 ", "batch"] {
            let error = event_id(text).expect_err("no event has this id");
            assert_eq!(error.problem(), Problem::NotFound, "{text}");
            assert!(error.detail().contains("an id is a positive integer"), "{}", error.detail());
        }
    }
}
