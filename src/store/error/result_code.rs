//! What SQLite's result codes mean for the work: <https://www.sqlite.org/rescode.html>. The low byte of a code is its
//! primary code.

use super::StoreErrorKind;

const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

/// What can be done about an error of this code.
pub(super) fn kind(code: i32) -> StoreErrorKind {
    const BUSY_SNAPSHOT: i32 = 517;
    const UNIQUE: [i32; 3] = [1555, 2067, 2579];
    if code == BUSY_SNAPSHOT || UNIQUE.contains(&code) {
        return StoreErrorKind::Conflict;
    }
    match code & 0xff {
        // BUSY, LOCKED, PROTOCOL: another process or connection holds the file.
        5 | 6 | 15 => StoreErrorKind::Locked,
        // PERM, ABORT, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN: the file, or its disk.
        3 | 4 | 7..=10 | 13 | 14 => StoreErrorKind::Transient,
        // SCHEMA: it was changed beside us.
        17 => StoreErrorKind::Conflict,
        // TOOBIG, CONSTRAINT, MISMATCH: the data.
        18..=20 => StoreErrorKind::Refused,
        // ERROR, CORRUPT and the rest: the schema is not ours, or the file is damaged.
        _ => StoreErrorKind::Bug,
    }
}

/// Whether the outcome of the statement is unknown.
pub(super) fn leaves_open(code: i32) -> bool {
    code & 0xff == IOERR
}

/// Whether the file turned out to be damaged, or not to be a database.
pub(super) fn is_damage(code: i32) -> bool {
    matches!(code & 0xff, CORRUPT | NOT_A_DATABASE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{Bug, Conflict, Locked, Refused, Transient};

    #[test]
    fn each_result_code_has_its_kind() {
        let table = [
            (5, Locked),
            (261, Locked),
            (6, Locked),
            (15, Locked),
            (8, Transient),
            (1032, Transient),
            (10, Transient),
            (1034, Transient),
            (13, Transient),
            (14, Transient),
            (517, Conflict),
            (17, Conflict),
            (1555, Conflict),
            (2067, Conflict),
            (2579, Conflict),
            (18, Refused),
            (275, Refused),
            (787, Refused),
            (1299, Refused),
            (20, Refused),
            (1, Bug),
            (11, Bug),
            (26, Bug),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
