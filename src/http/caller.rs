//! The caller of a request, and what its token may do.

use crate::domain::scopes::{Scope, Scopes};

/// The person or program behind a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's user.
    pub user_id: i64,
    /// The user's email.
    pub email: String,
    /// What the token may do.
    pub scopes: Scopes,
    /// The token.
    pub token_id: i64,
    /// The token that opened it, if it is a session of the dashboard.
    pub parent_id: Option<i64>,
}

/// Whether `scopes` cover `scope`: reading or writing everyone's events includes one's own, else none implies another.
pub fn allows(scopes: Scopes, scope: Scope) -> bool {
    scopes.has(scope)
        || match scope {
            Scope::Read => scopes.has(Scope::ReadAll),
            Scope::Write => scopes.has(Scope::WriteAll),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scopes_over_everyone_include_others() {
        let held = |text: &str, scope| allows(text.parse().expect("scopes"), scope);
        assert!(held("read", Scope::Read) && held("read:all", Scope::Read) && held("write:all", Scope::Write));
        assert!(!held("admin", Scope::Read) && !held("read", Scope::ReadAll) && !held("read:all", Scope::Write));
    }
}
