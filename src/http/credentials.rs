//! What a request shows of its sender: a bearer token (RFC 6750), which is known by its hash, and where it comes from.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Longest Authorization header that is looked at; ours have 53 bytes.
const HEADER_BYTES_MAX: usize = 1_024;
/// How every token begins.
const TOKEN_PREFIX: &str = "gm_";

/// SHA-256 of a token: what the database holds of it.
pub type TokenHash = [u8; 32];

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Credentials {
    /// The hash of its token.
    pub hash: TokenHash,
    /// Where it comes from.
    pub origin: Origin,
}

impl Credentials {
    /// Those of a request.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        Self::read(request.headers(), Origin::of(request))
    }

    /// Those that stand in headers.
    pub fn read(headers: &HeaderMap, origin: Origin) -> Result<Self, ApiError> {
        Ok(Self { hash: Sha256::digest(token(headers)?).into(), origin })
    }
}

impl FromRequest for Credentials {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

fn token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION);
    let Some(value) = values.next() else {
        return Err(ApiError::unauthorized(false, "no token, expected the header Authorization: Bearer <token>"));
    };
    if values.next().is_some() {
        return Err(malformed("the Authorization header is repeated, expected it once".to_owned()));
    }
    if value.len() > HEADER_BYTES_MAX {
        let detail = format!("the Authorization header is {} bytes, limit {HEADER_BYTES_MAX}", value.len());
        return Err(malformed(detail));
    }
    let Ok(text) = value.to_str() else {
        return Err(malformed("the Authorization header has characters that are not visible ASCII".to_owned()));
    };
    let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed("the Authorization header's scheme is not Bearer".to_owned()));
    }
    well_formed(token.trim_start())
}

/// What cannot be a token of ours is refused without querying the database.
fn well_formed(token: &str) -> Result<&str, ApiError> {
    if token.is_empty() {
        return Err(malformed("the Authorization header has no token after Bearer".to_owned()));
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match token.strip_prefix(TOKEN_PREFIX) {
        Some(secret) if !secret.is_empty() && secret.bytes().all(is_allowed) => Ok(token),
        _ => Err(malformed(format!("the token is malformed, expected {TOKEN_PREFIX} and letters, digits, - or _"))),
    }
}

fn malformed(detail: String) -> ApiError {
    ApiError::unauthorized(true, detail)
}

/// An address, of IPv6 its network (/64): the owner of one of its addresses has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(i64);

impl Origin {
    /// The origin of a request; of one that comes through a proxy, the proxy.
    pub fn of(request: &HttpRequest) -> Self {
        request.peer_addr().map_or(Self(0), |peer| peer.ip().into())
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(i64::from(address.to_bits())),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header value"));
        }
        token(&headers).map(str::to_owned).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_with_any_number_of_spaces() {
        for header in ["Bearer gm_aZ09-_", "bearer gm_aZ09-_", "BEARER   gm_aZ09-_ "] {
            assert_eq!(read(&[header.as_bytes()]).as_deref(), Ok("gm_aZ09-_"), "{header}");
        }
    }

    #[test]
    fn what_is_not_one_token_is_distinguished() {
        let long = [b"Bearer gm_".as_slice(), &[b'a'; 2_000]].concat();
        let refusals: [(&[&[u8]], &str); 9] = [
            (&[], "no token, expected the header Authorization: Bearer <token>"),
            (&[b"Bearer gm_a", b"Bearer gm_a"], "the Authorization header is repeated, expected it once"),
            (&[&long], "the Authorization header is 2010 bytes, limit 1024"),
            (&["Bearer gm_é".as_bytes()], "the Authorization header has characters that are not visible ASCII"),
            (&[b"Basic Z206"], "the Authorization header's scheme is not Bearer"),
            (&[b"Bearer"], "the Authorization header has no token after Bearer"),
            (&[b"Bearer  "], "the Authorization header has no token after Bearer"),
            (&[b"Bearer x"], "the token is malformed, expected gm_ and letters, digits, - or _"),
            (&[b"Bearer gm_a b"], "the token is malformed, expected gm_ and letters, digits, - or _"),
        ];
        for (headers, detail) in refusals {
            assert_eq!(read(headers).as_ref().map_err(String::as_str), Err(detail));
        }
    }

    #[test]
    fn an_origin_is_an_address_or_a_network() {
        let of = |text: &str| Origin::from(text.parse::<IpAddr>().expect("an address"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
