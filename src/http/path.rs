//! Ids in a request's path. They are written one way only: what is written otherwise names nothing.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::error::ApiError;
use super::problems::Problem;

/// Longest part of a path that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 40;

macro_rules! ids {
    ($($name:ident, $what:literal, $expected:literal;)*) => {$(
        #[doc = concat!("The id of a ", $what, " in the path.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub i64);

        impl FromRequest for $name {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(read(request.match_info().query("id"), $what, $expected).map(Self))
            }
        }
    )*};
}

ids! {
    EventId, "event", "a positive integer up to 9223372036854775807";
    JobId, "job", "a positive integer";
    TokenId, "token", "a positive integer";
    UserId, "user", "a positive integer";
}

fn read(text: &str, what: &str, expected: &str) -> Result<i64, ApiError> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_canonical).ok_or_else(|| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        ApiError::new(Problem::NotFound, format!("there is no {what} {shown:?}, an id is {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_integer_written_plainly() {
        let read = |text: &str| read(text, "event", "a positive integer");
        assert_eq!(read("1").ok(), Some(1));
        assert_eq!(read("9223372036854775807").ok(), Some(i64::MAX));
        for text in ["0", "-1", "+1", "01", "1.0", "9223372036854775808", "", "abc", "\0", "١", "1 ", "batch"] {
            let error = read(text).expect_err("no event has this id");
            assert_eq!(error.problem(), Problem::NotFound, "{text}");
            assert!(error.detail().contains("an id is a positive integer"), "{}", error.detail());
        }
    }
}
