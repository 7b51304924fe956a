//! The operations on all events that match a filter, and on the jobs that carry them out.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::operation::Operation;
use super::schemas::{JSON, Schemas};
use crate::domain::outcome::Status;
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::Scope;
use crate::http::accounts::AccountPage;
use crate::http::events::DryRun;
use crate::http::jobs::JobView;
use crate::http::problems::Problem;

/// The tag of operations on jobs.
pub const TAG: &str = "Jobs";

/// All of them.
pub fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let filter = schemas.body("Filter", filter());
    let retry = schemas.body("RetryOrder", retry_order(&filter));
    let cancel = schemas.body("CancelOrder", cancel_order(&filter));
    let job = schemas.of::<JobView>();
    let by_filter = |schemas: &mut Schemas, path, id, summary: &str, order: Value| {
        operated(Method::POST, path, id, summary)
            .body(true, &[(JSON, order)])
            .answers(200, "A dry run: how many match, and the first of them", schemas.of::<DryRun>())
            .answers(202, "The job that does it", schemas.of::<JobView>())
            .with_header(202, "Location")
            .leads_to(202, "showJob", "id")
            .leads_to(202, "stopJob", "id")
            .problems(&RejectCode::ALL.map(Problem::Rejected))
            .problems(&[Problem::Overloaded, Problem::OutcomeUnknown])
    };
    vec![
        by_filter(schemas, "/api/v1/events/retry", "retryMatching", "Process all events anew that match", retry).says(
            "Without a status those that failed, were refused or were cancelled. A job does it piece by piece, also through \
             crashes and outages; only events that were received before it are touched.",
        ),
        by_filter(schemas, "/api/v1/events/cancel", "cancelMatching", "Call all pending events off that match", cancel),
        operated(Method::GET, "/api/v1/jobs", "listJobs", "List jobs")
            .says("The newest first; one's own, or with `read:all` or `admin` everyone's.")
            .parameters(&["Limit", "Cursor"])
            .answers(200, "A page", schemas.of::<AccountPage<JobView>>())
            .with_header(200, "Link")
            .problems(&[Problem::InvalidRequest, Problem::InvalidCursor]),
        operated(Method::GET, "/api/v1/jobs/{id}", "showJob", "Show how far a job has come")
            .parameter("Id")
            .answers(200, "The job", job.clone())
            .problems(&[Problem::NotFound]),
        operated(Method::POST, "/api/v1/jobs/{id}/cancel", "stopJob", "Stop a job where it is")
            .says("What it has done stays done. One that has ended stays as it is.")
            .parameter("Id")
            .answers(200, "The job", job)
            .problems(&[Problem::NotFound, Problem::OutcomeUnknown]),
    ]
}

fn operated(method: Method, path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new(method, path, TAG, id, summary).needs(&[Scope::Operate])
}

/// The members are the parameters of the list of events; at least one has to be there.
fn filter() -> Value {
    let text = json!({"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": r"^[^\u0000]*$"});
    let time = json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]});
    json!({
        "type": "object",
        "description": "Which events: at least one member. Some need a time range, as in the list of events.",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": {
            "status": {"anyOf": [{"enum": Status::ALL.map(Status::as_str)}, {"type": "null"}]},
            "event_name": text,
            "event_type": text,
            "user_id": {"type": ["integer", "null"], "format": "int64", "minimum": 1},
            "error_code": text,
            "received_after": time,
            "received_before": time,
        },
    })
}

fn retry_order(filter: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["filter"],
        "additionalProperties": false,
        "properties": {
            "filter": filter,
            "patch": patch(),
            "dry_run": {"type": ["boolean", "null"], "description": "Only count."},
            "force": {"type": ["boolean", "null"], "description": "Process what is processed anew."},
        },
    })
}

fn cancel_order(filter: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["filter"],
        "additionalProperties": false,
        "properties": {
            "filter": filter,
            "dry_run": {"type": ["boolean", "null"], "description": "Only count."},
        },
    })
}

/// How one event is to be retried.
pub fn retry_of_one() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {"patch": patch()}})
}

fn patch() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "A merge patch (RFC 7396) of the payload: members replace, `null` removes.",
        "allOf": [Schemas::named("Storable")],
    })
}
