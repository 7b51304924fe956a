//! I8: while a server calls itself ready, events are not refused for seconds.

use std::time::Duration;

use crate::support::ledger::Entry;

/// Beyond this nobody should have believed it; several times of what the service may take to see it.
const BELIEVED: Duration = Duration::from_secs(6);

/// Refusals that may have other reasons.
const REFUSALS: usize = 3;

/// What a server said of its readiness, and when by the load's clock.
pub type Reading = (Duration, u16);

/// Times at which it said that it was ready, and every answer was a refusal.
pub fn lies(readings: &[Reading], entries: &[Entry]) -> Vec<String> {
    let mut answers: Vec<(Duration, u16)> =
        entries.iter().filter_map(|entry| Some((entry.sent_after + entry.took, entry.status?))).collect();
    answers.sort_unstable();
    runs(readings).into_iter().filter_map(|run| lie(run, &answers)).collect()
}

/// From when to when it called itself ready without a break.
fn runs(readings: &[Reading]) -> Vec<(Duration, Duration)> {
    let alike = readings.chunk_by(|one, next| one.1 == next.1).filter(|alike| alike[0].1 == 200);
    alike.map(|alike| (alike[0].0, alike[alike.len() - 1].0)).collect()
}

fn lie((from, to): (Duration, Duration), answers: &[(Duration, u16)]) -> Option<String> {
    let mut good = from;
    let mut refused = 0;
    for (at, status) in answers.iter().filter(|(at, _)| (from..=to).contains(at)) {
        match status {
            200..300 => (good, refused) = (*at, 0),
            500.. => refused += 1,
            _ => {}
        }
        if refused >= REFUSALS && *at - good > BELIEVED {
            return Some(format!("I8: ready from {from:?} to {to:?}, and only refusals from {good:?} to {at:?}"));
        }
    }
    None
}
