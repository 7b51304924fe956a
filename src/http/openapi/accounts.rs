//! The operations on tokens and users, and on the log of who changed what.

use actix_web::http::Method;

use super::operation::Operation;
use super::schemas::{JSON, Schemas, new_token, new_user, rotation, user_change};
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::Scope;
use crate::http::accounts as shapes;
use crate::http::audit::AuditView;
use crate::http::problems::Problem;

/// The tag of operations on tokens.
pub const TOKENS: &str = "Tokens";
/// The tag of operations on users.
pub const USERS: &str = "Users";
/// The tag of operations on the audit log.
pub const AUDIT: &str = "Audit";
/// Problems of fields.
const OF_FIELDS: [Problem; 3] = [
    Problem::Rejected(RejectCode::MissingField),
    Problem::Rejected(RejectCode::InvalidField),
    Problem::Rejected(RejectCode::FieldTooLong),
];

/// All of them.
pub fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut operations = tokens(schemas);
    operations.extend(users(schemas));
    operations.push(
        administered(Method::GET, "/api/v1/audit", AUDIT, "listAudit", "List who changed what")
            .says("The newest first: users, tokens, replays, jobs and the pipeline. Never a secret.")
            .parameters(&["Action", "ByUser", "Limit", "Cursor"])
            .answers(200, "A page", schemas.of::<shapes::AccountPage<AuditView>>())
            .with_header(200, "Link")
            .problems(&[Problem::InvalidRequest, Problem::InvalidCursor]),
    );
    operations
}

fn administered(method: Method, path: &'static str, tag: &str, id: &str, summary: &str) -> Operation {
    Operation::new(method, path, tag, id, summary).needs(&[Scope::Admin])
}

fn tokens(schemas: &mut Schemas) -> Vec<Operation> {
    let made = schemas.of::<shapes::MadeToken<'_>>();
    let new = schemas.body("NewToken", new_token());
    let rotation = schemas.body("Rotation", rotation());
    vec![
        administered(Method::POST, "/api/v1/tokens", TOKENS, "createToken", "Make a token")
            .says("Its secret is in this answer and nowhere else. It may do no more than the token that makes it.")
            .body(true, &[(JSON, new)])
            .answers(201, "The token with its secret", made.clone())
            .with_header(201, "Location")
            .leads_to(201, "showToken", "id")
            .problems(&OF_FIELDS)
            .problems(&[RejectCode::UserUnknown, RejectCode::UserDisabled].map(Problem::Rejected))
            .problems(&[Problem::OutcomeUnknown]),
        administered(Method::GET, "/api/v1/tokens", TOKENS, "listTokens", "List tokens")
            .parameters(&["UserId", "Limit", "Cursor"])
            .answers(200, "A page", schemas.of::<shapes::AccountPage<shapes::TokenView<'_>>>())
            .with_header(200, "Link")
            .problems(&[Problem::InvalidRequest, Problem::InvalidCursor]),
        administered(Method::GET, "/api/v1/tokens/{id}", TOKENS, "showToken", "Show a token")
            .parameter("Id")
            .answers(200, "The token without its secret", schemas.of::<shapes::TokenView<'_>>())
            .problems(&[Problem::NotFound]),
        administered(Method::POST, "/api/v1/tokens/{id}/rotate", TOKENS, "rotateToken", "Give a token a new secret")
            .says("A new token takes its place, with its name and scopes; the old one works on for `overlap`.")
            .parameter("Id")
            .body(false, &[(JSON, rotation)])
            .answers(201, "The new token with its secret", made)
            .with_header(201, "Location")
            .problems(&[Problem::NotFound, Problem::TokenEnded, Problem::OutcomeUnknown])
            .problems(&[Problem::Rejected(RejectCode::InvalidField)]),
        administered(Method::DELETE, "/api/v1/tokens/{id}", TOKENS, "revokeToken", "Revoke a token")
            .says("At once on this node, within `auth.refresh` on the others. Revoking it again changes nothing.")
            .parameter("Id")
            .answers_nothing(204, "It is revoked")
            .problems(&[Problem::NotFound, Problem::OutcomeUnknown]),
    ]
}

fn users(schemas: &mut Schemas) -> Vec<Operation> {
    let user = schemas.of::<shapes::UserView<'_>>();
    let new = schemas.body("NewUser", new_user());
    let change = schemas.body("UserChange", user_change());
    vec![
        administered(Method::POST, "/api/v1/users", USERS, "createUser", "Make a user")
            .body(true, &[(JSON, new)])
            .answers(201, "The user", user.clone())
            .with_header(201, "Location")
            .leads_to(201, "showUser", "id")
            .problems(&[Problem::EmailTaken, Problem::OutcomeUnknown])
            .problems(&OF_FIELDS),
        administered(Method::GET, "/api/v1/users", USERS, "listUsers", "List users")
            .parameters(&["Limit", "Cursor"])
            .answers(200, "A page", schemas.of::<shapes::AccountPage<shapes::UserView<'_>>>())
            .with_header(200, "Link")
            .problems(&[Problem::InvalidRequest, Problem::InvalidCursor]),
        administered(Method::GET, "/api/v1/users/{id}", USERS, "showUser", "Show a user")
            .parameter("Id")
            .answers(200, "The user", user.clone())
            .problems(&[Problem::NotFound]),
        administered(Method::PATCH, "/api/v1/users/{id}", USERS, "changeUser", "Disable or enable a user")
            .says("The tokens of a disabled user do not work. Users are never deleted: their events point at them.")
            .parameter("Id")
            .body(true, &[(JSON, change)])
            .answers(200, "The user", user)
            .problems(&[Problem::NotFound, Problem::OutcomeUnknown])
            .problems(&OF_FIELDS),
    ]
}
