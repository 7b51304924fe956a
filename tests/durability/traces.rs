//! The trace of an event: written with it, whichever way its flush takes, known to who claims it, and never changed.

use std::sync::Arc;

use gristmill::domain::event::Event;
use gristmill::domain::trace::TraceContext;
use gristmill::store::ClaimTarget;
use sea_orm::prelude::Uuid;

use super::records::{claim, flush, plain, processed, transient, under};
use super::{aside, execute, number, with_store};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 rojo=1";

fn traced(id: i64, uid: &str) -> Event {
    let mut event = plain(id, "traced", uid);
    event.submission.trace = TraceContext::of_text(TRACE).map(Arc::new);
    event
}

both_databases! {
    // Guards `TRACED` in `flush/postgres.rs` and `flush/sqlite.rs`.
    fn a_flush_of_events_with_traces_and_without_writes_each_its_own(database) {
        with_store(&database, async |store| {
            // The short way, the long one, and the short one without any trace.
            for (first, uid) in [(1, ""), (11, "key")] {
                let records = [plain(first, "a", ""), traced(first + 1, uid), plain(first + 2, "b", "")].map(processed);
                flush(&store, records.to_vec()).await;
            }
            flush(&store, vec![processed(plain(21, "c", ""))]).await;
        });
        let contexts = database.texts("SELECT COALESCE(trace_context, '-') FROM events ORDER BY id");
        assert_eq!(contexts, ["-", TRACE, "-", "-", TRACE, "-", "-"]);
        let sql = "SELECT COUNT(*) FROM events WHERE status = 'processed' AND started_at = received_at AND processed_at = finished_at";
        assert_eq!(number(&database, sql), 7, "the other columns are where they belong");
    }

    // Guards `claimed` in `claim.rs`.
    fn who_claims_an_event_knows_its_trace_and_since_when_it_waits(database) {
        with_store(&database, async |store| {
            let first = transient(traced(1, ""));
            let ended_at = first.finished_at;
            flush(&store, vec![first, transient(plain(2, "a", ""))]).await;
            execute(&database, "UPDATE events SET next_attempt_at = received_at");
            let mut claimed = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await;
            claimed.sort_by_key(|claimed| claimed.event.id);
            let known: Vec<_> = claimed.iter().map(|claimed| (claimed.event.submission.trace.as_ref().map(|trace| trace.text()), claimed.waits_since)).collect();
            assert_eq!(known, [(Some(TRACE.to_owned()), Some(ended_at)), (None, None)]);
            let records = claimed.into_iter().map(|claimed| under(claimed.lease_token, processed(claimed.event)));
            flush(&store, records.collect()).await;
            let rows = aside(|| database.texts("SELECT COALESCE(trace_context, '-') FROM events WHERE status = 'processed' ORDER BY id"));
            assert_eq!(rows, [TRACE, "-"]);
        });
    }
}
