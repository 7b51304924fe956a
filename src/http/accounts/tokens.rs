//! Tokens: made, listed, rotated, revoked.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use actix_web::web::Data;
use chrono::{DateTime, Utc};

use super::pages::TokenParams;
use super::view::{MadeToken, TokenView};
use super::{no_such, not_changed, see_change};
use crate::clock;
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::{Scope, Scopes, ScopesError};
use crate::domain::submission::NAME_CHARS_MAX;
use crate::domain::timestamp;
use crate::http::access::{Authorised, ManageTokens};
use crate::http::bounds::STORE_WAIT;
use crate::http::caller::{Caller, allows};
use crate::http::error::ApiError;
use crate::http::fields::{Fields, OptionalFields, shown};
use crate::http::params::Params;
use crate::http::path::TokenId;
use crate::http::problems::Problem;
use crate::http::respond::{header_value, json};
use crate::http::state::AppState;
use crate::store::NewToken;
use crate::telemetry::audit;

const PATH: &str = "/api/v1/tokens";
/// How long a rotated token goes on working when the client does not say.
const OVERLAP_DEFAULT: Duration = Duration::from_secs(3_600);

/// `POST /api/v1/tokens`.
pub async fn create(
    state: Data<AppState>,
    Authorised { caller, rest: mut fields, .. }: Authorised<ManageTokens, Fields>,
) -> Result<HttpResponse, ApiError> {
    let now = clock::now();
    let wanted = wanted(&mut fields, &caller, now);
    if let Some(wanted) = &wanted {
        check_user(&state, &mut fields, wanted.user_id).await?;
    }
    let wanted = fields.finish(wanted)?;
    refuse_more_than_own(&caller, wanted.user_id, wanted.scopes)?;
    let (token, secret) =
        state.store.create_token(wanted, now, &state.principal(&caller), STORE_WAIT).await.map_err(not_changed)?;
    audit::token_created(token.id, token.user_id, caller.token_id);
    Ok(made(token.id, &MadeToken::of(&token, &secret, None, now)))
}

/// `GET /api/v1/tokens`.
pub async fn list(
    state: Data<AppState>,
    authorised: Authorised<ManageTokens, Params<TokenParams>>,
) -> Result<HttpResponse, ApiError> {
    let page = authorised.rest.0.page(PATH)?;
    let mut rows = state.store.tokens_after(page.user_id, page.after, page.fetched(), STORE_WAIT).await?;
    let now = clock::now();
    let next = page.cut(&mut rows, |token| token.id);
    Ok(page.respond(rows.iter().map(|token| TokenView::of(token, now)).collect(), next))
}

/// `GET /api/v1/tokens/{id}`.
pub async fn show(
    state: Data<AppState>,
    Authorised { rest: TokenId(id), .. }: Authorised<ManageTokens, TokenId>,
) -> Result<HttpResponse, ApiError> {
    let token = state.store.token_by_id(id, STORE_WAIT).await?.ok_or_else(|| no_such("token", id))?;
    Ok(json(StatusCode::OK, &TokenView::of(&token, clock::now())))
}

/// `POST /api/v1/tokens/{id}/rotate`.
pub async fn rotate(
    state: Data<AppState>,
    Authorised { caller, rest, .. }: Authorised<ManageTokens, (TokenId, OptionalFields)>,
) -> Result<HttpResponse, ApiError> {
    let (TokenId(id), OptionalFields(mut fields)) = rest;
    let overlap = if fields.has("overlap") { fields.span("overlap") } else { Some(OVERLAP_DEFAULT) };
    let overlap = fields.finish(overlap)?;
    let old = state.store.token_by_id(id, STORE_WAIT).await?.ok_or_else(|| no_such("token", id))?;
    refuse_more_than_own(&caller, old.user_id, old.scopes)?;
    let now = clock::now();
    let rotated =
        state.store.rotate_token(id, overlap, now, &state.principal(&caller), STORE_WAIT).await.map_err(not_changed)?;
    let Some((token, secret)) = rotated else {
        return Err(ApiError::new(Problem::TokenEnded, format!("token {id} is revoked or expired")));
    };
    audit::token_rotated(id, token.id, caller.token_id);
    see_change(&state).await;
    Ok(made(token.id, &MadeToken::of(&token, &secret, Some(id), now)))
}

/// `DELETE /api/v1/tokens/{id}`: revokes it; the row stays, and revoking it again changes nothing.
pub async fn revoke(
    state: Data<AppState>,
    Authorised { caller, rest: TokenId(id), .. }: Authorised<ManageTokens, TokenId>,
) -> Result<HttpResponse, ApiError> {
    let store = &state.store;
    store.token_by_id(id, STORE_WAIT).await?.ok_or_else(|| no_such("token", id))?;
    let by = state.principal(&caller);
    if store.revoke_token(id, clock::now(), &by, STORE_WAIT).await.map_err(not_changed)? {
        audit::token_revoked(id, caller.token_id);
    }
    see_change(&state).await;
    Ok(HttpResponse::NoContent().finish())
}

