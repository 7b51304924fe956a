//! The catalogue's rows, in the order of their status.

use actix_web::http::StatusCode;

use super::{CatalogueEntry, Problem};
use crate::domain::rejection::RejectCode;

const fn row(
    problem: Problem,
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    explanation: &'static str,
) -> CatalogueEntry {
    CatalogueEntry { problem, code, status, title, explanation }
}

/// Every problem, in the order of their status.
pub static CATALOGUE: &[CatalogueEntry] = &[
    row(
        Problem::InvalidJson,
        "invalid_json",
        StatusCode::BAD_REQUEST,
        "The body is not JSON",
        "The body must be JSON in UTF-8: one event, or a batch where batches are taken. The detail names the first byte \
         that is wrong. Nothing was stored.",
    ),
    row(
        Problem::InvalidRequest,
        "invalid_request",
        StatusCode::BAD_REQUEST,
        "The request is malformed",
        "A header or parameter is repeated, unknown or out of its range. The detail names it and what is allowed.",
    ),
    row(
        Problem::InvalidContentEncoding,
        "invalid_content_encoding",
        StatusCode::BAD_REQUEST,
        "The body cannot be unpacked",
        "The body is damaged, or packed in another way than `Content-Encoding` says. Nothing was stored.",
    ),
    row(
        Problem::InvalidCursor,
        "invalid_cursor",
        StatusCode::BAD_REQUEST,
        "The cursor is not valid here",
        "A cursor belongs to one list with its filters and its viewer. Start again without a cursor.",
    ),
    row(
        Problem::Unauthorized,
        "unauthorized",
        StatusCode::UNAUTHORIZED,
        "A valid token is needed",
        "Send the header `Authorization: Bearer <token>` with a token that exists, is not expired, not revoked, and \
         whose user is not disabled.",
    ),
    row(
        Problem::Forbidden,
        "forbidden",
        StatusCode::FORBIDDEN,
        "The token lacks a scope",
        "The token is valid, but was not given the scope that the detail names. Use another token.",
    ),
    row(
        Problem::CrossSite,
        "cross_site",
        StatusCode::FORBIDDEN,
        "The request may come from another site's page",
        "On the operations port, a change with the cookie of a session needs the header `X-Gristmill-Request: 1`, and no \
         change is taken from a page of another site. Programs send `Authorization: Bearer <token>` and no cookie.",
    ),
    row(
        Problem::NotFound,
        "not_found",
        StatusCode::NOT_FOUND,
        "Not found",
        "There is nothing under this path or id. What belongs to another user looks the same, unless the token has \
         the scope `read:all`.",
    ),
    row(
        Problem::MethodNotAllowed,
        "method_not_allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The method is not allowed here",
        "The path exists, but not with this method. The header `Allow` names those that work.",
    ),
    row(
        Problem::RequestTimeout,
        "request_timeout",
        StatusCode::REQUEST_TIMEOUT,
        "The body did not arrive in time",
        "The body stopped arriving, or took too long as a whole. Nothing was stored; send the request again.",
    ),
    row(
        Problem::EventUidConflict,
        "event_uid_conflict",
        StatusCode::CONFLICT,
        "The key belongs to another event",
        "The `event_uid` or `Idempotency-Key` was used before for an event with other content, whose id is in \
         `event_id`. Nothing was stored. Choose another key, or send the same content. A replay meets this when its \
         event's key has become another event's: nothing was changed.",
    ),
    row(
        Problem::NotReplayable,
        "not_replayable",
        StatusCode::CONFLICT,
        "The event's state does not allow it",
        "Only an event that failed, was refused, was cancelled or waits can be retried, and only one that waits can be \
         cancelled. The detail names its state.",
    ),
    row(
        Problem::InProgress,
        "in_progress",
        StatusCode::CONFLICT,
        "The event is at work",
        "The event is being processed at present. Ask for it again: its outcome comes by itself.",
    ),
    row(
        Problem::EmailTaken,
        "email_taken",
        StatusCode::CONFLICT,
        "The email is taken",
        "There is a user with this email already, perhaps a disabled one. Nothing was changed. Look it up in the list \
         of users, or choose another email.",
    ),
    row(
        Problem::TokenEnded,
        "token_ended",
        StatusCode::CONFLICT,
        "The token has ended",
        "The token is revoked or expired, so there is nothing to rotate. Make a new one.",
    ),
    row(
        Problem::BodyTooLarge,
        "body_too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large",
        "The body has more bytes than are taken here: `limits.body_bytes` of events, 64 KiB of anything else. Nothing \
         was stored.",
    ),
    row(
        Problem::BatchTooLarge,
        "batch_too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The batch has too many events",
        "The batch has more events than `limits.batch_events`. Nothing was stored. Send several batches, or lines as \
         `application/x-ndjson`, of which there may be any number.",
    ),
    row(
        Problem::UnsupportedMediaType,
        "unsupported_media_type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The media type is not supported",
        "Send `Content-Type: application/json`, in UTF-8. The header `Accept-Post` names what is taken.",
    ),
    row(
        Problem::UnsupportedContentEncoding,
        "unsupported_content_encoding",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The content encoding is not supported",
        "Send the body packed in one of the ways that the header `Accept-Encoding` names, or not at all.",
    ),
    row(
        Problem::ExpectationFailed,
        "expectation_failed",
        StatusCode::EXPECTATION_FAILED,
        "The expectation cannot be met",
        "The header `Expect` may only say `100-continue`. Leave it out.",
    ),
    row(
        Problem::BatchNotList,
        "batch_not_list",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The body is not a batch",
        "The body is JSON, but a batch is an array of events, or an object with one under `events`.",
    ),
    row(
        Problem::BatchEmpty,
        "batch_empty",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The batch has no events",
        "A batch has at least one event.",
    ),
    row(
        Problem::BatchRefused,
        "batch_refused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "An event of the batch is invalid",
        "With `Prefer: handling=strict` one invalid event refuses its whole batch. `errors` names every flaw. Nothing \
         was stored.",
    ),
    row(
        Problem::Rejected(RejectCode::EventNotObject),
        "event_not_object",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The event is not an object",
        "The body is JSON, but an event is an object with `event_name`, `event_type` and `payload`.",
    ),
    row(
        Problem::Rejected(RejectCode::PayloadNotObject),
        "payload_not_object",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The payload is not an object",
        "`payload` must be an object, null or absent. Put a list or a single value under a key of an object.",
    ),
    row(
        Problem::Rejected(RejectCode::PayloadNotEncodable),
        "payload_not_encodable",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The payload cannot be stored",
        "The payload holds what a database cannot keep: the character \\u0000, a lone surrogate, or a number that \
         is too large, too small, or longer than `limits.number_chars` when it is written out without an exponent. The \
         pointer names the place.",
    ),
    row(
        Problem::Rejected(RejectCode::PayloadTooLarge),
        "payload_too_large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The payload is too large",
        "The payload has more bytes than `limits.payload_bytes`, counted as received, or more than 8 MiB with its numbers \
         written out without exponents.",
    ),
    row(
        Problem::Rejected(RejectCode::PayloadTooDeep),
        "payload_too_deep",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The payload is nested too deeply",
        "The payload has more levels than `limits.payload_depth`; the payload itself is the first one.",
    ),
    row(
        Problem::Rejected(RejectCode::MissingField),
        "missing_field",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A required field is missing",
        "A field that must be there is absent, null or blank: `event_name` and `event_type` of an event, else the one \
         that `errors` names.",
    ),
    row(
        Problem::Rejected(RejectCode::InvalidField),
        "invalid_field",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A field has a wrong value",
        "A field is of the wrong type or form. `errors` names every such field and what is expected.",
    ),
    row(
        Problem::Rejected(RejectCode::FieldTooLong),
        "field_too_long",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A field is too long",
        "`event_name`, `event_type`, `event_uid` and the `name` of a token have at most 255 characters.",
    ),
    row(
        Problem::Rejected(RejectCode::UserUnknown),
        "user_unknown",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The user does not exist",
        "`user_id` names no user. Leave it out to mean the token's own user.",
    ),
    row(
        Problem::Rejected(RejectCode::UserDisabled),
        "user_disabled",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The event's user is disabled",
        "The user that `user_id` names was disabled by an administrator.",
    ),
    row(
        Problem::RateLimited,
        "rate_limited",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
        "The token has used up `limits.requests_per_second` and its burst; the header `RateLimit` says with each answer how \
         many requests are left. Or too many unknown tokens came from the same address, and yours was not in use lately. \
         Nothing was stored; send again after `Retry-After`.",
    ),
    row(
        Problem::EventUnreadable,
        "event_unreadable",
        StatusCode::INTERNAL_SERVER_ERROR,
        "The stored event cannot be read",
        "The event is there, but what the database keeps of it cannot be read: it was damaged, or changed past the \
         service. The detail says what. Mend its row in the database, then have the event processed anew.",
    ),
    row(
        Problem::InternalError,
        "internal_error",
        StatusCode::INTERNAL_SERVER_ERROR,
        "The server has a bug",
        "Something that must not happen did. The server's log has it under the request id. A request with a key may \
         be sent again.",
    ),
    row(
        Problem::Overloaded,
        "overloaded",
        StatusCode::SERVICE_UNAVAILABLE,
        "Too much is in flight",
        "The pipeline is full or an operator has paused it, or 100 jobs are running. Nothing was stored; send again after \
         `Retry-After`.",
    ),
    row(
        Problem::Draining,
        "draining",
        StatusCode::SERVICE_UNAVAILABLE,
        "The server is stopping",
        "This server takes no new events. Nothing was stored; send again, to another server if there is one.",
    ),
    row(
        Problem::NotStored,
        "not_stored",
        StatusCode::SERVICE_UNAVAILABLE,
        "The event could not be stored",
        "The database did not take the event in time. It is certain that nothing was stored; send again.",
    ),
    row(
        Problem::DatabaseUnavailable,
        "database_unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "The database does not answer",
        "The request needs the database, which does not answer at present. Nothing was stored; send again.",
    ),
    row(
        Problem::EventInSpool,
        "event_in_spool",
        StatusCode::SERVICE_UNAVAILABLE,
        "The event may wait in a spool",
        "The database does not have the event, but the node that gave its id keeps events on its own disk until the \
         database takes them. Ask again.",
    ),
    row(
        Problem::PipelineUnavailable,
        "pipeline_unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "The pipeline does not answer",
        "The pipeline is starting, stopping or being rebuilt. Ask again.",
    ),
    row(
        Problem::OutcomeUnknown,
        "outcome_unknown",
        StatusCode::GATEWAY_TIMEOUT,
        "Whether it was stored is unknown",
        "The database did not answer in time. Send an event again with the same `event_uid` or `Idempotency-Key`: what \
         was stored is then found instead of stored twice. After a change of users, tokens or jobs look at the list first.",
    ),
];
