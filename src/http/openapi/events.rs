//! The operations on events.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::jobs::retry_of_one;
use super::operation::{Operation, ServedOn};
use super::schemas::{JSON, NDJSON, Schemas, cloud_event, new_batch, new_event, process_order, storable};
use crate::config::LimitsConfig;
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::Scope;
use crate::http::events as shapes;
use crate::http::problems::Problem;

/// The tag of them.
pub const TAG: &str = "Events";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// Problems of what is handed to the pipeline.
const OF_THE_PIPELINE: [Problem; 3] = [Problem::Overloaded, Problem::NotStored, Problem::OutcomeUnknown];
/// Problems of a batch as such.
const OF_BATCHES: [Problem; 3] = [Problem::BatchNotList, Problem::BatchEmpty, Problem::BatchTooLarge];
/// The parameters that filter events.
const FILTERS: [&str; 7] =
    ["Status", "EventName", "EventType", "UserId", "ErrorCode", "ReceivedAfter", "ReceivedBefore"];

/// The forms in which events are sent.
struct Forms {
    event: Value,
    batch: Value,
    cloud: Value,
    clouds: Value,
}

/// All of them.
pub fn operations(schemas: &mut Schemas, limits: &LimitsConfig) -> Vec<Operation> {
    let itself = Schemas::named("Storable");
    let storable = schemas.body("Storable", storable(&itself));
    let event = schemas.body("NewEvent", new_event(limits, &storable));
    let batch = schemas.body("NewBatch", new_batch(limits, &event));
    let cloud = schemas.body("CloudEvent", cloud_event(&storable));
    let clouds = json!({"type": "array", "items": cloud, "maxItems": limits.batch_events});
    let forms = Forms { event, batch, cloud, clouds };
    vec![
        submit(schemas, &forms),
        submit_batch(schemas, &forms),
        validate(schemas, &forms),
        process(schemas, limits),
        retry(schemas),
        cancel(schemas),
        show(schemas),
        timeline(schemas),
        list(schemas),
        export(schemas),
        stream(schemas),
    ]
}

fn outcome_of(schemas: &mut Schemas) -> Vec<Value> {
    vec![schemas.of::<shapes::Success>(), schemas.of::<shapes::Failed>(), schemas.of::<shapes::Other>()]
}

fn submit(schemas: &mut Schemas, forms: &Forms) -> Operation {
    let enqueued = schemas.of::<shapes::Enqueued>();
    let report = schemas.of::<shapes::BatchReport<'_>>();
    let stored = Schemas::any(&[enqueued.clone(), report.clone()]);
    let at_once: Vec<Value> = [enqueued, report.clone()].into_iter().chain(outcome_of(schemas)).collect();
    let body = [(JSON, forms.event.clone()), (CLOUD_EVENT, forms.cloud.clone()), (CLOUD_EVENTS, forms.clouds.clone())];
    Operation::new(Method::POST, "/api/v1/events", TAG, "submitEvent", "Submit one event")
        .says(
            "The answer comes when the event is durable: committed in the database, or synced on this node's disk, as \
             `durability` says. An invalid event is kept and answered with its `event_id` and every flaw. A CloudEvent may \
             also have its attributes in `ce-` headers and its data as the body; a batch of CloudEvents is answered as any \
             batch.",
        )
        .on(ServedOn::Api)
        .needs(&[Scope::Write])
        .parameters(&["IdempotencyKey", "Prefer", "TraceParent", "TraceState"])
        .body(true, &body)
        .answers(202, "It is stored and will be processed", stored)
        .with_header(202, "Location")
        .leads_to(202, "showEvent", "event_id")
        .leads_to(202, "showTimeline", "event_id")
        .leads_to(202, "retryEvent", "event_id")
        .leads_to(202, "cancelEvent", "event_id")
        .answers(200, "It repeats an event that was stored before, or was waited for", Schemas::any(&at_once))
        .with_header(200, "Preference-Applied")
        .answers(207, "Some events of a batch are no success", report.clone())
        .answers(422, "No event of a batch is a success", report)
        .problems(&OF_BATCHES)
        .problems(&OF_THE_PIPELINE)
        .problems(&[Problem::EventUidConflict, Problem::BatchRefused])
        .problems(&RejectCode::ALL.map(Problem::Rejected))
}

