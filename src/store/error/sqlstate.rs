//! What PostgreSQL's error codes mean for the work: a table of every class of its appendix A, and of the codes that
//! differ from their class. Nothing else in the program judges by a code, but
//! `at_connecting` by those of refused connections.
//!
//! A code shows what went wrong, not for which work: whether other work would fail as well is found out by trying it.

use StoreErrorKind::{Bug, Conflict, Exhausted, Locked, Refused, Transient};

use super::StoreErrorKind;

/// Every class with its kind.
const CLASSES: [(&str, StoreErrorKind); 44] = [
    // Success, warnings and the absence of rows do not come as errors.
    ("00", Bug),
    ("01", Bug),
    ("02", Bug),
    ("03", Bug),
    // The connection is lost, or a pooler has none.
    ("08", Transient),
    // A trigger of the operator's.
    ("09", Refused),
    // What the server cannot do with these data: a character that its encoding lacks.
    ("0A", Refused),
    // Statements that are never sent.
    ("0B", Bug),
    ("0F", Bug),
    ("0L", Bug),
    ("0P", Bug),
    // Code of a trigger.
    ("0Z", Refused),
    ("10", Refused),
    ("20", Refused),
    ("21", Refused),
    // The data: their form, their range, a constraint on them.
    ("22", Refused),
    ("23", Refused),
    // Statements that are never sent, in this order at least.
    ("24", Bug),
    ("25", Bug),
    // A prepared statement that another session of a pooler has.
    ("26", Conflict),
    ("27", Refused),
    // A password or a rule of access that is being changed.
    ("28", Transient),
    ("2B", Bug),
    ("2D", Bug),
    // Functions of triggers.
    ("2F", Refused),
    ("34", Bug),
    ("38", Refused),
    ("39", Refused),
    ("3B", Bug),
    // The database is being renamed or restored.
    ("3D", Transient),
    ("3F", Bug),
    // Another transaction was in the way.
    ("40", Conflict),
    // The schema or the rights are not those that this program made.
    ("42", Bug),
    ("44", Refused),
    // No room, memory or connection, for this work or for any.
    ("53", Exhausted),
    // This work is larger than any server allows.
    ("54", Refused),
    ("55", Bug),
    // An operator ended the session or the server.
    ("57", Transient),
    // The disk, for these pages or for all.
    ("58", Exhausted),
    ("72", Conflict),
    ("F0", Bug),
    // A partition that lies on another server.
    ("HV", Bug),
    // Raised by a trigger of the operator's own.
    ("P0", Refused),
    // Damage, or an unforeseen limit: of these data, or of all.
    ("XX", Bug),
];

/// The codes that differ from their class.
const CODES: [(&str, StoreErrorKind); 15] = [
    // Another row has the key: the same as ours, or an older one.
    ("23505", Conflict),
    // The server is a standby, or became one.
    ("25006", Transient),
    // The session waited for us for too long.
    ("25P03", Transient),
    ("25P04", Transient),
    // A deferred constraint found out at the end.
    ("40002", Refused),
    // The answer to a COMMIT was lost on the way.
    ("40003", Transient),
    // A name of a prepared statement that another session of a pooler has taken.
    ("42P05", Conflict),
    ("53300", Transient),
    // Being renamed, moved or used as a template.
    ("55006", Transient),
    ("55P03", Locked),
    // A statement that took too long, or was cancelled: this one, or any.
    ("57014", Exhausted),
    // A partition on another server that is away.
    ("HV00M", Transient),
    ("HV00N", Transient),
    // The server's files are damaged where these data are to go; other parts may be sound.
    ("XX001", Exhausted),
    ("XX002", Exhausted),
];

/// The routine of the server that finds a plan out of date after a change of the schema: it is made again.
const STALE_PLAN: &str = "RevalidateCachedQuery";

/// What can be done about an error of this code, which a routine of the server raised.
pub(super) fn kind(code: &str, routine: Option<&str>) -> StoreErrorKind {
    if code == "0A000" && routine == Some(STALE_PLAN) {
        return Conflict;
    }
    let of = |table: &[(&str, StoreErrorKind)], code: &str| {
        table.iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind)
    };
    // A class that a later server has.
    of(&CODES, code).or_else(|| of(&CLASSES, code.get(..2)?)).unwrap_or(Bug)
}

/// Codes after which the outcome of the statement is unknown, whatever their severity: the connection was lost, perhaps
/// behind a pooler, or the session was ended.
pub(super) fn leaves_open(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "40003"
}

/// Whether the code says that the server, or the session, takes no writes.
pub(super) fn is_read_only(code: &str) -> bool {
    code == "25006"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes of appendix A, and 10 of PostgreSQL 17.
    const APPENDIX: &str = "00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 \
                            42 44 53 54 55 57 58 72 F0 HV P0 XX";

    #[test]
    fn every_class_is_in_the_table_once_and_in_order() {
        let classes: Vec<&str> = CLASSES.iter().map(|(class, _)| *class).collect();
        assert_eq!(classes, APPENDIX.split_whitespace().collect::<Vec<_>>());
        assert!(CODES.is_sorted_by(|(a, _), (b, _)| a < b), "codes in order, each once");
    }

    #[test]
    fn each_code_that_differs_from_its_class_differs() {
        for (code, expected) in CODES {
            assert_eq!(kind(code, None), expected);
            assert_ne!(kind(&format!("{}999", &code[..2]), None), expected, "{code} needs no row of its own");
        }
    }

    #[test]
    fn each_sqlstate_has_its_kind() {
        let table = [
            ("08006", Transient),
            ("08P01", Transient),
            ("0A000", Refused),
            ("22003", Refused),
            ("22021", Refused),
            ("22P02", Refused),
            ("22P05", Refused),
            ("23502", Refused),
            ("23514", Refused),
            ("25P02", Bug),
            ("26000", Conflict),
            ("28P01", Transient),
            ("3D000", Transient),
            ("40001", Conflict),
            ("40P01", Conflict),
            ("42501", Bug),
            ("42703", Bug),
            ("42P01", Bug),
            ("53100", Exhausted),
            ("53200", Exhausted),
            ("54000", Refused),
            ("54001", Refused),
            ("57P01", Transient),
            ("57P03", Transient),
            ("58030", Exhausted),
            ("P0001", Refused),
            ("XX000", Bug),
            ("99999", Bug),
            ("", Bug),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code, None), expected, "{code}");
        }
        assert_eq!(kind("0A000", Some(STALE_PLAN)), Conflict);
    }

    #[test]
    fn only_what_ends_a_session_leaves_the_outcome_open() {
        for code in ["08006", "57P01", "40003"] {
            assert!(leaves_open(code), "{code}");
        }
        for code in ["40001", "57014", "53100", "23505", "XX000", "58030"] {
            assert!(!leaves_open(code), "{code}");
        }
    }
}
