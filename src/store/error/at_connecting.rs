//! Which refusals of a connection may pass, and which waiting does not cure: a wrong name, a wrong password, a pooler
//! that takes other parameters.

/// A pooler's message while it waits for its server or for room; `08P01` is the code of nearly all its messages.
const POOLER_WAITS: [&str; 7] = [
    "cannot connect to server",
    "server login has been failing",
    "server_login_retry",
    "query_wait_timeout",
    "client_login_timeout",
    "no more connections allowed",
    "shutting down",
];

/// Whether a connection that is refused with this may be taken later.
pub(super) fn may_pass(code: &str, message: &str) -> bool {
    match code {
        "08P01" => POOLER_WAITS.iter().any(|wait| message.contains(wait)),
        _ => matches!(code.get(..2), Some("08" | "53" | "57")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_that_do_not_pass_are_distinguished() {
        for (code, message) in [
            ("57P03", "the database system is starting up"),
            ("53300", "sorry, too many clients already"),
            ("08P01", "pgbouncer cannot connect to server"),
            ("08006", "connection failure"),
        ] {
            assert!(may_pass(code, message), "{code} {message}");
        }
        for (code, message) in [
            ("08P01", "unsupported startup parameter: extra_float_digits"),
            ("28P01", "password authentication failed"),
            ("28000", "no pg_hba.conf entry"),
            ("3D000", "database does not exist"),
            ("42501", "permission denied for database"),
        ] {
            assert!(!may_pass(code, message), "{code} {message}");
        }
    }
}