fn made(id: i64, token: &MadeToken) -> HttpResponse {
    let mut response = json(StatusCode::CREATED, token);
    response.headers_mut().insert(LOCATION, header_value(format!("{PATH}/{id}")));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The token that the body requests; `None` if something is wrong, which `fields` remembers.
fn wanted(fields: &mut Fields, caller: &Caller, now: DateTime<Utc>) -> Option<NewToken> {
    let has_user = fields.has("user_id");
    let user_id = if has_user { fields.whole("user_id") } else { Some(caller.user_id) };
    let name = if fields.has("name") { fields.label("name", NAME_CHARS_MAX) } else { Some(String::new()) };
    let scopes = fields.required("scopes", scopes);
    let expires_at = expiry(fields, now);
    Some(NewToken { user_id: user_id?, name: name?, scopes: scopes?, expires_at })
}

fn scopes(fields: &mut Fields, name: &str) -> Option<Scopes> {
    let names = fields.texts(name)?;
    if names.is_empty() {
        fields.invalid(name, &format!("is empty: {}", ScopesError::Empty));
        return None;
    }
    let scopes = names.iter().enumerate().map(|(place, text)| {
        let shown: String = text.chars().take(40).collect();
        let scope = shown.parse::<Scope>();
        scope.map_err(|error| fields.invalid(&format!("{name}/{place}"), &format!("is not a scope: {error}"))).ok()
    });
    // All of them are looked at before the first wrong one counts.
    scopes.collect::<Vec<_>>().into_iter().collect()
}

/// The end that the body requests, after a time or at one.
fn expiry(fields: &mut Fields, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if fields.has("expires_in") && fields.has("expires_at") {
        fields.invalid("expires_in", "and expires_at are both there, expected one of them");
        return None;
    }
    if let Some(span) = fields.span("expires_in") {
        let end = timestamp::after(now, span).filter(|_| !span.is_zero());
        if end.is_none() {
            fields.invalid("expires_in", "is out of range, expected more than 0s and an end before the year 10000");
        }
        return end;
    }
    let end = fields.time("expires_at")?;
    if end <= now {
        fields.invalid("expires_at", &format!("is {}, which is past", shown(&timestamp::render(end))));
    }
    Some(end)
}

async fn check_user(state: &AppState, fields: &mut Fields, user_id: i64) -> Result<(), ApiError> {
    if state.store.users_by_ids(&[user_id], STORE_WAIT).await?.is_empty() {
        fields.refuse(RejectCode::UserUnknown, "user_id", format!("user {user_id} does not exist"));
    }
    Ok(())
}

/// Nobody gets a secret that may do more than the own token: `admin` would be every scope in disguise.
fn refuse_more_than_own(caller: &Caller, user_id: i64, scopes: Scopes) -> Result<(), ApiError> {
    let is_foreign = user_id != caller.user_id;
    for scope in scopes.iter() {
        let needed = match scope {
            Scope::Read if is_foreign => Scope::ReadAll,
            Scope::Write if is_foreign => Scope::WriteAll,
            scope => scope,
        };
        if !allows(caller.scopes, needed) {
            let of = if is_foreign { "another user's token" } else { "a token" };
            return Err(ApiError::forbidden(needed, &format!("giving {of} the scope {}", scope.name())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(own: &str, user_id: i64, wanted: &str) -> Option<String> {
        let scopes = own.parse().expect("scopes");
        let caller = Caller { user_id: 1, email: "a@example.com".to_owned(), scopes, token_id: 1, parent_id: None };
        let refused = refuse_more_than_own(&caller, user_id, wanted.parse().expect("scopes"));
        refused.err().map(|error| error.detail().to_owned())
    }

    #[test]
    fn a_token_gives_away_only_what_it_may_itself() {
        for (own, user_id, wanted) in [
            ("admin", 1, "admin"),
            ("admin", 2, "admin"),
            ("admin read", 1, "read"),
            ("admin read:all", 1, "read read:all"),
            ("admin read:all", 2, "read"),
            ("admin write:all operate", 2, "write operate"),
        ] {
            assert_eq!(refusal(own, user_id, wanted), None, "{own} {user_id} {wanted}");
        }
        for (own, user_id, wanted) in [
            ("admin", 1, "write"),
            ("admin read", 1, "read:all"),
            ("admin read", 2, "read"),
            ("admin write", 2, "write"),
            ("admin read:all write:all", 1, "operate"),
        ] {
            assert!(refusal(own, user_id, wanted).is_some(), "{own} {user_id} {wanted}");
        }
        let detail = "the token lacks the scope read:all, which giving another user's token the scope read needs";
        assert_eq!(refusal("admin read", 2, "read").as_deref(), Some(detail));
    }
}
