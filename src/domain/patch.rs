//! A JSON merge patch (RFC 7396) on a payload's text: what it does not change stays byte for byte as it was.
//!
//! Values are never built, so that no digit of a number is lost. The recursion goes as deep as the patch, which is held
//! to the limits of a payload when it is read; how deep the payload is does not matter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{JsonKind, JsonText};
use super::payload::{PayloadLimits, validate_payload_shape};
use super::rejection::Rejection;

/// What an operator changes in payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch(JsonText);

impl Patch {
    /// Takes `text` as a patch: an object within the limits of a payload, because all of its objects come to be.
    pub fn new(text: JsonText, limits: &PayloadLimits) -> Result<Self, Rejection> {
        validate_payload_shape(Some(&text), limits)?;
        Ok(Self(text))
    }

    /// The patch as it was sent.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The payload after the patch; one that is not an object counts as an empty one.
    pub fn apply(&self, payload: Option<&JsonText>) -> Result<JsonText, serde_json::Error> {
        let mut text = String::new();
        merge(payload.map(JsonText::as_str), self.as_str(), &mut text)?;
        JsonText::parse(text)
    }
}

/// Writes `target`, changed by the object `patch`, to `text`.
fn merge(target: Option<&str>, patch: &str, text: &mut String) -> Result<(), serde_json::Error> {
    let target = target.filter(|target| JsonKind::of(target) == JsonKind::Object);
    let old = target.map(members).transpose()?.unwrap_or_default();
    let changes = members(patch)?;
    let last_old = places(&old);
    let last_change = places(&changes);
    let mut object = Object::open(text);
    for (place, member) in old.iter().enumerate() {
        let name = member.name();
        // Of repeated keys the last one counts.
        if last_old.get(&name) == Some(&place) {
            let change = last_change.get(&name).map(|place| changes[*place].value);
            object.write(member.key, Some(member.value), change)?;
        }
    }
    for (place, change) in changes.iter().enumerate() {
        let name = change.name();
        if last_change.get(&name) == Some(&place) && !last_old.contains_key(&name) {
            object.write(change.key, None, Some(change.value))?;
        }
    }
    object.close();
    Ok(())
}

/// An object that is being written.
struct Object<'t> {
    text: &'t mut String,
    is_empty: bool,
}

impl<'t> Object<'t> {
    fn open(text: &'t mut String) -> Self {
        text.push('{');
        Self { text, is_empty: true }
    }

    /// Writes the member that had the value `old` and is to have `change`; nothing if that is null.
    fn write(&mut self, key: &str, old: Option<&str>, change: Option<&str>) -> Result<(), serde_json::Error> {
        let Some(value) =
            change.filter(|change| JsonKind::of(change) != JsonKind::Null).or(old.filter(|_| change.is_none()))
        else {
            return Ok(());
        };
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(',');
        }
        self.text.push_str(key);
        self.text.push(':');
        if change.is_some() && JsonKind::of(value) == JsonKind::Object {
            return merge(old, value, self.text);
        }
        self.text.push_str(value);
        Ok(())
    }

    fn close(self) {
        self.text.push('}');
    }
}

/// A member of an object, as it appears in the text.
struct Member<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Member<'a> {
    /// The key without escapes; one that is not valid text counts as it is written.
    fn name(&self) -> Cow<'a, str> {
        match self.key.contains('\\') {
            true => serde_json::from_str::<String>(self.key).map_or(Cow::Borrowed(self.key), Cow::Owned),
            false => Cow::Borrowed(&self.key[1..self.key.len() - 1]),
        }
    }
}

/// The last position of each name.
fn places<'a>(members: &[Member<'a>]) -> HashMap<Cow<'a, str>, usize> {
    members.iter().enumerate().map(|(place, member)| (member.name(), place)).collect()
}

/// The members of the object `text`, in their order.
fn members(text: &str) -> Result<Vec<Member<'_>>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).deserialize_map(MembersVisitor)
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push(Member { key: key.get(), value: value.get() });
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };

    fn json(text: &str) -> JsonText {
        JsonText::parse(text).expect("valid JSON")
    }

    fn patched(payload: &str, patch: &str) -> String {
        let patch = Patch::new(json(patch), &LIMITS).expect("a patch");
        patch.apply(Some(&json(payload))).expect("both are JSON").as_str().to_owned()
    }

    #[test]
    fn what_is_not_touched_keeps_its_text_and_its_place() {
        for (payload, patch, result) in [
            (r#"{"b": 1.10, "a":9007199254740993}"#, r#"{"c":1e2}"#, r#"{"b":1.10,"a":9007199254740993,"c":1e2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, r#"{"b":"x"}"#, r#"{"a":1,"b":"x","c":3}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":null,"z":null}"#, r#"{"b":2}"#),
            (r#"{"a":{"b": 1.0,"c":[ 1,2 ]}}"#, r#"{"a":{"b":null}}"#, r#"{"a":{"c":[ 1,2 ]}}"#),
            (r#"{"a":[1]}"#, r#"{"a":{"b":{"c":null,"d":1}}}"#, r#"{"a":{"b":{"d":1}}}"#),
            (r#"{"a":null,"b":1}"#, r#"{"b":[null]}"#, r#"{"a":null,"b":[null]}"#),
            (r#"{"\u0061":1,"b":2}"#, r#"{"a":3}"#, r#"{"\u0061":3,"b":2}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"c":1}"#, r#"{"b":2,"a":3,"c":1}"#),
            (r#"{"":1}"#, r#"{"":2,"":{}}"#, r#"{"":{}}"#),
            ("[1]", r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ }", "{}", "{}"),
        ] {
            assert_eq!(patched(payload, patch), result, "{payload} and {patch}");
        }
    }

    #[test]
    fn an_absent_payload_is_patched_like_an_empty_one() {
        let patch = Patch::new(json(r#"{"a":{"b":null}}"#), &LIMITS).expect("a patch");
        assert_eq!(patch.apply(None).expect("JSON").as_str(), r#"{"a":{}}"#);
    }

    #[test]
    fn a_patch_is_an_object_that_a_payload_could_be() {
        let code = |text: &str| Patch::new(json(text), &LIMITS).err().map(|rejection| rejection.code().as_str());
        assert_eq!(code("{}"), None);
        assert_eq!(code("[1]"), Some("payload_not_object"));
        assert_eq!(code(r#"{"a":"\u0000"}"#), Some("payload_not_encodable"));
        let deep = format!("{}null{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        assert_eq!(code(&deep), Some("payload_too_deep"));
    }

    #[test]
    fn a_payload_of_any_depth_or_width_is_patched() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert_eq!(patched(&deep, r#"{"a":null}"#), "{}");
        let members: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":{n}")).collect();
        let wide = format!("{{{}}}", members.join(","));
        assert_eq!(patched(&wide, r#"{"7":null}"#).len(), wide.len() - 6);
    }

    /// The algorithm of RFC 7396, on values.
    fn by_the_book(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = if let Value::Object(target) = target { target } else { serde_json::Map::new() };
        for (name, value) in patch {
            match value {
                Value::Null => drop(target.remove(name)),
                _ => {
                    let old = target.remove(name).unwrap_or(Value::Null);
                    target.insert(name.clone(), by_the_book(old, value));
                }
            }
        }
        Value::Object(target)
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), "[a\"\\\\é]{0,2}".prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::btree_map("[ab\"\\\\]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[ab\"\\\\]", value, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_result_is_that_of_the_rfc(payload in object(), patch in object()) {
            let text = patched(&payload.to_string(), &patch.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), by_the_book(payload, &patch));
        }
    }
}
