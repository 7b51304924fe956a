//! Cursors of lists: where the next page begins, bound to the list's filters and its viewer.
//!
//! A cursor is 17 bytes in hexadecimal: the version, the id before which the page begins, and half of a SHA-256 over
//! both and the filters. It protects from mistakes, not from forgery: what a viewer may see is decided by the token.

use sha2::{Digest, Sha256};

use crate::http::error::ApiError;
use crate::http::problems::Problem;

const VERSION: u8 = 1;
const BYTES: usize = 17;

/// The cursor of the page that begins before the id `before`, for a list with `filters` as canonical text.
pub fn write(filters: &str, before: i64) -> String {
    bytes(filters, before).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id before which the page begins; 400 if the cursor was made for another list, or not by us.
pub fn read(filters: &str, cursor: &str) -> Result<i64, ApiError> {
    let before = decode(cursor).map(|bytes| i64::from_be_bytes(std::array::from_fn(|at| bytes[at + 1])));
    let before = before.filter(|before| cursor == write(filters, *before));
    before.ok_or_else(|| {
        ApiError::new(
            Problem::InvalidCursor,
            "the cursor is damaged, or belongs to another list or another user's token",
        )
    })
}

fn bytes(filters: &str, before: i64) -> [u8; BYTES] {
    let mut bytes = [VERSION; BYTES];
    bytes[1..9].copy_from_slice(&before.to_be_bytes());
    let digest = Sha256::new().chain_update(&bytes[..9]).chain_update(filters).finalize();
    bytes[9..].copy_from_slice(&digest[..8]);
    bytes
}

fn decode(cursor: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    if cursor.len() != 2 * BYTES || !cursor.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&cursor[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        for before in [1, 42, i64::MAX] {
            assert_eq!(read("viewer=7", &write("viewer=7", before)).ok(), Some(before));
        }
    }

    #[test]
    fn a_cursor_is_good_only_as_it_was_written_and_only_for_its_list() {
        let cursor = write("viewer=7", 42);
        assert!(read("viewer=8", &cursor).is_err());
        assert!(read("viewer=all", &cursor).is_err());
        for at in 0..cursor.len() {
            let mut tampered = cursor.clone().into_bytes();
            tampered[at] = if tampered[at] == b'0' { b'1' } else { b'0' };
            let tampered = String::from_utf8(tampered).expect("still ASCII");
            assert!(read("viewer=7", &tampered).is_err(), "{tampered}");
        }
        for text in ["", "42", "é", &cursor[1..], &cursor.to_uppercase(), &"+1".repeat(17), &"ö".repeat(17)] {
            assert!(read("viewer=7", text).is_err(), "{text}");
        }
    }
}
