//! One submission of a request: what its headers declare, what its body says, and which user owns it.

use actix_web::http::header::HeaderMap;
use bytes::Bytes;

use super::cloud;
use crate::domain::cloud_event;
use crate::domain::scopes::Scope;
use crate::domain::submission::{Submission, Unreadable};
use crate::http::auth::{Caller, allows};
use crate::http::error::ApiError;
use crate::http::media::{AcceptedMedia, Media};

/// What the headers declare; `None` for a CloudEvent whose attributes they hold.
pub(super) fn declared(headers: &HeaderMap, taken: AcceptedMedia) -> Result<Option<Media>, ApiError> {
    if cloud::is_binary(headers) { Ok(None) } else { Media::declared(headers, taken).map(Some) }
}

/// Reads the body: an event, or a CloudEvent; one whose attributes stand in headers may be of any media type.
pub(super) fn read(
    headers: &HeaderMap,
    media: Option<Media>,
    taken: AcceptedMedia,
    body: &Bytes,
) -> Result<Submission, ApiError> {
    let Some(media) = media else { return Ok(cloud_event::read(body, &cloud::structured(headers, body)?)?) };
    media.check(body, taken)?;
    if media != Media::CloudEvent {
        return Ok(Submission::read(body)?);
    }
    let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    Ok(cloud_event::read(body, text)?)
}

/// The user that the event is for; one that is not the caller needs a scope of its own.
pub(super) fn owner(submission: &Submission, caller: &Caller) -> Result<i64, ApiError> {
    match submission.user_id {
        Some(user_id) if user_id != caller.user_id && !allows(caller.scopes, Scope::WriteAll) => {
            Err(ApiError::forbidden(Scope::WriteAll, "posting events of another user"))
        }
        Some(user_id) => Ok(user_id),
        None => Ok(caller.user_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &str) -> Caller {
        let scopes = scopes.parse().expect("known scopes");
        Caller { user_id: 1, email: "a@example.com".to_owned(), scopes, token_id: 1, parent_id: None }
    }

    #[test]
    fn an_event_of_another_user_needs_write_all() {
        let of = |user_id| Submission { user_id, ..Submission::default() };
        assert_eq!(owner(&of(None), &caller("write")).ok(), Some(1));
        assert_eq!(owner(&of(Some(1)), &caller("write")).ok(), Some(1));
        assert_eq!(owner(&of(Some(2)), &caller("write:all")).ok(), Some(2));
        let refused = owner(&of(Some(2)), &caller("write admin")).expect_err("must be refused");
        assert_eq!(refused.detail(), "the token lacks the scope write:all, which posting events of another user needs");
    }
}