fn submit_batch(schemas: &mut Schemas, forms: &Forms) -> Operation {
    let (report, lines) = reports(schemas);
    let body = [
        (JSON, forms.batch.clone()),
        (NDJSON, forms.event.clone()),
        (CLOUD_EVENT, forms.cloud.clone()),
        (CLOUD_EVENTS, forms.clouds.clone()),
    ];
    let operation = Operation::new(Method::POST, "/api/v1/events/batch", TAG, "submitBatch", "Submit many events")
        .says(
            "One transaction, one result per event, in the order of the events. Lines (`application/x-ndjson`, an event \
             each) may be any number: every 1,000 of them or every MiB is a transaction of its own, and with \
             `Accept: application/x-ndjson` the results are streamed, the last line being a summary: without it send the \
             rest again. A CloudEvent alone, in either mode, is a batch of one.",
        )
        .on(ServedOn::Api)
        .needs(&[Scope::Write])
        .parameters(&["IdempotencyKey", "Prefer", "TraceParent", "TraceState"])
        .body(true, &body);
    reported(operation, &report)
        .answers_as(200, "", NDJSON, lines)
        .with_header(200, "Preference-Applied")
        .problems(&OF_BATCHES)
        .problems(&OF_THE_PIPELINE)
        .problems(&[Problem::BatchRefused, Problem::Rejected(RejectCode::EventNotObject)])
}

fn validate(schemas: &mut Schemas, forms: &Forms) -> Operation {
    let (report, lines) = reports(schemas);
    let judged = Schemas::any(&[schemas.of::<shapes::Valid>(), report.clone()]);
    let body = [
        (JSON, Schemas::any(&[forms.event.clone(), forms.batch.clone()])),
        (NDJSON, forms.event.clone()),
        (CLOUD_EVENT, forms.cloud.clone()),
        (CLOUD_EVENTS, forms.clouds.clone()),
    ];
    Operation::new(Method::POST, "/api/v1/events/validate", TAG, "validateEvents", "Check events without storing them")
        .says("What would become of an event, a batch, or lines. Nothing is stored, and no key is looked up.")
        .on(ServedOn::Api)
        .needs(&[Scope::Write])
        .body(true, &body)
        .answers(200, "All would be taken", judged)
        .answers_as(200, "", NDJSON, lines)
        .answers(207, "Some would be refused", report.clone())
        .answers(422, "All would be refused", report)
        .problems(&OF_BATCHES)
        .problems(&[Problem::Overloaded])
        .problems(&RejectCode::ALL.map(Problem::Rejected))
}

