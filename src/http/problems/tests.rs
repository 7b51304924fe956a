//! The catalogue as a whole: unique codes, texts, which problems are worth a retry.

use std::collections::HashSet;

use super::*;

#[test]
fn every_code_is_unique_titled_and_explained() {
    let codes: HashSet<_> = CATALOGUE.iter().map(|entry| entry.code).collect();
    assert_eq!(codes.len(), CATALOGUE.len());
    for entry in CATALOGUE {
        let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(entry.code.chars().all(is_code), "{}", entry.code);
        assert!(!entry.title.is_empty() && !entry.title.ends_with('.'), "{}", entry.code);
        assert!(entry.explanation.ends_with('.'), "{}", entry.code);
    }
}

#[test]
fn every_rejection_stands_under_its_own_code() {
    for code in RejectCode::ALL {
        assert_eq!(Problem::Rejected(code).entry().code, code.as_str());
    }
}

#[test]
fn only_timeouts_and_our_own_limits_are_worth_a_retry() {
    for entry in CATALOGUE {
        let expected = matches!(entry.status.as_u16(), 408 | 429 | 503 | 504) || entry.code == "in_progress";
        assert_eq!(entry.is_retryable(false), expected, "{}", entry.code);
    }
    assert!(Problem::InternalError.entry().is_retryable(true));
    assert!(!Problem::InvalidJson.entry().is_retryable(true));
}
