//! The schemas of the document: of answers as their types have them, of bodies as they are read, with the limits in
//! effect.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::config::LimitsConfig;
use crate::domain::scopes::Scopes;
use crate::domain::submission::NAME_CHARS_MAX;
use crate::http::error;

/// The media type of most bodies and answers.
pub const JSON: &str = "application/json";
/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// The media type of lines.
pub const NDJSON: &str = "application/x-ndjson";

/// The media type of pages.
pub const HTML: &str = "text/html";

/// A text that is more than blanks and has no NUL.
const NAME_PATTERN: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";
/// A text without a NUL, which no database takes.
const TEXT_PATTERN: &str = r"^[^\u0000]*$";
/// A text without control characters.
const LABEL_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// Base64 with its padding.
const BASE64_PATTERN: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
/// A whole number with its unit.
pub const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";

/// Collects the schemas that the document refers to.
pub struct Schemas {
    generator: SchemaGenerator,
    bodies: Map<String, Value>,
}

impl Schemas {
    /// None yet but that of problems.
    pub fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let mut schemas = Self { generator: settings.into_generator(), bodies: Map::new() };
        schemas.of::<error::ProblemBody>();
        schemas
    }

    /// The schema of an answer.
    pub fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// The schema of an answer that takes one of several forms.
    pub fn any(forms: &[Value]) -> Value {
        json!({"anyOf": forms})
    }

    /// The schema of a body under its name.
    pub fn body(&mut self, name: &str, schema: Value) -> Value {
        self.bodies.insert(name.to_owned(), schema);
        Self::named(name)
    }

    /// The schema of this name, wherever it is described.
    pub fn named(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// Those by their names that `paths` lead to.
    pub fn finish(mut self, paths: &Map<String, Value>) -> Value {
        let mut rest = self.generator.take_definitions(true);
        rest.extend(self.bodies);
        let mut used = Map::new();
        let mut places = vec![Value::from(paths.clone())];
        while let Some(place) = places.pop() {
            for name in names_in(&place.to_string()) {
                if let Some(schema) = rest.remove(&name) {
                    places.push(schema.clone());
                    used.insert(name, schema);
                }
            }
        }
        used.into()
    }
}

/// The names of schemas that a part of the document refers to.
fn names_in(text: &str) -> Vec<String> {
    let references = text.split("\"#/components/schemas/").skip(1);
    references.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// One event as it is posted.
pub fn new_event(limits: &LimitsConfig, storable: &Value) -> Value {
    let payload = format!(
        "Any object of at most {} bytes and {} levels, with numbers of at most {} characters.",
        limits.payload_bytes, limits.payload_depth, limits.number_chars
    );
    json!({
        "type": "object",
        "required": ["event_name", "event_type"],
        "properties": {
            "event_name": name("What happened."),
            "event_type": name("What kind of event it is."),
            "payload": {"type": ["object", "null"], "description": payload, "allOf": [storable]},
            "user_id": {
                "type": ["integer", "null"], "format": "int64", "minimum": 1,
                "description": "Whose event it is; another user than the token's needs the scope `write:all`.",
            },
            "event_uid": {
                "type": ["string", "null"], "minLength": 1, "maxLength": NAME_CHARS_MAX, "pattern": TEXT_PATTERN,
                "description": "The event's key: what is sent again under it is stored once.",
            },
            "timestamp": time_or_null("When it happened, RFC 3339."),
        },
        "example": {
            "event_name": "page_view", "event_type": "engagement", "payload": {"page": "/pricing"},
            "event_uid": "7c9e6679", "timestamp": "2026-01-01T10:00:00Z",
        },
    })
}

/// JSON that a database can store: no NUL in any text.
pub fn storable(own: &Value) -> Value {
    json!({
        "description": "Any JSON without the character U+0000 in a text or a member's name.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": TEXT_PATTERN},
            {"type": "array", "items": own},
            {"type": "object", "propertyNames": {"pattern": TEXT_PATTERN}, "additionalProperties": own},
        ],
    })
}

