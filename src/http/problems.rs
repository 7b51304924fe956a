//! The problem catalogue: every error that the API can answer with, its code, status, title and explanation.
//!
//! Codes are part of the contract: a code never changes its meaning, and a test checks that each is unique.

mod catalogue;

use actix_web::http::StatusCode;

pub use self::catalogue::CATALOGUE;
use crate::domain::rejection::RejectCode;

/// A kind of error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is not JSON.
    InvalidJson,
    /// A header, parameter or the request line is wrong.
    InvalidRequest,
    /// The body cannot be unpacked.
    InvalidContentEncoding,
    /// The cursor was not made by this server for this list.
    InvalidCursor,
    /// No token, or none that is valid.
    Unauthorized,
    /// The token lacks a scope.
    Forbidden,
    /// A page of another site may have sent it.
    CrossSite,
    /// There is nothing under this path or id, or the token may not see it.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The key was used before for another event.
    EventUidConflict,
    /// The event's state does not allow it.
    NotReplayable,
    /// The event is at work.
    InProgress,
    /// The email is another user's.
    EmailTaken,
    /// The token is revoked or expired.
    TokenEnded,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The body is JSON, but no batch.
    BatchNotList,
    /// The batch has no events.
    BatchEmpty,
    /// The batch has more events than the limit.
    BatchTooLarge,
    /// An event of a strict batch is invalid.
    BatchRefused,
    /// The body is of a media type that is not taken.
    UnsupportedMediaType,
    /// The body is encoded in a way that is not taken.
    UnsupportedContentEncoding,
    /// The request expects what the server cannot do.
    ExpectationFailed,
    /// The event was refused for what it is.
    Rejected(RejectCode),
    /// The token sends too many requests.
    RateLimited,
    /// The event is there and cannot be read.
    EventUnreadable,
    /// A bug in the server.
    InternalError,
    /// Too much is in flight.
    Overloaded,
    /// The server is stopping.
    Draining,
    /// The event could not be stored and is not.
    NotStored,
    /// The database does not answer.
    DatabaseUnavailable,
    /// The event may wait in a node's spool.
    EventInSpool,
    /// The pipeline does not answer.
    PipelineUnavailable,
    /// Whether the event was stored is not known.
    OutcomeUnknown,
}

/// What the catalogue says of one problem.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// The problem.
    pub problem: Problem,
    /// Its stable code; the problem's type is `/problems/<code>`.
    pub code: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// What it is, the same for every occurrence.
    pub title: &'static str,
    /// What it means and what to do about it.
    pub explanation: &'static str,
}

impl Problem {
    /// The problem's entry in the catalogue.
    pub fn entry(self) -> &'static CatalogueEntry {
        CATALOGUE.iter().find(|entry| entry.problem == self).expect("the catalogue has an entry per problem")
    }
}

impl CatalogueEntry {
    /// Whether the same request may succeed later; a 500 is worth a retry only with a key.
    pub fn is_retryable(&self, keyed: bool) -> bool {
        match self.status.as_u16() {
            409 => self.problem == Problem::InProgress,
            408 | 429 | 503 | 504 => true,
            500 => keyed && self.problem == Problem::InternalError,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
