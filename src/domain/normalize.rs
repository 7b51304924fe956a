//! The normalised properties of an event: a table of typed fields beside the untouched original.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{JsonKind, JsonText};
use super::timestamp;

/// The fields that are extracted, each with its type; a new one is a new line here.
const FIELDS: [(&str, Type); 4] =
    [("page", Type::Text), ("referrer", Type::Text), ("duration", Type::Float), ("scroll_depth", Type::Float)];

/// What a field's value is converted to.
#[derive(Clone, Copy)]
enum Type {
    /// A trimmed string; numbers and booleans give their text, anything else the empty string.
    Text,
    /// A finite float; numeric strings are read, anything else gives `0.0`.
    Float,
}

/// Builds the properties of an event as JSON text: `original`, `normalized_at` and the typed fields that are present.
///
/// `payload` must have passed [`validate_payload_shape`](super::payload::validate_payload_shape).
pub fn normalize_event_payload(payload: Option<&JsonText>, normalized_at: DateTime<Utc>) -> String {
    let original = payload.map_or("null", JsonText::as_str);
    let mut properties = String::with_capacity(original.len() + 160);
    properties.push_str("{\"original\":");
    properties.push_str(original);
    properties.push_str(",\"normalized_at\":\"");
    properties.push_str(&timestamp::render(normalized_at));
    properties.push('"');
    for ((name, kind), raw) in FIELDS.iter().zip(members(original)) {
        let Some(raw) = raw else { continue };
        properties.push_str(",\"");
        properties.push_str(name);
        properties.push_str("\":");
        match kind {
            Type::Text => push_json_string(&mut properties, &text_of(raw)),
            Type::Float => properties
                .push_str(&serde_json::Number::from_f64(float_of(raw)).map_or("0.0".to_owned(), |n| n.to_string())),
        }
    }
    properties.push('}');
    properties
}

/// The payload that `properties` were made of, if there was one.
pub fn original_of(properties: &str) -> Result<Option<Box<RawValue>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Properties {
        original: Option<Box<RawValue>>,
    }
    serde_json::from_str::<Properties>(properties).map(|properties| properties.original)
}

fn push_json_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn string_of(raw: &str) -> String {
    serde_json::from_str::<String>(raw).unwrap_or_default()
}

fn text_of(raw: &str) -> String {
    match JsonKind::of(raw) {
        JsonKind::String => string_of(raw).trim().to_owned(),
        JsonKind::Number | JsonKind::Bool => raw.to_owned(),
        JsonKind::Null | JsonKind::Object | JsonKind::Array => String::new(),
    }
}

fn float_of(raw: &str) -> f64 {
    let parsed = match JsonKind::of(raw) {
        JsonKind::Number => raw.parse::<f64>(),
        JsonKind::String => string_of(raw).trim().parse::<f64>(),
        _ => return 0.0,
    };
    let value = parsed.ok().filter(|value| value.is_finite()).unwrap_or(0.0);
    // JSONB has no negative zero: adding zero makes both databases give the same text.
    value + 0.0
}

/// The texts of the members named in [`FIELDS`], in that order; of repeated members the last.
fn members(payload: &str) -> [Option<&str>; FIELDS.len()] {
    let mut deserializer = serde_json::Deserializer::from_str(payload);
    deserializer.deserialize_map(FieldsVisitor).unwrap_or_default()
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = [Option<&'de str>; FIELDS.len()];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Self::Value::default();
        while let Some(field) = map.next_key_seed(FieldSeed)? {
            let value = map.next_value::<&'de RawValue>()?.get();
            if let Some(field) = field {
                found[field] = Some(value);
            }
        }
        Ok(found)
    }
}

