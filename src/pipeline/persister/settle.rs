//! What follows a flush: receipts for clients, timers for retries, facts, ended claims.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::deps::Deps;
use super::super::messages::{Due, Scheduled};
use super::super::pool::Pool;
use super::super::receipt::{Receipt, Unsettled, Verdict};
use super::super::unit::{Item, UnitOrigin};
use super::queue::PreparedUnit;
use crate::domain::outcome::{Failure, Outcome, Status};
use crate::store::{KeptEvent, Record, Written};
use crate::telemetry::facts;
use crate::telemetry::spans::AttemptEnd;

/// Where the consequences of outcomes go.
#[derive(Clone)]
pub(in crate::pipeline) struct Settlement {
    pub retry: Pool<Scheduled>,
    pub claimer: Pool<Due>,
    pub deps: Arc<Deps>,
}

impl Settlement {
    /// Settles a unit that was committed: only now may its outcome be reported.
    pub(super) fn settle(&self, gathered: PreparedUnit, written: Vec<Written>) {
        let Some(mut unit) = gathered.work.settle() else { return };
        let mut verdicts: Vec<Option<Verdict>> = unit.items.iter().map(|_| None).collect();
        for ((record, place), written) in gathered.records.iter().zip(&gathered.places).zip(written) {
            let item = &unit.items[*place];
            self.follow_up(record, item, &written);
            verdicts[*place] = Some(verdict(record, item, written));
        }
        let receipts = unit.items.iter().zip(verdicts).map(|(item, verdict)| Receipt {
            event_id: item.event.id,
            task_id: item.event.task_id,
            verdict: verdict.unwrap_or_else(|| not_kept(item)),
        });
        let receipts = receipts.collect();
        unit.answer(Ok(receipts));
    }

    /// Settles a unit that lies synced in the spool: its events are promised now.
    pub(super) fn settle_spooled(&self, gathered: PreparedUnit) {
        let Some(mut unit) = gathered.work.settle() else { return };
        let receipts = unit.items.iter().map(|item| {
            let verdict = match &item.result {
                Some(Err(Failure::Reject(_))) => not_kept(item),
                _ => Verdict::Spooled,
            };
            if verdict == Verdict::Spooled {
                facts::spooled(&item.event, item.has_lines);
                item.end_span(AttemptEnd::without_row("spooled", None));
            }
            Receipt { event_id: item.event.id, task_id: item.event.task_id, verdict }
        });
        let receipts = receipts.collect();
        unit.answer(Ok(receipts));
    }

    /// Gives a unit up that could not be written in time; leases are given back by the Claimer.
    pub(super) fn give_up(&self, gathered: PreparedUnit) {
        let unsettled = if gathered.work.maybe_stored { Unsettled::Unknown } else { Unsettled::NotStored };
        self.abandon(gathered, unsettled);
    }

    /// Gives up a unit that the database rejects in every form; if it came from the spool, the Drainer gets the reason.
    pub(super) fn refuse(&self, gathered: PreparedUnit, error: &str) {
        gathered.work.items.iter().for_each(|item| facts::not_stored(&item.event, &error));
        if gathered.work.is_spooled() {
            self.abandon(gathered, Unsettled::Impossible(error.to_owned()));
        } else {
            self.give_up(gathered);
        }
    }

    fn abandon(&self, gathered: PreparedUnit, unsettled: Unsettled) {
        let Some(mut unit) = gathered.work.settle() else { return };
        for item in &unit.items {
            self.end_claim(item);
            item.end_span(AttemptEnd::not_settled(unsettled == Unsettled::Unknown));
        }
        // What has a row, or lies in the spool, is tried again.
        let without_row = if matches!(unit.origin, UnitOrigin::Request(_)) { unit.items.len() } else { 0 };
        facts::given_up(without_row, unsettled == Unsettled::Unknown);
        unit.answer(Err(unsettled));
    }

    fn follow_up(&self, record: &Record, item: &Item, written: &Written) {
        self.end_claim(item);
        item.end_span(end(record, written));
        match written {
            Written::Stored | Written::Repeated => {
                facts::persisted(&record.event, &record.outcome, item.has_lines);
                self.schedule(record);
            }
            Written::StoredAs(outcome) => facts::persisted(&record.event, outcome, item.has_lines),
            Written::Fenced => {
                self.deps.stale_writes.fetch_add(1, Ordering::Relaxed);
                facts::stale_writes_rejected(1);
            }
            Written::Duplicate(first) => facts::duplicate(&record.event, first.id, item.has_lines),
            Written::Conflict { of } => facts::key_conflict(&record.event, *of, item.has_lines),
        }
    }

