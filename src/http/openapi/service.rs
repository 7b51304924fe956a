//! The operations on the service itself: its figures, its limits, its health, its documents.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Operation, ServedOn};
use super::schemas::{HTML, Schemas};
use crate::domain::scopes::Scope;
use crate::http::health::Health;
use crate::http::limits::Limits;
use crate::http::problem_catalogue::{Catalogue, ProblemView};
use crate::http::problems::Problem;
use crate::http::series::SeriesView;
use crate::http::stats::StatsView;

/// The tag of figures, limits and health.
pub const SERVICE: &str = "Service";
/// The tag of what explains the API.
pub const DOCUMENTS: &str = "Documents";

/// All of them.
pub fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let health = schemas.of::<Health>();
    vec![
        Operation::new(Method::GET, "/api/v1/stats", SERVICE, "showStats", "Show the figures of all nodes")
            .says(
                "Over `window`, and over 1, 5 and 60 minutes: rates and times; since ever: the balance, received = what became \
                 of it + pending. With `by=event_type` also the figures of each type.",
            )
            .needs(&[Scope::ReadAll, Scope::Operate])
            .parameter("Window")
            .parameter("By")
            .answers(200, "The figures", schemas.of::<StatsView>())
            .problems(&[Problem::InvalidRequest]),
        Operation::new(Method::GET, "/api/v1/stats/series", SERVICE, "showSeries", "Show the course of the figures")
            .says(
                "What all nodes counted over `window`, in buckets that follow each other without a gap. Percentiles over several \
                 buckets are those of the sums of their `processing_times`, not the mean of their percentiles.",
            )
            .needs(&[Scope::ReadAll, Scope::Operate])
            .parameter("Window")
            .answers(200, "The buckets, the oldest first", schemas.of::<SeriesView>())
            .problems(&[Problem::InvalidRequest]),
        Operation::new(Method::GET, "/api/v1/limits", SERVICE, "showLimits", "Show the limits in effect")
            .needs_token()
            .answers(200, "The limits", schemas.of::<Limits>()),
        Operation::new(Method::GET, "/health/live", SERVICE, "isAlive", "Tell whether the process answers")
            .says("It touches no database.")
            .answers(200, "It does", health.clone()),
        Operation::new(Method::GET, "/health/ready", SERVICE, "isReady", "Tell whether events can be taken durably")
            .answers(200, "They can", health.clone())
            .answers(503, "They cannot, with every reason", health),
        Operation::new(Method::GET, "/problems", DOCUMENTS, "listProblems", "Explain every problem")
            .answers(200, "The catalogue", schemas.of::<Catalogue>()),
        Operation::new(Method::GET, "/problems/{code}", DOCUMENTS, "showProblem", "Explain one problem")
            .parameter("Code")
            .answers(200, "Its entry", schemas.of::<ProblemView>())
            .problems(&[Problem::NotFound]),
        Operation::new(Method::GET, "/openapi.json", DOCUMENTS, "showOpenApi", "This document")
            .says("The same on both ports. On the API's port it needs no token, on the operations port any.")
            .takes_token()
            .answers(200, "The document", json!({"type": "object"})),
        Operation::new(Method::GET, "/docs", DOCUMENTS, "browse", "This document as a page")
            .on(ServedOn::Api)
            .answers_as(200, "The page", HTML, json!({"type": "string"})),
    ]
}
