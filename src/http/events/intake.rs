//! Takes the parts of a body for events, and records beside them what the report will say of each.

use bytes::Bytes;

use super::headers::conflict;
use super::report::ItemResult;
use super::submission::owner;
use crate::domain::dedupe::{DedupeKey, Namespace};
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::submission::{Submission, Unreadable};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::trace::RequestTrace;
use crate::pipeline::{Entry, Receipt, Verdict};

/// Some events of one request, in their order.
pub struct Intake<'a> {
    caller: &'a Caller,
    /// The request's `Idempotency-Key`; an item without a uid has `key:index`.
    key: Option<&'a str>,
    first: u64,
    read: EventParser,
    trace: RequestTrace,
    entries: Vec<Entry>,
    items: Vec<ItemState>,
}

/// Reads an event from a part of a body.
type EventParser = fn(&Bytes, &str) -> Result<Submission, Unreadable>;

/// A key as it is reported.
type ReportedKey = (Namespace, String);

/// What is remembered of an event while it is on its way.
enum ItemState {
    HandedIn { event_name: Option<String>, user_id: i64, key: Option<ReportedKey> },
    Refused { code: &'static str, error: String, rejection: Option<Box<Rejection>> },
}

/// Events that were taken, apart from what is remembered of them.
pub struct TakenEvents {
    entries: Vec<Entry>,
    first: u64,
    items: Vec<ItemState>,
}

impl<'a> Intake<'a> {
    /// For events whose indexes begin with `first`.
    pub fn new(caller: &'a Caller, key: Option<&'a str>, first: u64) -> Self {
        let trace = RequestTrace::default();
        Self { caller, key, first, read: Submission::read_part, trace, entries: Vec::new(), items: Vec::new() }
    }

    /// For events of another form.
    pub fn of(self, read: EventParser) -> Self {
        Self { read, ..self }
    }

    /// For events that are part of a trace, unless they have their own.
    pub fn in_trace(self, trace: RequestTrace) -> Self {
        Self { trace, ..self }
    }

    /// Takes the event in `text`, a part of `body`.
    pub fn take(&mut self, body: &Bytes, text: &str) {
        let item = match (self.read)(body, text) {
            Ok(submission) => self.hand_in(submission),
            Err(Unreadable::NotObject(rejection)) => refused(*rejection),
            Err(unreadable) => {
                ItemState::Refused { code: "invalid_json", error: unreadable.to_string(), rejection: None }
            }
        };
        self.items.push(item);
    }

    /// Takes an event that was read already.
    pub fn add(&mut self, submission: Submission) {
        let item = self.hand_in(submission);
        self.items.push(item);
    }

    /// Records an unreadable item, with the reason `code`.
    pub fn refuse(&mut self, code: &'static str, error: String) {
        self.items.push(ItemState::Refused { code, error, rejection: None });
    }

    fn hand_in(&mut self, mut submission: Submission) -> ItemState {
        let user_id = match owner(&submission, self.caller) {
            Ok(user_id) => user_id,
            Err(error) => {
                let code = error.problem().entry().code;
                let error = error.detail().to_owned();
                return ItemState::Refused { code, error, rejection: None };
            }
        };
        self.trace.take_in(&mut submission);
        let index = self.first + self.items.len() as u64;
        let own = self.key.map(|key| format!("{key}:{index}"));
        let key = DedupeKey::of(&submission, user_id, own.as_deref());
        let event_name = submission.event_name.clone();
        let remembered = key.as_ref().map(|key| (key.namespace, key.text.clone()));
        self.entries.push(Entry { user_id, submission, key });
        ItemState::HandedIn { event_name, user_id, key: remembered }
    }

    /// Ends the taking.
    pub fn finish(self) -> TakenEvents {
        TakenEvents { entries: self.entries, first: self.first, items: self.items }
    }
}

impl TakenEvents {
    /// How many events were taken.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes the entries out.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The result of each event, of which those that were handed in have `receipts`.
    pub fn results(self, receipts: Vec<Receipt>) -> Vec<ItemResult> {
        let mut receipts = receipts.into_iter();
        self.results_by(|index, key| match receipts.next() {
            Some(receipt) => of_receipt(index, receipt, key),
            None => ItemResult::new(index, "failed"),
        })
    }

