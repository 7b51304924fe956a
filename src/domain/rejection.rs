//! Why an event is refused: stable codes, the reference's sentences, and the figures behind them.

use serde::Serialize;

/// The stable code of a reason to refuse an event; its text never changes once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// The event is not a JSON object.
    EventNotObject,
    /// The payload is neither an object nor null.
    PayloadNotObject,
    /// The payload holds text or a number that a database cannot store.
    PayloadNotEncodable,
    /// The payload has more bytes than the limit.
    PayloadTooLarge,
    /// The payload is nested deeper than the limit.
    PayloadTooDeep,
    /// `event_name` or `event_type` is absent, null or blank.
    MissingField,
    /// A field has a value of the wrong type or form.
    InvalidField,
    /// A field has more characters than the limit.
    FieldTooLong,
    /// The event's user does not exist.
    UserUnknown,
    /// The event's user is disabled.
    UserDisabled,
}

impl RejectCode {
    /// Every code, in the order of the checks.
    pub const ALL: [Self; 10] = [
        Self::EventNotObject,
        Self::PayloadNotObject,
        Self::PayloadNotEncodable,
        Self::PayloadTooLarge,
        Self::PayloadTooDeep,
        Self::MissingField,
        Self::InvalidField,
        Self::FieldTooLong,
        Self::UserUnknown,
        Self::UserDisabled,
    ];

    /// The code as it appears in answers and in `events.error_code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventNotObject => "event_not_object",
            Self::PayloadNotObject => "payload_not_object",
            Self::PayloadNotEncodable => "payload_not_encodable",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PayloadTooDeep => "payload_too_deep",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::FieldTooLong => "field_too_long",
            Self::UserUnknown => "user_unknown",
            Self::UserDisabled => "user_disabled",
        }
    }

    /// The code called `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

/// One thing that is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong.
    pub code: RejectCode,
    /// Where: a JSON pointer (RFC 6901) into the event.
    pub pointer: String,
    /// The figures: the thing, its value and the limit.
    pub detail: String,
}

impl Flaw {
    /// A flaw of the member at `pointer`.
    pub fn new(code: RejectCode, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, pointer: pointer.into(), detail: detail.into() }
    }
}

/// The verdict on a refused event: never retried, and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The first thing found wrong; it gives the answer its code.
    pub first: Flaw,
    /// What else was found wrong.
    pub others: Vec<Flaw>,
    /// The sentence for `error` and `processing_error`: the reference's where it gives one.
    pub error: String,
}

impl Rejection {
    /// A rejection that has the flaw's own detail as its sentence.
    pub fn of(first: Flaw) -> Self {
        Self { error: first.detail.clone(), first, others: Vec::new() }
    }

    /// A rejection with a sentence of its own.
    pub fn with_error(first: Flaw, error: impl Into<String>) -> Self {
        Self { first, others: Vec::new(), error: error.into() }
    }

    /// Adds further flaws, which a client can mend in the same go.
    pub fn and(mut self, others: impl IntoIterator<Item = Flaw>) -> Self {
        self.others.extend(others);
        self
    }

    /// The code that the answer carries.
    pub fn code(&self) -> RejectCode {
        self.first.code
    }

    /// All flaws, the first one first.
    pub fn flaws(&self) -> impl Iterator<Item = &Flaw> {
        std::iter::once(&self.first).chain(&self.others)
    }
}
