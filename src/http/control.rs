//! Changing the line, on the operations port: sizes of pools, pauses, restarts. What is changed is stored, for every node.
//!
//! A page in a browser on this machine could post here, so a token is always needed.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Deserialize;

use super::access::{Authorised, ControlPipeline};
use super::accounts::not_changed;
use super::body::{self, RequestBody};
use super::caller::Caller;
use super::error::ApiError;
use super::fields::{Fields, OptionalFields};
use super::media::{JSON_ONLY, Media};
use super::problems::Problem;
use super::respond::json;
use super::state::AppState;
use crate::domain::actor_kind::ActorKind;
use crate::pipeline::NotChanged;
use crate::store::{ControlChange, Target};
use crate::telemetry::audit;

/// Most actors of a pool, as in `config.toml`.
pub(super) const POOL_SIZE_MAX: u16 = 64;

/// Longest name of a pool that is repeated in an answer, in characters.
const POOL_NAME_CHARS_MAX: usize = 40;

/// What a pool is to become.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resizing {
    /// `null` goes back to the configuration; it has to be said.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    size: Option<i64>,
}

/// `POST /api/pipeline/pools/{pool}`: another number of actors.
pub async fn resize_pool(
    state: Data<AppState>,
    Authorised { caller, .. }: Authorised<ControlPipeline>,
    request: HttpRequest,
    body: RequestBody,
) -> Result<HttpResponse, ApiError> {
    let media = Media::declared(request.headers(), JSON_ONLY)?;
    let pool = pool_in_path(&request)?;
    if !matches!(pool, Target::Pool(kind) if kind.is_stage()) {
        return Err(no_such_pool(pool.as_str(), ActorKind::stages()));
    }
    let body = body::read(request.headers(), body, &state.body_limits, |_| Ok(())).await?;
    media.check(&body, JSON_ONLY)?;
    let size = wanted_size(&body)?;
    change(&state, &caller, pool, ControlChange::Size(size)).await
}

/// `POST /api/pipeline/pools/{pool}/pause`.
pub async fn pause_pool(
    state: Data<AppState>,
    authorised: Authorised<ControlPipeline, (PoolPath, OptionalFields)>,
) -> Result<HttpResponse, ApiError> {
    change_pool(&state, authorised, ControlChange::Pause).await
}

/// `POST /api/pipeline/pools/{pool}/resume`.
pub async fn resume_pool(
    state: Data<AppState>,
    authorised: Authorised<ControlPipeline, (PoolPath, OptionalFields)>,
) -> Result<HttpResponse, ApiError> {
    change_pool(&state, authorised, ControlChange::Resume).await
}

/// `POST /api/pipeline/pools/{pool}/restart`: each actor is replaced.
pub async fn restart_pool(
    state: Data<AppState>,
    authorised: Authorised<ControlPipeline, (PoolPath, OptionalFields)>,
) -> Result<HttpResponse, ApiError> {
    change_pool(&state, authorised, ControlChange::Restart).await
}

/// `POST /api/pipeline/pause`: every stage and the Claimer.
pub async fn pause(
    state: Data<AppState>,
    authorised: Authorised<ControlPipeline, OptionalFields>,
) -> Result<HttpResponse, ApiError> {
    change_line(&state, authorised, ControlChange::Pause).await
}

/// `POST /api/pipeline/resume`; what is paused by itself stays so.
pub async fn resume(
    state: Data<AppState>,
    authorised: Authorised<ControlPipeline, OptionalFields>,
) -> Result<HttpResponse, ApiError> {
    change_line(&state, authorised, ControlChange::Resume).await
}

async fn change_pool(
    state: &AppState,
    authorised: Authorised<ControlPipeline, (PoolPath, OptionalFields)>,
    wanted: ControlChange,
) -> Result<HttpResponse, ApiError> {
    let (PoolPath(pool), OptionalFields(fields)) = authorised.rest;
    refuse_members(fields)?;
    change(state, &authorised.caller, pool, wanted).await
}