/// Reads a key as its position in [`FIELDS`].
struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(FIELDS.iter().position(|(name, _)| name.as_bytes() == key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalize(payload: &str) -> String {
        let at = timestamp::parse("2025-12-18T10:30:00.123456Z").expect("a valid time");
        normalize_event_payload(Some(&JsonText::parse(payload).expect("valid JSON")), at)
    }

    fn field(payload: &str, name: &str) -> Option<String> {
        let properties: serde_json::Value = serde_json::from_str(&normalize(payload)).expect("valid JSON");
        properties.get(name).map(ToString::to_string)
    }

    #[test]
    fn the_original_is_kept_as_received_beside_the_typed_fields() {
        assert_eq!(
            normalize(r#"{ "page": " /home ","duration":45, "x":[1.10] }"#),
            r#"{"original":{ "page": " /home ","duration":45, "x":[1.10] },"normalized_at":"2025-12-18T10:30:00.123456Z","page":"/home","duration":45.0}"#
        );
    }

    #[test]
    fn an_absent_payload_gives_a_null_original() {
        let at = timestamp::parse("2025-12-18T10:30:00Z").expect("a valid time");
        assert_eq!(
            normalize_event_payload(None, at),
            r#"{"original":null,"normalized_at":"2025-12-18T10:30:00.000000Z"}"#
        );
    }

    #[test]
    fn text_fields_are_trimmed_and_typed() {
        for (raw, expected) in [
            (r#"" /a ""#, r#""/a""#),
            ("\"\u{a0}\u{3000}\"", r#""""#),
            (r#""\u3000a\"b\u0009""#, r#""a\"b""#),
            ("1.10", r#""1.10""#),
            ("true", r#""true""#),
            ("null", r#""""#),
            ("{}", r#""""#),
            ("[1]", r#""""#),
        ] {
            for name in ["page", "referrer"] {
                assert_eq!(field(&format!(r#"{{"{name}":{raw}}}"#), name).as_deref(), Some(expected), "{raw}");
            }
        }
        assert_eq!(field("{}", "page"), None);
    }

    #[test]
    fn float_fields_are_finite_or_zero() {
        for (raw, expected) in [
            ("45", "45.0"),
            ("45.5", "45.5"),
            ("-1", "-1.0"),
            ("-0", "0.0"),
            ("1e308", "1e308"),
            (r#""45""#, "45.0"),
            (r#"" 45.5 ""#, "45.5"),
            (r#""1e400""#, "0.0"),
            (r#""abc""#, "0.0"),
            (r#""""#, "0.0"),
            (r#""NaN""#, "0.0"),
            (r#""inf""#, "0.0"),
            (r#""1_000""#, "0.0"),
            (r#""٤٥""#, "0.0"),
            ("true", "0.0"),
            ("null", "0.0"),
            ("[]", "0.0"),
            ("{}", "0.0"),
        ] {
            for name in ["duration", "scroll_depth"] {
                let found = field(&format!(r#"{{"{name}":{raw}}}"#), name).expect("present");
                assert_eq!(found.parse::<f64>(), expected.parse::<f64>(), "{raw}");
            }
        }
        assert_eq!(field("{}", "duration"), None);
    }

    #[test]
    fn of_repeated_fields_the_last_wins_also_through_escapes() {
        assert_eq!(field(r#"{"page":"a","p\u0061ge":"b"}"#, "page").as_deref(), Some(r#""b""#));
        assert_eq!(
            field(r#"{"original":1,"normalized_at":2}"#, "normalized_at").as_deref(),
            Some("\"2025-12-18T10:30:00.123456Z\"")
        );
    }

    proptest! {
        #[test]
        fn the_result_is_json_and_holds_the_original_word_for_word(
            page in any::<String>(), duration in any::<f64>(), other in any::<i64>(),
        ) {
            let payload = serde_json::json!({ "page": page, "duration": duration, "other": other }).to_string();
            let text = normalize(&payload);
            prop_assert!(text.contains(&payload));
            let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
            prop_assert_eq!(value["page"].as_str(), Some(page.trim()));
            let expected = if duration.is_finite() { duration + 0.0 } else { 0.0 };
            prop_assert_eq!(value["duration"].as_f64(), Some(expected));
        }
    }
}
