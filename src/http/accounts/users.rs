//! Users: made, listed, disabled and enabled. Never deleted: their events keep pointing at them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;

use super::pages::PageParams;
use super::view::UserView;
use super::{id_in_path, no_such, not_changed, see_change};
use crate::clock;
use crate::domain::email::{EMAIL_BYTES_MAX, is_email};
use crate::domain::scopes::Scope;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::fields::{self, Fields, shown};
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::respond::{header_value, json};
use crate::telemetry::audit;

const PATH: &str = "/api/v1/users";
const WHAT: &str = "managing users";

/// `POST /api/v1/users`.
pub async fn create(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Admin, WHAT).await?;
    let (state, mut fields) = fields::read(call).await?;
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
pub async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    call.authorise(Scope::Admin, WHAT).await?;
    let params = PageParams::read(PATH, &["limit", "cursor"], call.request.query_string())?;
    let mut rows = call.state.store.users_after(params.after, params.fetched(), STORE_WAIT).await?;
    let next = params.cut(&mut rows, |user| user.id);
    Ok(params.respond(rows.iter().map(UserView::of).collect(), next))
}

/// `GET /api/v1/users/{id}`.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.authorise(Scope::Admin, WHAT).await?;
    let id = id_in_path(&call, "user")?;
    let found = call.state.store.users_by_ids(&[id], STORE_WAIT).await?.pop();
    let user = found.ok_or_else(|| no_such("user", id))?;
    Ok(json(StatusCode::OK, &UserView::of(&user)))
}

/// `PATCH /api/v1/users/{id}`: only `disabled` can be changed.
pub async fn change(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Admin, WHAT).await?;
    let id = id_in_path(&call, "user")?;
    let (state, mut fields) = fields::read(call).await?;
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
