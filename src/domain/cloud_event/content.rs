//! What a CloudEvent says, however it was sent: the same event may come in another mode, or made anew with the same
//! `source` and `id`.

use std::borrow::Cow;

use base64::Engine;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::{ATTRIBUTES, BASE64, EVENT_TYPE, Members};
use crate::domain::json::{JsonKind, SPACE, check_syntax, integer};
use crate::domain::submission::Submission;

const TIME: &str = "time";
const DATA_TYPE: &str = "datacontenttype";

/// Attributes that make no other event: libraries fill the time in when an event is made, name the type of its data in
/// one mode only, and a trace is that of the request.
const INCIDENTAL: [&str; 4] = [DATA_TYPE, TIME, "traceparent", "tracestate"];

/// Levels of data whose values are compared; below them the text counts.
const LEVELS_MAX: usize = 16;

/// A CloudEvent as it is kept.
pub struct Content<'a> {
    attributes: Members<'a>,
    data: Members<'a>,
}

impl<'a> Content<'a> {
    /// Of a submission; `None` if it is not a CloudEvent.
    pub fn of(submission: &'a Submission) -> Option<Self> {
        let payload = submission.payload.as_ref().filter(|_| submission.event_type.as_deref() == Some(EVENT_TYPE))?;
        let mut data: Members<'a> = serde_json::from_str(payload.as_str()).ok()?;
        let attributes = serde_json::from_str(data.remove(ATTRIBUTES)?.get()).ok()?;
        Some(Self { attributes, data })
    }

    /// Passes what makes it this event, part by part: attributes by their text, as headers have them, and data by its
    /// bytes, or its value where that is JSON.
    pub fn parts(&self, mut part: impl FnMut(&[u8])) {
        for (name, value) in self.attributes.iter().filter(|(name, _)| !INCIDENTAL.contains(&name.as_str())) {
            part(name.as_bytes());
            part(text_of(value).as_bytes());
        }
        part(b"data");
        let only = |name: &str| self.data.get(name).filter(|_| self.data.len() == 1).map(|value| value.get());
        let text = |value: &str| serde_json::from_str::<String>(value).ok();
        if let Some(bytes) = only("data_base64").and_then(text).and_then(|base64| BASE64.decode(base64).ok()) {
            bytes_parts(&bytes, &mut part);
        } else if let Some(value) = only("data") {
            let bytes = text(value).map_or_else(|| Cow::Borrowed(value), Cow::Owned);
            bytes_parts(bytes.as_bytes(), &mut part);
        } else {
            members_parts(&self.data, LEVELS_MAX, &mut part);
        }
    }
}

/// What may differ between two sendings of one event, and is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incidental {
    /// When it happened, by its sender's account.
    pub time: Option<DateTime<Utc>>,
    /// The type of its data.
    pub data_type: Option<String>,
}

impl Incidental {
    /// Longest type of data that is compared.
    pub const DATA_TYPE_CHARS: usize = 255;

    /// Of a submission; empty if it is not a CloudEvent.
    pub fn of(submission: &Submission) -> Self {
        let Some(content) = Content::of(submission) else { return Self::default() };
        let data_type = content.attributes.get(DATA_TYPE).map(|value| text_of(value));
        let data_type = data_type.map(|text| text.chars().take(Self::DATA_TYPE_CHARS).collect());
        Self { time: submission.timestamp, data_type }
    }

    /// The attributes in which `other` differs.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [(TIME, self.time != other.time), (DATA_TYPE, self.data_type != other.data_type)];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// An attribute as headers have it: 5 is `5`, and a boolean `true`, also where a library writes `True`.
fn text_of(value: &RawValue) -> Cow<'_, str> {
    let text: Cow<'_, str> = match JsonKind::of(value.get()) {
        JsonKind::String => serde_json::from_str::<String>(value.get()).map_or_else(|_| value.get().into(), Cow::Owned),
        JsonKind::Number => number(value.get()),
        _ => value.get().into(),
    };
    let boolean = ["true", "false"].into_iter().find(|word| text.eq_ignore_ascii_case(word));
    boolean.map_or(text, Cow::Borrowed)
}

/// 5 and 5.0 are the same number.
fn number(text: &str) -> Cow<'_, str> {
    integer(text).map_or(text.into(), |number| number.to_string().into())
}

/// Data as the body of a request has it. None at all, `null` and `{}` are alike.
fn bytes_parts(bytes: &[u8], part: &mut dyn FnMut(&[u8])) {
    let text = std::str::from_utf8(bytes).ok().map(|text| text.trim_matches(SPACE));
    let text = text.filter(|text| text.is_empty() || check_syntax(text).is_ok());
    match text.map(|text| (text, serde_json::from_str::<String>(text))) {
        None => part(bytes),
        Some((_, Ok(string))) => part(string.as_bytes()),
        Some(("" | "null", _)) => members_parts(&Members::new(), LEVELS_MAX, part),
        Some((text, _)) => value_parts(text, LEVELS_MAX, part),
    }
}

