//! What an operator's body says of the events to change: which ones, and what is changed in their payloads.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::list_params::filters_of_job;
use crate::domain::json::{JsonKind, integer};
use crate::domain::patch::Patch;
use crate::domain::payload::PayloadLimits;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::fields::Fields;
use crate::http::problems::Problem;
use crate::store::Filters;

/// The member that alone is a number.
const USER_ID: &str = "user_id";

/// The merge patch under `patch`; a wrong one is remembered.
pub fn patch(fields: &mut Fields, limits: &PayloadLimits) -> Option<Patch> {
    let patch = fields.object("patch")?;
    let rejection = match Patch::new(patch, limits) {
        Ok(patch) => return Some(patch),
        Err(rejection) => rejection,
    };
    for flaw in rejection.flaws() {
        let place = flaw.pointer.replacen("/payload", "patch", 1);
        fields.refuse(flaw.code, &place, format!("patch as a payload: {}", flaw.detail));
    }
    None
}

/// The filter under `filter`, whose members are the parameters of a list; what is wrong with it is a flaw of the body.
pub fn filters(fields: &mut Fields, caller: &Caller) -> Result<Option<Filters>, ApiError> {
    let Some(object) = fields.required("filter", Fields::object) else { return Ok(None) };
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object.as_str())
        .map_err(|_| flaw("/filter", "filter has a name with a lone surrogate escape".to_owned()))?;
    let mut pairs = Vec::new();
    for (name, value) in members {
        let value = value.get();
        if JsonKind::of(value) != JsonKind::Null {
            let text = text_of(&name, value)?;
            pairs.push((name, text));
        }
    }
    match filters_of_job(pairs, caller) {
        Ok(filters) => Ok(Some(filters)),
        Err(error) if error.problem() == Problem::InvalidRequest => Err(flaw("/filter", error.detail().to_owned())),
        Err(error) => Err(error),
    }
}

/// A member's value as it would stand in a query.
fn text_of(name: &str, value: &str) -> Result<String, ApiError> {
    let expected = if name == USER_ID { JsonKind::Number } else { JsonKind::String };
    let shown: String = name.chars().take(40).collect();
    let kind = JsonKind::of(value);
    if kind != expected {
        let detail = format!("filter/{shown} is {}, expected {}", kind.with_article(), expected.with_article());
        return Err(flaw(&format!("/filter/{shown}"), detail));
    }
    if expected == JsonKind::Number {
        return Ok(integer(value).map_or_else(|| value.to_owned(), |number| number.to_string()));
    }
    let surrogate = || flaw(&format!("/filter/{shown}"), format!("filter/{shown} has a lone surrogate escape"));
    serde_json::from_str(value).map_err(|_| surrogate())
}

/// 422: a part of the body is wrong.
pub fn flaw(pointer: &str, detail: String) -> ApiError {
    ApiError::invalid_fields(Rejection::of(Flaw::new(RejectCode::InvalidField, pointer, detail)))
}