/// The reports of a batch or lines, and the lines of streamed results.
fn reports(schemas: &mut Schemas) -> (Value, Value) {
    let report = Schemas::any(&[schemas.of::<shapes::BatchReport<'_>>(), schemas.of::<shapes::LinesReport>()]);
    (report, Schemas::any(&[schemas.of::<shapes::ItemResult>(), schemas.of::<shapes::LinesSummary>()]))
}

/// `operation` with the statuses of a report.
fn reported(operation: Operation, report: &Value) -> Operation {
    let meanings = [
        (200, "All went well"),
        (202, "All went well, and some events wait"),
        (207, "Some events are no success"),
        (422, "No event is a success"),
    ];
    meanings.into_iter().fold(operation, |operation, (status, text)| operation.answers(status, text, report.clone()))
}

fn process(schemas: &mut Schemas, limits: &LimitsConfig) -> Operation {
    let report = schemas.of::<shapes::BatchReport<'_>>();
    let order = schemas.body("ProcessOrder", process_order(limits));
    let operation = Operation::new(
        Method::POST,
        "/api/v1/events/process",
        TAG,
        "processEvents",
        "Process stored events",
    )
    .says(
        "In one transaction. What is processed already gives its stored result unless `force` is set; an id that does \
             not exist, or belongs to another user, has the result `not_found`.",
    )
    .on(ServedOn::Api)
    .needs(&[Scope::Operate])
    .body(true, &[(JSON, order)]);
    reported(operation, &report)
        .problems(&[Problem::BatchEmpty, Problem::BatchTooLarge, Problem::Overloaded])
        .problems(&[RejectCode::MissingField, RejectCode::InvalidField].map(Problem::Rejected))
}

fn retry(schemas: &mut Schemas) -> Operation {
    let outcome = Schemas::any(&outcome_of(schemas));
    let order = schemas.body("RetryOfOne", retry_of_one());
    Operation::new(Method::POST, "/api/v1/events/{id}/retry", TAG, "retryEvent", "Process an event anew")
        .says("One that failed, was refused, was cancelled, or waits for its next attempt.")
        .needs(&[Scope::Operate])
        .parameter("Id")
        .body(false, &[(JSON, order)])
        .answers(200, "Its outcome", outcome)
        .answers(202, "It is at work, or waits for another attempt", schemas.of::<shapes::Enqueued>())
        .with_header(202, "Location")
        .problems(&[Problem::NotFound, Problem::NotReplayable, Problem::InProgress, Problem::EventUidConflict])
        .problems(&[Problem::Overloaded, Problem::EventInSpool, Problem::EventUnreadable])
        .problems(&RejectCode::ALL.map(Problem::Rejected))
}

fn cancel(schemas: &mut Schemas) -> Operation {
    Operation::new(Method::POST, "/api/v1/events/{id}/cancel", TAG, "cancelEvent", "Call an event off")
        .says("One that waits for its next attempt, or is at work. Calling it off again changes nothing.")
        .needs(&[Scope::Operate])
        .parameter("Id")
        .answers(200, "It is cancelled", schemas.of::<shapes::Cancelled>())
        .problems(&[Problem::NotFound, Problem::NotReplayable, Problem::EventInSpool, Problem::EventUnreadable])
}

fn show(schemas: &mut Schemas) -> Operation {
    Operation::new(Method::GET, "/api/v1/events/{id}", TAG, "showEvent", "Show an event")
        .says("With `Prefer: wait=N` when it is finished, or after N seconds.")
        .needs(&[Scope::Read])
        .parameters(&["Id", "Prefer"])
        .answers(200, "The event", schemas.of::<shapes::EventView<'_>>())
        .with_header(200, "Preference-Applied")
        .problems(&[Problem::NotFound, Problem::EventInSpool, Problem::EventUnreadable, Problem::InvalidRequest])
}

fn timeline(schemas: &mut Schemas) -> Operation {
    Operation::new(Method::GET, "/api/v1/events/{id}/timeline", TAG, "showTimeline", "Show what happened to an event")
        .says("Every attempt with its times, its node, its error, and when the next one is due.")
        .needs(&[Scope::Read])
        .parameter("Id")
        .answers(200, "Its timeline", schemas.of::<shapes::TimelineView>())
        .problems(&[Problem::NotFound, Problem::EventInSpool, Problem::EventUnreadable])
}

fn list(schemas: &mut Schemas) -> Operation {
    Operation::new(Method::GET, "/api/v1/events", TAG, "listEvents", "List events")
        .says(
            "What existed at the first page and matches throughout is on exactly one page. `event_type`, `error_code`, and a \
             `status` other than `failed` and `validation_error` need a time range of at most 31 days.",
        )
        .needs(&[Scope::Read])
        .parameters(&FILTERS)
        .parameters(&["Order", "Limit", "Cursor"])
        .answers(200, "A page; a short one need not be the last, `next_cursor` says so", schemas.of::<shapes::EventPage<'_>>())
        .with_header(200, "Link")
        .problems(&[Problem::InvalidRequest, Problem::InvalidCursor])
}

fn export(schemas: &mut Schemas) -> Operation {
    let line = [
        schemas.of::<shapes::EventView<'_>>(),
        schemas.of::<shapes::UnreadableLine<'_>>(),
        schemas.of::<shapes::CursorLine>(),
        schemas.of::<shapes::SummaryLine>(),
    ];
    Operation::new(Method::GET, "/api/v1/events/export", TAG, "exportEvents", "Export events as lines")
        .says(
            "The filters of the list, any number of events. A line with a `cursor` tells now and then where to go on, one with \
             `unreadable` names an event that cannot be read; the last line is a `summary`: without it the export is not \
             whole.",
        )
        .on(ServedOn::Api)
        .needs(&[Scope::Read])
        .parameters(&FILTERS)
        .parameters(&["Order", "Cursor"])
        .answers_as(200, "A line each", NDJSON, Schemas::any(&line))
        .problems(&[Problem::InvalidRequest, Problem::InvalidCursor, Problem::Overloaded])
}

fn stream(schemas: &mut Schemas) -> Operation {
    let outcome = schemas.of::<shapes::OutcomeView<'_>>();
    let text = json!({"type": "string", "description": "Server-sent events.", "contentSchema": outcome});
    Operation::new(Method::GET, "/api/v1/events/stream", TAG, "streamOutcomes", "Follow outcomes as they happen")
        .says(
            "Server-sent events `outcome`, and `gap` where some may be missing. The `id` of the last one seen goes on from \
             there, for at least 50 minutes.",
        )
        .needs(&[Scope::Read])
        .parameters(&["Status", "EventName", "EventType", "LastEventId"])
        .answers_as(200, "The stream", "text/event-stream", text)
        .problems(&[Problem::InvalidRequest, Problem::Overloaded])
}