/// A value, whatever its white space, its escapes and the order of its keys.
fn value_parts(text: &str, levels: usize, part: &mut dyn FnMut(&[u8])) {
    match JsonKind::of(text) {
        JsonKind::Object if levels > 0 => {
            if let Ok(members) = serde_json::from_str(text) {
                return members_parts(&members, levels, part);
            }
        }
        JsonKind::Array if levels > 0 => {
            if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
                part(b"[");
                items.iter().for_each(|item| value_parts(item.get(), levels - 1, part));
                return part(b"]");
            }
        }
        JsonKind::String => {
            if let Ok(string) = serde_json::from_str::<String>(text) {
                part(b"\"");
                return part(string.as_bytes());
            }
        }
        JsonKind::Number => return part(number(text).as_bytes()),
        _ => {}
    }
    part(text.as_bytes());
}

fn members_parts(members: &Members<'_>, levels: usize, part: &mut dyn FnMut(&[u8])) {
    part(b"{");
    for (name, value) in members {
        part(name.as_bytes());
        value_parts(value.get(), levels - 1, part);
    }
    part(b"}");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn submission(more: &str) -> Submission {
        let text = format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1"{more}}}"#);
        super::super::read(&Bytes::new(), &text).expect("a readable event")
    }

    fn parts(more: &str) -> Vec<Vec<u8>> {
        let submission = submission(more);
        let mut parts = Vec::new();
        Content::of(&submission).expect("a CloudEvent").parts(|part| parts.push(part.to_vec()));
        parts
    }

    #[test]
    fn the_same_event_has_the_same_content_in_whichever_form() {
        for alike in [
            &[r#","ext":5,"n":true"#, r#","ext":"5","n":"true""#, r#","n":"True","ext":5.0"#][..],
            &[
                "",
                r#","data":null"#,
                r#","data":"""#,
                r#","data":{}"#,
                r#","data_base64":"""#,
                r#","data_base64":"e30=""#,
            ],
            &[r#","data":"text""#, r#","data_base64":"dGV4dA==""#, r#","data_base64":"InRleHQi""#],
            &[r#","data":5"#, r#","data":5.0"#, r#","data":"5""#, r#","data_base64":"NQ==""#],
            &[
                r#","data":{"a":[1,{"b":"\u00e9"}],"c":2}"#,
                ",\"data\": { \"c\" : 2,\n\"a\": [1, {\"b\": \"\u{e9}\"}]}",
                r#","data":"{\"a\": [1, {\"b\": \"\u00e9\"}], \"c\": 2}""#,
                r#","data_base64":"eyJhIjpbMSx7ImIiOiLDqSJ9XSwiYyI6Mn0=""#,
            ],
            &[r#","data":{"ce_attributes":1}"#, r#","data_base64":"eyJjZV9hdHRyaWJ1dGVzIjoxfQ==""#],
            &[
                r#","time":"2018-04-05T17:31:00Z","datacontenttype":"application/json","data":[]"#,
                r#","time":"2019-04-05T17:31:00Z","traceparent":"x","tracestate":"y","data":[ ]"#,
            ],
        ] {
            let contents: Vec<_> = alike.iter().map(|more| parts(more)).collect();
            assert!(contents.windows(2).all(|pair| pair[0] == pair[1]), "{alike:?}: {contents:?}");
        }
    }

    #[test]
    fn another_event_has_other_content() {
        let all = [
            "",
            r#","ext":"5""#,
            r#","ext":"6""#,
            r#","ext":5.5"#,
            r#","subject":"5""#,
            r#","dataschema":"x""#,
            r#","data":5"#,
            r#","data":[5]"#,
            r#","data":["5"]"#,
            r#","data":[[5]]"#,
            r#","data":{"a":5}"#,
            r#","data":{"a":"5"}"#,
            r#","data":{"a":{}}"#,
            r#","data":{"ext":"5"}"#,
            r#","data":"text ""#,
            r#","data_base64":"AAE=""#,
        ];
        let contents: std::collections::BTreeSet<_> = all.iter().map(|more| parts(more)).collect();
        assert_eq!(contents.len(), all.len());
        assert!(Content::of(&Submission { event_type: None, ..submission("") }).is_none());
    }

    #[test]
    fn what_differs_between_two_sendings_is_named() {
        let of = |more: &str| Incidental::of(&submission(more));
        let early = of(r#","time":"2018-04-05T17:31:00Z""#);
        let late = of(r#","time":"2018-04-05T17:31:01Z""#);
        assert_eq!(early.differences(&late), ["time"]);
        assert_eq!(early.differences(&of("")), ["time"]);
        assert_eq!(of(r#","datacontenttype":"text/plain""#).differences(&early), ["time", "datacontenttype"]);
        assert_eq!(early.differences(&early.clone()), Vec::<&str>::new());
        assert_eq!(Incidental::of(&Submission::default()), Incidental::default());
    }
}
