//! One operation as the document describes it: what it takes, what it answers, which problems it knows.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use super::schemas::{JSON, PROBLEM_JSON};
use crate::domain::scopes::Scope;
use crate::http::problems::Problem;

/// Problems of every request, whatever it is.
const OF_EVERY: [Problem; 4] =
    [Problem::ExpectationFailed, Problem::InternalError, Problem::DatabaseUnavailable, Problem::Draining];
/// Problems of a request that needs a token.
const OF_TOKENS: [Problem; 2] = [Problem::Unauthorized, Problem::RateLimited];
/// Problems of a request with a body.
const OF_BODIES: [Problem; 7] = [
    Problem::InvalidJson,
    Problem::InvalidRequest,
    Problem::InvalidContentEncoding,
    Problem::RequestTimeout,
    Problem::BodyTooLarge,
    Problem::UnsupportedMediaType,
    Problem::UnsupportedContentEncoding,
];

/// What the description of an operation says that only the API's port has.
pub const ON_API_PORT_ONLY: &str = "On the API's port only.";
/// What the description of an operation says that only the operations port has.
pub const ON_OPERATIONS_PORT_ONLY: &str = "On the operations port only.";

/// The ports that have an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ServedOn {
    /// The API's port and the operations port.
    Both,
    /// The API's port.
    Api,
    /// The operations port.
    Operations,
}

/// One operation.
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with `{name}` for what varies.
    pub path: &'static str,
    ports: ServedOn,
    members: Map<String, Value>,
    parameters: Vec<Value>,
    answers: BTreeMap<u16, OperationResponse>,
    problems: Vec<Problem>,
}

#[derive(Default)]
struct OperationResponse {
    description: String,
    content: Map<String, Value>,
    headers: Map<String, Value>,
    links: Map<String, Value>,
}

impl Operation {
    /// An operation of both ports under its own id, in the group `tag`.
    pub fn new(method: Method, path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        let mut members = Map::new();
        members.insert("operationId".to_owned(), id.into());
        members.insert("tags".to_owned(), json!([tag]));
        members.insert("summary".to_owned(), summary.into());
        members.insert("security".to_owned(), json!([]));
        Self {
            method,
            path,
            ports: ServedOn::Both,
            members,
            parameters: Vec::new(),
            answers: BTreeMap::new(),
            problems: OF_EVERY.to_vec(),
        }
    }

    /// Which ports have it, if not both.
    pub fn on(mut self, ports: ServedOn) -> Self {
        self.ports = ports;
        self
    }

    /// What the summary leaves open.
    pub fn says(mut self, description: &str) -> Self {
        self.members.insert("description".to_owned(), description.into());
        self
    }

    /// Any valid token is enough.
    pub fn needs_token(mut self) -> Self {
        self.members.insert("security".to_owned(), json!([{"token": []}]));
        self.problems(&OF_TOKENS)
    }

    /// A token is needed on one port and not on the other.
    pub fn takes_token(self) -> Self {
        let mut open = self.needs_token();
        open.members.insert("security".to_owned(), json!([{}, {"token": []}]));
        open
    }

    /// The token needs one of these scopes.
    pub fn needs(self, scopes: &[Scope]) -> Self {
        let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let mut needy = self.needs_token();
        needy.members.insert("security".to_owned(), names.iter().map(|name| json!({"token": [name]})).collect());
        needy.problems(&[Problem::Forbidden])
    }

    /// With what the operations port adds: other sites' pages change nothing, and a browser without a session is sent to
    /// the login. Where no other port has the operation, a session is named beside the token.
    fn with_port_additions(mut self) -> Self {
        if self.ports == ServedOn::Api {
            return self;
        }
        let security =
            self.members.get_mut("security").and_then(Value::as_array_mut).expect("every operation has some");
        let is_closed = !security.is_empty();
        if self.ports == ServedOn::Operations {
            let scopes = security.iter().filter_map(|scheme| scheme.get("token"));
            let sessions: Vec<Value> = scopes.map(|scopes| json!({"session": scopes})).collect();
            security.extend(sessions);
        }
        if self.method != Method::GET {
            return self.problems(&[Problem::CrossSite]);
        }
        if !is_closed {
            return self;
        }
        self.answers_nothing(303, "On the operations port: a browser without a session is sent to the login")
            .with_header(303, "Location")
    }

    /// The description with the port, if there is but one.
    fn description(&self) -> String {
        let text = self.members.get("description").and_then(Value::as_str).unwrap_or_default();
        let port = match self.ports {
            ServedOn::Both => "",
            ServedOn::Api => ON_API_PORT_ONLY,
            ServedOn::Operations => ON_OPERATIONS_PORT_ONLY,
        };
        [text, port].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }

    /// A parameter that is shared, by its name among the components.
    pub fn parameter(mut self, name: &str) -> Self {
        self.parameters.push(json!({"$ref": format!("#/components/parameters/{name}")}));
        self
    }