/// A batch: a list of events, bare or under `events`.
pub fn new_batch(limits: &LimitsConfig, event: &Value) -> Value {
    let list = json!({"type": "array", "items": event, "minItems": 1, "maxItems": limits.batch_events});
    json!({"anyOf": [{"type": "object", "required": ["events"], "properties": {"events": list}}, list]})
}

/// A CloudEvent in its JSON format.
pub fn cloud_event(storable: &Value) -> Value {
    let attribute = json!({"type": "string", "minLength": 1, "pattern": TEXT_PATTERN});
    json!({
        "type": "object",
        "description": "CloudEvents 1.0: `type` is the event's name, `source` and `id` its key, `data` its payload. \
            Attributes stand in the payload under `ce_attributes`, so they may have two levels less than it.",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": attribute,
            "source": attribute,
            "type": name("The event's name."),
            "time": time_or_null("When it happened."),
            "data": storable,
            "data_base64": {"type": ["string", "null"], "contentEncoding": "base64", "pattern": BASE64_PATTERN},
        },
        "propertyNames": {"pattern": TEXT_PATTERN},
        "additionalProperties": storable,
        "not": {
            "required": ["data", "data_base64"],
            "properties": {"data": {"not": {"type": "null"}}, "data_base64": {"type": "string"}},
        },
    })
}

/// Stored events that are to be processed.
pub fn process_order(limits: &LimitsConfig) -> Value {
    json!({
        "type": "object",
        "required": ["event_ids"],
        "properties": {
            "event_ids": {
                "type": "array", "items": {"type": "integer", "format": "int64"},
                "minItems": 1, "maxItems": limits.batch_events,
            },
            "force": {"type": ["boolean", "null"], "description": "Process what is processed anew."},
        },
    })
}

/// A token that is to be made.
pub fn new_token() -> Value {
    let scopes: Vec<&str> = Scopes::all().iter().map(|scope| scope.name()).collect();
    json!({
        "type": "object",
        "required": ["scopes"],
        "properties": {
            "user_id": {
                "type": ["integer", "null"], "format": "int64", "minimum": 1,
                "description": "Whose token it is; the caller's own user if it is left out.",
            },
            "name": {"type": ["string", "null"], "maxLength": NAME_CHARS_MAX, "pattern": LABEL_PATTERN},
            "scopes": {"type": "array", "minItems": 1, "items": {"enum": scopes}},
            "expires_in": {
                "type": ["string", "null"], "pattern": DURATION_PATTERN, "example": "90d",
                "description": "How long it works; not beside `expires_at`.",
            },
            "expires_at": time_or_null("Until when it works."),
        },
        "not": {"required": ["expires_in", "expires_at"]},
    })
}

/// How a token is to be rotated.
pub fn rotation() -> Value {
    json!({
        "type": "object",
        "properties": {
            "overlap": {
                "type": ["string", "null"], "pattern": DURATION_PATTERN, "default": "1h",
                "description": "How long the old secret goes on working.",
            },
        },
    })
}

/// A user that is to be made.
pub fn new_user() -> Value {
    json!({
        "type": "object",
        "required": ["email"],
        "properties": {"email": {"type": "string", "format": "email", "maxLength": 254}},
    })
}

/// What a pool is to become.
pub fn pool_size(most: u16) -> Value {
    json!({
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": ["integer", "null"], "minimum": 1, "maximum": most, "description": "Null: as configured."},
        },
        "additionalProperties": false,
    })
}

/// What can be changed of a user.
pub fn user_change() -> Value {
    json!({"type": "object", "required": ["disabled"], "properties": {"disabled": {"type": "boolean"}}})
}

fn name(description: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX, "pattern": NAME_PATTERN,
        "description": description,
    })
}

/// For generators: a format beside two types is not honoured by all of them.
fn time_or_null(description: &str) -> Value {
    json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "description": description})
}
