//! The secret text of a token, and its hash.

use std::fmt;

use sha2::{Digest, Sha256};

use super::error::StoreError;

/// Characters of a token's text that are stored for display.
pub const TOKEN_PREFIX_CHARS: usize = 11;
/// Random bytes in a token; 43 characters in base64url.
const SECRET_BYTES: usize = 32;

/// The text of a new token.
#[derive(Clone)]
pub struct TokenSecret(String);

impl TokenSecret {
    /// 256 random bits of the system.
    pub fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::setup(format!("no random bytes: {error}")))?;
        Ok(Self(format!("gm_{}", base64url(&bytes))))
    }

    /// The text to show, once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn prefix(&self) -> String {
        self.0.chars().take(TOKEN_PREFIX_CHARS).collect()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}…)", self.prefix())
    }
}

/// The hash under which a token is stored.
pub fn hash_token(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_gives_the_texts_of_the_rfc() {
        let table = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in table {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn a_secret_has_46_characters_is_never_the_same_and_hides_in_debug() {
        let (a, b) = (TokenSecret::generate(), TokenSecret::generate());
        let (a, b) = (a.expect("random bytes"), b.expect("random bytes"));
        assert_eq!(a.expose().len(), 46);
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.prefix().len(), TOKEN_PREFIX_CHARS);
        assert!(!format!("{a:?}").contains(a.expose()));
    }
}