    /// Parameters that are shared.
    pub fn parameters(self, names: &[&str]) -> Self {
        names.iter().fold(self, |operation, name| operation.parameter(name))
    }

    /// A body in one of these media types, each with its schema.
    pub fn body(mut self, is_required: bool, forms: &[(&str, Value)]) -> Self {
        let content: Map<String, Value> =
            forms.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema}))).collect();
        self.members.insert("requestBody".to_owned(), json!({"required": is_required, "content": content}));
        self.problems(&OF_BODIES)
    }

    /// A body as a browser sends a form. What is wrong with it is not reported as a problem.
    pub fn form(mut self, schema: Value) -> Self {
        let content = json!({"application/x-www-form-urlencoded": {"schema": schema}});
        self.members.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
        self
    }

    /// An answer without a body.
    pub fn answers_nothing(mut self, status: u16, description: &str) -> Self {
        self.answers.entry(status).or_default().description = description.to_owned();
        self
    }

    /// An answer in JSON.
    pub fn answers(self, status: u16, description: &str, schema: Value) -> Self {
        self.answers_as(status, description, JSON, schema)
    }

    /// An answer in another media type.
    pub fn answers_as(mut self, status: u16, description: &str, media: &str, schema: Value) -> Self {
        let answer = self.answers.entry(status).or_default();
        if answer.description.is_empty() {
            answer.description = description.to_owned();
        }
        answer.content.insert(media.to_owned(), json!({"schema": schema}));
        self
    }

    /// A header of an answer that was named before, by its name among the components.
    pub fn with_header(mut self, status: u16, name: &str) -> Self {
        let reference = json!({"$ref": format!("#/components/headers/{name}")});
        self.answers.entry(status).or_default().headers.insert(name.to_owned(), reference);
        self
    }

    /// Where a member of an answer leads: it is the parameter `id` of `operation`.
    pub fn leads_to(mut self, status: u16, operation: &str, member: &str) -> Self {
        let link = json!({"operationId": operation, "parameters": {"id": format!("$response.body#/{member}")}});
        self.answers.entry(status).or_default().links.insert(operation.to_owned(), link);
        self
    }

    /// Problems that it knows beside those of every operation of its kind.
    pub fn problems(mut self, problems: &[Problem]) -> Self {
        self.problems.extend(problems.iter().filter(|problem| !self.problems.contains(problem)).collect::<Vec<_>>());
        self
    }

    /// The operation in the document's form.
    pub fn written(self) -> Value {
        let mut this = self.with_port_additions();
        let description = this.description();
        if !description.is_empty() {
            this.members.insert("description".to_owned(), description.into());
        }
        let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
        for problem in this.problems.drain(..) {
            by_status.entry(problem.entry().status.as_u16()).or_default().push(problem);
        }
        for (status, problems) in by_status {
            this.answers.entry(status).or_default().add_problems(status, &problems);
        }
        if !this.parameters.is_empty() {
            this.members.insert("parameters".to_owned(), this.parameters.into());
        }
        let answers: Map<String, Value> =
            this.answers.into_iter().map(|(status, answer)| (status.to_string(), answer.written())).collect();
        this.members.insert("responses".to_owned(), answers.into());
        this.members.into()
    }
}

impl OperationResponse {
    fn add_problems(&mut self, status: u16, problems: &[Problem]) {
        let codes: Vec<&str> = problems.iter().map(|problem| problem.entry().code).collect();
        let titles: Vec<String> =
            problems.iter().map(|problem| format!("`{}`: {}", problem.entry().code, problem.entry().title)).collect();
        let list = titles.join(" · ");
        self.description = if self.description.is_empty() { list } else { format!("{}, or {list}", self.description) };
        let narrowed = json!({"properties": {"status": {"const": status}, "code": {"enum": codes}}});
        let schema = json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]});
        self.content.insert(PROBLEM_JSON.to_owned(), json!({"schema": schema}));
        for header in headers_of(status) {
            self.headers.insert((*header).to_owned(), json!({"$ref": format!("#/components/headers/{header}")}));
        }
    }

    fn written(self) -> Value {
        let mut members = Map::new();
        members.insert("description".to_owned(), self.description.into());
        let everywhere = ["X-Request-Id", "Server-Timing"]
            .map(|name| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})));
        members.insert("headers".to_owned(), self.headers.into_iter().chain(everywhere).collect::<Map<_, _>>().into());
        for (name, map) in [("content", self.content), ("links", self.links)] {
            if !map.is_empty() {
                members.insert(name.to_owned(), map.into());
            }
        }
        members.into()
    }
}

/// Headers that come with every problem of this status.
fn headers_of(status: u16) -> &'static [&'static str] {
    match status {
        401 | 403 => &["WWW-Authenticate"],
        429 | 503 => &["Retry-After"],
        _ => &[],
    }
}
