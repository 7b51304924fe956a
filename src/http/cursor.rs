//! Cursors of lists: where the next page begins, bound to the list's filters, its order and its viewer.
//!
//! A cursor is 25 bytes in hexadecimal: the version, the time of receipt and the id after which the page begins, and half
//! of a SHA-256 over these and the filters. It protects from mistakes, not from forgery: what a viewer may see is decided
//! by the token.

use chrono::{DateTime, Datelike};
use sha2::{Digest, Sha256};

use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::store::ListPosition;

const VERSION: u8 = 2;
/// Bytes before the digest, and all of them.
const PLACE_BYTES: usize = 17;
const BYTES: usize = 25;
/// In place of a time of receipt that cannot be read.
const NO_TIME: i64 = i64::MIN;

/// The cursor of the page that begins after `place`, for a list with `filters` as canonical text.
pub fn write(filters: &str, place: ListPosition) -> String {
    hex::encode(bytes(filters, place))
}

/// The position after which the page begins; 400 if the cursor was made for another list, or not by us.
pub fn read(filters: &str, cursor: &str) -> Result<ListPosition, ApiError> {
    let place = decode(cursor).and_then(place).filter(|place| cursor == write(filters, *place));
    place.ok_or_else(|| {
        ApiError::new(
            Problem::InvalidCursor,
            "the cursor is damaged, or belongs to another list or another user's token",
        )
    })
}

fn bytes(filters: &str, place: ListPosition) -> [u8; BYTES] {
    let mut bytes = [VERSION; BYTES];
    let micros = place.received_at.map_or(NO_TIME, |time| time.timestamp_micros());
    bytes[1..9].copy_from_slice(&micros.to_be_bytes());
    bytes[9..PLACE_BYTES].copy_from_slice(&place.id.to_be_bytes());
    let digest = Sha256::new().chain_update(&bytes[..PLACE_BYTES]).chain_update(filters).finalize();
    bytes[PLACE_BYTES..].copy_from_slice(&digest[..BYTES - PLACE_BYTES]);
    bytes
}

/// `None` for a time that no database could compare.
fn place(bytes: [u8; BYTES]) -> Option<ListPosition> {
    let number = |from: usize| i64::from_be_bytes(std::array::from_fn(|at| bytes[from + at]));
    let received_at = match number(1) {
        NO_TIME => None,
        micros => Some(DateTime::from_timestamp_micros(micros).filter(|time| (1..=9999).contains(&time.year()))?),
    };
    Some(ListPosition { received_at, id: number(9) })
}

fn decode(cursor: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    hex::decode_to_slice(cursor, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64, id: i64) -> ListPosition {
        ListPosition { received_at: Some(DateTime::from_timestamp_micros(micros).expect("a time")), id }
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let timeless = ListPosition { received_at: None, id: 7 };
        for place in [at(0, 1), at(-1, 42), at(1_766_053_800_123_456, i64::MAX), timeless] {
            assert_eq!(read("viewer=7", &write("viewer=7", place)).ok(), Some(place));
        }
        assert!(read("viewer=7", &write("viewer=7", at(1 << 60, 1))).is_err(), "beyond the year 9999");
    }

    #[test]
    fn a_cursor_is_good_only_as_it_was_written_and_only_for_its_list() {
        let cursor = write("viewer=7", at(1_766_053_800_123_456, 42));
        assert!(read("viewer=8", &cursor).is_err());
        assert!(read("viewer=all", &cursor).is_err());
        for at in 0..cursor.len() {
            let mut tampered = cursor.clone().into_bytes();
            tampered[at] = if tampered[at] == b'0' { b'1' } else { b'0' };
            let tampered = String::from_utf8(tampered).expect("still ASCII");
            assert!(read("viewer=7", &tampered).is_err(), "{tampered}");
        }
        for text in ["", "42", "é", &cursor[1..], &cursor.to_uppercase(), &"+1".repeat(25), &"ö".repeat(25)] {
            assert!(read("viewer=7", text).is_err(), "{text}");
        }
    }
}