    fn schedule(&self, record: &Record) {
        let delay: Option<Duration> = record.outcome.retry_in;
        if let Some(delay) = delay.filter(|_| record.outcome.status == Status::Pending) {
            self.retry.send(Scheduled { event_ids: vec![record.event.id], delay });
        }
    }

    fn end_claim(&self, item: &Item) {
        let Some(token) = item.lease else { return };
        if self.deps.claims.end(item.event.id, token) {
            self.claimer.send(Due(Vec::new()));
        }
    }
}

/// How the attempt's span ends.
fn end(record: &Record, written: &Written) -> AttemptEnd {
    match written {
        Written::Stored | Written::Repeated => AttemptEnd::from(&record.outcome),
        Written::StoredAs(outcome) => AttemptEnd::from(&**outcome),
        Written::Fenced => AttemptEnd::without_row("fenced", Some("lease_lost")),
        Written::Duplicate(first) => {
            AttemptEnd { duplicate_of: Some(first.id), ..AttemptEnd::without_row("duplicate", None) }
        }
        Written::Conflict { .. } => AttemptEnd::without_row("conflict", Some("event_uid_conflict")),
    }
}

fn verdict(record: &Record, item: &Item, written: Written) -> Verdict {
    match written {
        Written::Stored | Written::Repeated => stored(&record.outcome, item),
        Written::StoredAs(outcome) => stored(&outcome, item),
        Written::Duplicate(first) => duplicate(first, item),
        Written::Conflict { of } => Verdict::Conflict { of },
        Written::Fenced => Verdict::Pending,
    }
}

fn duplicate(first: KeptEvent, item: &Item) -> Verdict {
    match &item.result {
        Some(Err(Failure::Reject(rejection))) => {
            Verdict::Rejected { rejection: rejection.clone(), kept: Some(first.id), repeats: first.repeats }
        }
        _ => Verdict::Duplicate {
            of: first.id,
            of_task_id: first.task_id,
            status: first.status,
            processed_at: first.processed_at,
            differs: first.differs,
        },
    }
}

fn stored(outcome: &Outcome, item: &Item) -> Verdict {
    match (outcome.status, &item.result, outcome.processed_at) {
        (Status::Processed, _, Some(processed_at)) => Verdict::Processed { processed_at },
        (Status::ValidationError, Some(Err(Failure::Reject(rejection))), _) => {
            Verdict::Rejected { rejection: rejection.clone(), kept: Some(item.event.id), repeats: 0 }
        }
        (Status::Failed, ..) => Verdict::Failed {
            error: outcome.processing_error.clone().unwrap_or_default(),
            code: outcome.error_code.unwrap_or_default(),
        },
        _ => Verdict::Pending,
    }
}

/// Rejections go without a record where none is wanted, and with them what is withheld for their sake.
fn not_kept(item: &Item) -> Verdict {
    match &item.result {
        Some(Err(Failure::Reject(rejection))) => {
            facts::not_kept(rejection.code().as_str());
            item.end_span(AttemptEnd::without_row("not_kept", Some(rejection.code().as_str())));
            Verdict::Rejected { rejection: rejection.clone(), kept: None, repeats: 0 }
        }
        _ => {
            facts::withheld();
            item.end_span(AttemptEnd::without_row("withheld", None));
            Verdict::Withheld
        }
    }
}

/// The planted bug: receipts of what is not committed yet.
#[cfg(feature = "fault-injection")]
pub(super) fn acknowledge_too_early(units: &mut [PreparedUnit]) {
    if !crate::config::PlantedBug::AckBeforeCommit.is_chosen() {
        return;
    }
    for PreparedUnit { work, records, places, .. } in units {
        let items = places.iter().map(|place| &work.items[*place]);
        let receipts = records.iter().zip(items).map(|(record, item)| Receipt {
            event_id: item.event.id,
            task_id: item.event.task_id,
            verdict: verdict(record, item, Written::Stored),
        });
        work.answer_early(Ok(receipts.collect()));
    }
}
