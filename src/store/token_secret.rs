//! The secret text of a token, and its hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::StoreError;

/// Characters of a token's text that are stored for display.
pub const TOKEN_PREFIX_CHARS: usize = 11;
/// Random bytes in a token; 43 characters in base64url without padding.
const SECRET_BYTES: usize = 32;

/// The text of a new token.
#[derive(Clone)]
pub struct TokenSecret(String);

impl TokenSecret {
    /// 256 random bits of the system.
    pub fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::setup(format!("no random bytes: {error}")))?;
        Ok(Self(format!("gm_{}", URL_SAFE_NO_PAD.encode(bytes))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_46_characters_is_never_the_same_and_hides_in_debug() {
        let a = TokenSecret::generate();
        let b = TokenSecret::generate();
        let a = a.expect("random bytes");
        let b = b.expect("random bytes");
        let secret = a.expose().strip_prefix("gm_").expect("the prefix");
        assert!(secret.len() == 43 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.prefix().len(), TOKEN_PREFIX_CHARS);
        assert!(!format!("{a:?}").contains(a.expose()));
    }
}