async fn change_line(
    state: &AppState,
    authorised: Authorised<ControlPipeline, OptionalFields>,
    wanted: ControlChange,
) -> Result<HttpResponse, ApiError> {
    let OptionalFields(fields) = authorised.rest;
    refuse_members(fields)?;
    change(state, &authorised.caller, Target::Pipeline, wanted).await
}

/// Refuses a body that has something to say.
fn refuse_members(mut fields: Fields) -> Result<(), ApiError> {
    fields.refuse_unknown(&[]);
    fields.finish(Some(()))
}

async fn change(
    state: &AppState,
    caller: &Caller,
    target: Target,
    wanted: ControlChange,
) -> Result<HttpResponse, ApiError> {
    match state.pipeline.change(target, wanted, state.principal(caller)).await {
        Ok(changed) => {
            audit::controls_changed(target.as_str(), &change_text(wanted), caller.token_id);
            Ok(json(StatusCode::OK, &changed))
        }
        Err(NotChanged::Store(error)) => Err(not_changed(error)),
        Err(NotChanged::Unsupervised) => {
            let detail = "the change is stored, but the supervisor is gone and the process with it";
            Err(ApiError::new(Problem::PipelineUnavailable, detail))
        }
    }
}

/// The change as its log line has it.
fn change_text(change: ControlChange) -> String {
    match change {
        ControlChange::Size(Some(size)) => format!("size {size}"),
        ControlChange::Size(None) => "size as configured".to_owned(),
        ControlChange::Pause => "pause".to_owned(),
        ControlChange::Resume => "resume".to_owned(),
        ControlChange::Restart => "restart".to_owned(),
    }
}

/// The pool in the path.
pub struct PoolPath(Target);

impl FromRequest for PoolPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(pool_in_path(request).map(Self))
    }
}

fn pool_in_path(request: &HttpRequest) -> Result<Target, ApiError> {
    let name = request.match_info().get("pool").unwrap_or_default();
    Target::of_pool(name).ok_or_else(|| no_such_pool(name, ActorKind::controlled()))
}

fn no_such_pool(name: &str, expected: impl Iterator<Item = ActorKind>) -> ApiError {
    let name: String = name.chars().take(POOL_NAME_CHARS_MAX).collect();
    let expected: Vec<&str> = expected.map(ActorKind::pool_name).collect();
    ApiError::new(Problem::NotFound, format!("there is no pool {name:?}, expected one of {}", expected.join(", ")))
}

fn wanted_size(body: &[u8]) -> Result<Option<u16>, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Problem::InvalidJson, format!("the body is not JSON: {error}")))?;
    let Resizing { size } =
        Resizing::deserialize(value).map_err(|error| ApiError::invalid_request(format!("the body: {error}")))?;
    let Some(size) = size else { return Ok(None) };
    let in_range = u16::try_from(size).ok().filter(|size| (1..=POOL_SIZE_MAX).contains(size));
    in_range.map(Some).ok_or_else(|| {
        ApiError::invalid_request(format!(
            "size is {size}, expected 1 to {POOL_SIZE_MAX}, or null for the configuration"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_one_to_64_actors_or_as_many_as_configured() {
        let size = |body: &str| wanted_size(body.as_bytes()).map_err(|error| error.problem().entry().code);
        assert_eq!((size(r#"{"size":1}"#), size(r#"{"size":64}"#)), (Ok(Some(1)), Ok(Some(64))));
        assert_eq!(size(r#"{"size":null}"#), Ok(None));
        for body in [
            r#"{"size":0}"#,
            r#"{"size":65}"#,
            r#"{"size":-1}"#,
            r#"{"size":1.5}"#,
            r#"{"size":"4"}"#,
            r#"{"size":"default"}"#,
            "{}",
            "[]",
            "null",
            r#"{"size":1,"a":1}"#,
        ] {
            assert_eq!(size(body), Err("invalid_request"), "{body}");
        }
        assert_eq!(size("size=2"), Err("invalid_json"));
    }
}
