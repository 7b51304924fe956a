//! Who changed users and tokens, had many events changed, or controlled the pipeline, over HTTP: a line each, with ids
//! only, beside the row in the table `audit`. `by_token` is the token of the request.

use tracing::{info, warn};

/// A user was made.
pub fn user_created(user_id: i64, by_token: i64) {
    info!(user_id, by_token, "user created");
}

/// A user was disabled or enabled.
pub fn user_changed(user_id: i64, disabled: bool, by_token: i64) {
    info!(user_id, disabled, by_token, "user changed");
}

/// A token was made for a user.
pub fn token_created(token_id: i64, user_id: i64, by_token: i64) {
    info!(token_id, user_id, by_token, "token created");
}

/// A token was replaced by another.
pub fn token_rotated(token_id: i64, new_token_id: i64, by_token: i64) {
    info!(token_id, new_token_id, by_token, "token rotated");
}

/// A token was revoked.
pub fn token_revoked(token_id: i64, by_token: i64) {
    info!(token_id, by_token, "token revoked");
}

/// A token opened a session of the dashboard.
pub fn session_opened(token_id: i64, user_id: i64, by_token: i64) {
    info!(token_id, user_id, by_token, "session opened");
}

/// Somebody logged out of the dashboard.
pub fn session_closed(token_id: i64, by_token: i64) {
    info!(token_id, by_token, "session closed");
}

/// A login to the dashboard was refused. There is no row of it, since nothing was changed; how many lines strangers can
/// cause is bounded by how many unknown tokens one address may send.
pub fn login_refused(peer: &str, code: &str) {
    warn!(peer, code, "login refused");
}

/// A job was made.
pub fn job_made(job_id: i64, kind: &str, by_token: i64) {
    info!(job_id, kind, by_token, "job made");
}

/// A job was stopped.
pub fn job_stopped(job_id: i64, by_token: i64) {
    info!(job_id, by_token, "job stopped");
}

/// The controls of the line or of a pool were changed, for every node.
pub fn controls_changed(target: &str, change: &str, by_token: i64) {
    info!(target, change, by_token, "pipeline changed");
}

/// This node has applied the controls.
pub fn controls_applied(generation: i64) {
    info!(generation, "pipeline controls applied");
}
