//! The reference's report of a batch: a result per event in input order, and what they add up to.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::rejection::Rejection;
use crate::domain::timestamp::render;
use crate::http::error::FlawBody;
use crate::http::respond::json;
use crate::store::FinalState;

/// What may become of one event.
const RESULTS: [&str; 8] =
    ["processed", "enqueued", "duplicate", "validation_error", "failed", "cancelled", "not_found", "valid"];
/// What may become of a batch.
const VERDICTS: [&str; 3] = ["success", "partial", "failed"];

/// What became of one event of a batch.
#[derive(Debug, JsonSchema, Serialize)]
pub struct ItemResult {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    #[schemars(extend("enum" = RESULTS))]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    processed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<&'static str>,
    /// Attributes in which a CloudEvent differs from the one that it repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'static, str>>,
    /// How often a refused event was sent again since it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FlawBody>,
}

impl ItemResult {
    /// The event at `index` ended as `status`.
    pub fn new(index: u64, status: &'static str) -> Self {
        Self {
            index,
            event_id: None,
            status,
            event_name: None,
            user_id: None,
            processed_at: None,
            durability: None,
            differs: Vec::new(),
            error: None,
            code: None,
            repeats: None,
            errors: Vec::new(),
        }
    }

    /// Its row, or the one that it repeats.
    pub fn stored_as(self, event_id: i64) -> Self {
        Self { event_id: Some(event_id), ..self }
    }

    /// Its row, if it has one.
    pub fn event_id(&self) -> Option<i64> {
        self.event_id
    }

    /// What it says of the event.
    pub fn named(self, event_name: Option<String>, user_id: i64) -> Self {
        Self { event_name, user_id: Some(user_id), ..self }
    }

    /// When it was processed.
    pub fn processed_at(self, at: DateTime<Utc>) -> Self {
        Self { processed_at: Some(render(at)), ..self }
    }

    /// It waits on this node's disk.
    pub fn in_spool(self) -> Self {
        Self { durability: Some("spool"), ..self }
    }

    /// In which attributes it differs from the one that it repeats.
    pub fn differing_in(self, differs: Vec<&'static str>) -> Self {
        Self { differs, ..self }
    }

    /// Why it is not a success.
    pub fn because(self, code: &'static str, error: String) -> Self {
        Self { code: Some(code.into()), error: Some(error), ..self }
    }

    /// How often it was sent again; 0 says nothing.
    pub fn repeated(self, repeats: i64) -> Self {
        Self { repeats: Some(repeats).filter(|repeats| *repeats > 0), ..self }
    }

    /// Every flaw of an invalid event.
    pub fn with_flaws(self, rejection: Option<&Rejection>) -> Self {
        let errors = rejection.map(|rejection| rejection.flaws().map(FlawBody::of).collect());
        Self { errors: errors.unwrap_or_default(), ..self }
    }

    /// Whether it waits for its processing.
    pub fn is_enqueued(&self) -> bool {
        self.status == "enqueued"
    }

    /// Whether it waits in the database, and not in the spool.
    pub fn is_pending(&self) -> bool {
        self.is_enqueued() && self.durability.is_none()
    }

    /// Takes the outcome that was waited for.
    pub fn finish(&mut self, end: &FinalState) {
        self.status = end.status.as_str();
        self.processed_at = end.processed_at.map(render);
        self.error.clone_from(&end.error);
        self.code = end.error_code.clone().map(Cow::Owned);
    }

    /// Whether nothing is wrong with it.
    pub fn is_success(&self) -> bool {
        matches!(self.status, "processed" | "duplicate" | "enqueued" | "valid")
    }
}

/// What results add up to; what cannot be among them is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Tally {
    /// Events of the request.
    pub total_events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed: Option<u64>,
    /// Those that are no success.
    pub failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enqueued: Option<u64>,
}

impl Tally {
    /// Of events that are stored.
    pub const OF_STORED: Self =
        Self { total_events: 0, valid: None, processed: Some(0), failed: 0, duplicates: Some(0), enqueued: Some(0) };

    /// Of events that are only judged.
    pub const OF_JUDGED: Self =
        Self { total_events: 0, valid: Some(0), processed: None, failed: 0, duplicates: None, enqueued: None };

    /// Counts a result.
    pub fn add(&mut self, result: &ItemResult) {
        self.total_events += 1;
        let count = match result.status {
            "processed" => &mut self.processed,
            "duplicate" => &mut self.duplicates,
            "enqueued" => &mut self.enqueued,
            "valid" => &mut self.valid,
            _ => {
                self.failed += 1;
                return;
            }
        };
        *count.get_or_insert(0) += 1;
    }

    /// `success`, `partial` or `failed`.
    pub fn status(&self) -> &'static str {
        match self.failed {
            0 => "success",
            failed if failed == self.total_events => "failed",
            _ => "partial",
        }
    }

    /// 200 if all is well, 202 if some wait, 207 if some failed, 422 if all did.
    pub fn code(&self) -> StatusCode {
        match (self.status(), self.enqueued) {
            ("failed", _) => StatusCode::UNPROCESSABLE_ENTITY,
            ("partial", _) => StatusCode::MULTI_STATUS,
            (_, None | Some(0)) => StatusCode::OK,
            _ => StatusCode::ACCEPTED,
        }
    }
}

/// The report of a batch.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "BatchReport")]
pub struct BatchReport<'a> {
    #[schemars(extend("enum" = VERDICTS))]
    status: &'static str,
    #[serde(flatten)]
    tally: Tally,
    results: Vec<&'a ItemResult>,
}

/// The answer to a batch; a minimal one has only the results that are not successes.
pub fn report(results: &[ItemResult], mut tally: Tally, is_minimal: bool) -> HttpResponse {
    results.iter().for_each(|result| tally.add(result));
    let shown = results.iter().filter(|result| !is_minimal || !result.is_success()).collect();
    json(tally.code(), &BatchReport { status: tally.status(), tally, results: shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(statuses: &[&'static str]) -> Tally {
        let mut tally = Tally::OF_STORED;
        statuses.iter().for_each(|status| tally.add(&ItemResult::new(0, status)));
        tally
    }

    #[test]
    fn a_batchs_status_follows_from_its_results() {
        for (statuses, status, code) in [
            (&["processed", "duplicate"][..], "success", 200),
            (&["processed", "enqueued"], "success", 202),
            (&["processed", "validation_error"], "partial", 207),
            (&["enqueued", "not_found"], "partial", 207),
            (&["failed", "validation_error"], "failed", 422),
        ] {
            let tally = tally(statuses);
            assert_eq!((tally.status(), tally.code().as_u16()), (status, code), "{statuses:?}");
        }
    }

    #[test]
    fn a_result_says_only_what_there_is_to_say() {
        let result = ItemResult::new(3, "duplicate").stored_as(7);
        assert_eq!(serde_json::to_string(&result).expect("JSON"), r#"{"index":3,"event_id":7,"status":"duplicate"}"#);
    }
}
