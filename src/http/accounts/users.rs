//! Users: made, listed, disabled and enabled. Never deleted: their events keep pointing at them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;

use super::pages::PageParams;
use super::view::UserView;
use super::{no_such, not_changed, see_change};
use crate::clock;
use crate::domain::email::{EMAIL_BYTES_MAX, is_email};
use crate::http::access::{Authorised, ManageUsers};
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::fields::{Fields, shown};
use crate::http::params::Params;
use crate::http::path::UserId;
use crate::http::problems::Problem;
use crate::http::respond::{header_value, json};
use crate::http::state::AppState;
use crate::telemetry::audit;

const PATH: &str = "/api/v1/users";

/// `POST /api/v1/users`.
pub async fn create(
    state: Data<AppState>,
    Authorised { caller, rest: mut fields, .. }: Authorised<ManageUsers, Fields>,
) -> Result<HttpResponse, ApiError> {
    let email = fields.required("email", email);
    let email = fields.finish(email)?;
    let made = state
        .store
        .create_user(&email, clock::now(), &state.principal(&caller), STORE_WAIT)
        .await
        .map_err(not_changed)?;
    let user = made.ok_or_else(|| ApiError::new(Problem::EmailTaken, "there is a user with this email already"))?;
    audit::user_created(user.id, caller.token_id);
    let mut response = json(StatusCode::CREATED, &UserView::of(&user));
    response.headers_mut().insert(LOCATION, header_value(format!("{PATH}/{}", user.id)));
    Ok(response)
}

/// `GET /api/v1/users`.
pub async fn list(
    state: Data<AppState>,
    authorised: Authorised<ManageUsers, Params<PageParams>>,
) -> Result<HttpResponse, ApiError> {
    let page = authorised.rest.0.page(PATH)?;
    let mut rows = state.store.users_after(page.after, page.fetched(), STORE_WAIT).await?;
    let next = page.cut(&mut rows, |user| user.id);
    Ok(page.respond(rows.iter().map(UserView::of).collect(), next))
}

/// `GET /api/v1/users/{id}`.
pub async fn show(
    state: Data<AppState>,
    Authorised { rest: UserId(id), .. }: Authorised<ManageUsers, UserId>,
) -> Result<HttpResponse, ApiError> {
    let found = state.store.users_by_ids(&[id], STORE_WAIT).await?.pop();
    let user = found.ok_or_else(|| no_such("user", id))?;
    Ok(json(StatusCode::OK, &UserView::of(&user)))
}

/// `PATCH /api/v1/users/{id}`: only `disabled` can be changed.
pub async fn change(
    state: Data<AppState>,
    Authorised { caller, rest, .. }: Authorised<ManageUsers, (UserId, Fields)>,
) -> Result<HttpResponse, ApiError> {
    let (UserId(id), mut fields) = rest;
    let disabled = fields.required("disabled", Fields::flag);
    let disabled = fields.finish(disabled)?;
    let changed = state
        .store
        .set_user_disabled(id, disabled, &state.principal(&caller), STORE_WAIT)
        .await
        .map_err(not_changed)?;
    let user = changed.ok_or_else(|| no_such("user", id))?;
    audit::user_changed(user.id, user.disabled, caller.token_id);
    see_change(&state).await;
    Ok(json(StatusCode::OK, &UserView::of(&user)))
}

fn email(fields: &mut Fields, name: &str) -> Option<String> {
    let email = fields.text(name)?;
    if is_email(&email) {
        return Some(email);
    }
    let what = format!("is {}, expected NAME@HOST without blanks, at most {EMAIL_BYTES_MAX} bytes", shown(&email));
    fields.invalid(name, &what);
    None
}
