//! How tokens and users are shown, here and on the command line.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::scopes::Scope;
use crate::domain::timestamp::render;
use crate::store::{Token, TokenSecret, User};

/// A token without its secret.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Token")]
pub struct TokenView<'a> {
    id: i64,
    user_id: i64,
    name: &'a str,
    prefix: &'a str,
    scopes: Vec<&'static str>,
    state: &'static str,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    expires_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    revoked_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    last_used_at: Option<String>,
    /// The token that it ends with, if it is a session of the dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<i64>,
}

impl<'a> TokenView<'a> {
    /// The token as it is at `now`.
    pub fn of(token: &'a Token, now: DateTime<Utc>) -> Self {
        Self {
            id: token.id,
            user_id: token.user_id,
            name: &token.name,
            prefix: &token.prefix,
            scopes: token.scopes.iter().map(Scope::name).collect(),
            state: token.state(now),
            created_at: render(token.created_at),
            expires_at: token.expires_at.map(render),
            revoked_at: token.revoked_at.map(render),
            last_used_at: token.last_used_at.map(render),
            parent_id: token.parent_id,
        }
    }
}

/// A token that was just made, with its secret: the only answer that has it.
#[derive(JsonSchema, Serialize)]
pub struct MadeToken<'a> {
    #[serde(flatten)]
    view: TokenView<'a>,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<i64>,
}

impl<'a> MadeToken<'a> {
    /// The token made at `now`, in place of `replaces` if it was rotated.
    pub fn of(token: &'a Token, secret: &'a TokenSecret, replaces: Option<i64>, now: DateTime<Utc>) -> Self {
        Self { view: TokenView::of(token, now), token: secret.expose(), replaces }
    }
}

/// A user.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "User")]
pub struct UserView<'a> {
    id: i64,
    email: &'a str,
    disabled: bool,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
}

impl<'a> UserView<'a> {
    /// The user as it is.
    pub fn of(user: &'a User) -> Self {
        Self { id: user.id, email: &user.email, disabled: user.disabled, created_at: render(user.created_at) }
    }
}