    /// The result of each event when none was stored, or nobody knows.
    pub fn unsettled(self, error: &ApiError) -> Vec<ItemResult> {
        let code = error.problem().entry().code;
        let text = error.detail();
        self.results_by(|index, _| ItemResult::new(index, "failed").because(code, text.to_owned()))
    }

    /// The result of each event as `judge` has it, with nothing handed in.
    pub fn judged(mut self, judge: impl Fn(&Entry) -> Option<Rejection>) -> Vec<ItemResult> {
        let mut entries = self.take_entries().into_iter();
        self.results_by(|index, _| match entries.next().as_ref().and_then(&judge) {
            None => ItemResult::new(index, "valid"),
            Some(rejection) => of_rejection(index, &rejection),
        })
    }

    /// `next` gives the result of each event that can be handed in, by its index and key.
    fn results_by(self, mut next: impl FnMut(u64, Option<ReportedKey>) -> ItemResult) -> Vec<ItemResult> {
        let result = |(index, item)| match item {
            ItemState::Refused { code, error, rejection } => {
                ItemResult::new(index, "validation_error").because(code, error).with_flaws(rejection.as_deref())
            }
            ItemState::HandedIn { event_name, user_id, key } => next(index, key).named(event_name, user_id),
        };
        (self.first..).zip(self.items).map(result).collect()
    }

    /// The entries that can be handed in.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is wrong with each event that is: with those not handed in, and with those that `judge` refuses.
    pub fn flaws(&self, judge: impl Fn(&Entry) -> Option<Rejection>) -> Vec<(u64, Rejection)> {
        let mut entries = self.entries.iter();
        let of_item = |(index, item): (u64, &ItemState)| match item {
            ItemState::Refused { error, rejection, .. } => {
                Some((index, rejection.as_deref().cloned().unwrap_or_else(|| unread(error))))
            }
            ItemState::HandedIn { .. } => entries.next().and_then(&judge).map(|rejection| (index, rejection)),
        };
        (self.first..).zip(&self.items).filter_map(of_item).collect()
    }
}

/// A part that is not an event for another reason than its fields.
fn unread(error: &str) -> Rejection {
    Rejection::of(Flaw::new(RejectCode::InvalidField, "", error))
}

fn of_rejection(index: u64, rejection: &Rejection) -> ItemResult {
    let result = ItemResult::new(index, "validation_error");
    result.because(rejection.code().as_str(), rejection.error.clone()).with_flaws(Some(rejection))
}

fn refused(rejection: Rejection) -> ItemState {
    ItemState::Refused {
        code: rejection.code().as_str(),
        error: rejection.error.clone(),
        rejection: Some(Box::new(rejection)),
    }
}

pub(super) fn of_receipt(index: u64, receipt: Receipt, key: Option<ReportedKey>) -> ItemResult {
    let of = |status, event_id| ItemResult::new(index, status).stored_as(event_id);
    match receipt.verdict {
        Verdict::Processed { processed_at } => of("processed", receipt.event_id).processed_at(processed_at),
        Verdict::Pending => of("enqueued", receipt.event_id),
        Verdict::Spooled => of("enqueued", receipt.event_id).in_spool(),
        Verdict::Failed { error, code } => of("failed", receipt.event_id).because(code, error),
        Verdict::Duplicate { of: first, processed_at, differs, .. } => {
            let result = of("duplicate", first).differing_in(differs);
            processed_at.into_iter().fold(result, ItemResult::processed_at)
        }
        Verdict::Conflict { of: first } => {
            let error = conflict(key, first).detail().to_owned();
            of("failed", first).because("event_uid_conflict", error)
        }
        Verdict::Rejected { rejection, kept, repeats } => {
            let result = of_rejection(index, &rejection).repeated(repeats);
            kept.into_iter().fold(result, ItemResult::stored_as)
        }
        Verdict::Withheld => ItemResult::new(index, "failed"),
    }
}
