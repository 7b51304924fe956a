//! The parameters of a request's query, read by serde into a struct whose fields are all that there may be.
//!
//! A field is text, an enum of words, or a type made of text by `#[serde(try_from = "String")]`, whose error says what was
//! expected; numbers are of the last kind, so that they have bounds.
//!
//! Guaranteed: a parameter that is unknown or repeated is refused before any value is read, and the first wrong value,
//! in the order of the fields, is named with what was expected.

use std::fmt::{self, Display, Formatter};
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::ApiError;

/// Rows on a page when the client does not say.
pub const PAGE_DEFAULT: u64 = 50;
/// Most rows on a page.
pub const PAGE_MAX: u64 = 500;
/// Most characters of a parameter that are repeated in an answer.
const SHOWN_CHARS_MAX: usize = 40;

/// The parameters of a request.
pub struct Params<T>(pub T);

/// `limit`: most rows of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Limit(pub u64);

impl<T: DeserializeOwned + 'static> FromRequest for Params<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(of_query(request.query_string()).map(Self))
    }
}

/// Reads the query of a URL.
pub fn of_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|error| ApiError::invalid_request(format!("the query cannot be read: {error}")))?;
    of_pairs("parameter", pairs.into_inner())
}

/// Reads `pairs`, each of which is a `what`.
pub fn of_pairs<T: DeserializeOwned>(what: &'static str, pairs: Vec<(String, String)>) -> Result<T, ApiError> {
    T::deserialize(Pairs { what, pairs }).map_err(|ParamError(detail)| ApiError::invalid_request(detail))
}

/// A whole number from 1 to `most`.
pub fn whole(text: &str, most: u64) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && (1..=most).contains(number))
}

impl Default for Limit {
    fn default() -> Self {
        Self(PAGE_DEFAULT)
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        whole(&text, PAGE_MAX).map(Self).ok_or_else(|| format!("a whole number from 1 to {PAGE_MAX}"))
    }
}

/// What is wrong with the parameters; of a value, what was expected of it.
#[derive(Debug)]
struct ParamError(String);

impl Display for ParamError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ParamError {}

impl Error for ParamError {
    fn custom<T: Display>(detail: T) -> Self {
        Self(detail.to_string())
    }
}

/// The parameters as they were given.
struct Pairs {
    what: &'static str,
    pairs: Vec<(String, String)>,
}

impl Pairs {
    /// Refuses what is not among `known`, and what is there twice.
    fn check(&self, known: &[&str]) -> Result<(), ParamError> {
        let what = self.what;
        for (at, (name, _)) in self.pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = format!("the {what} {:?} is unknown, expected {}", shown(name), known.join(", "));
                return Err(ParamError(detail));
            }
            if self.pairs[..at].iter().any(|(present, _)| present == name) {
                return Err(ParamError(format!("the {what} {name} is repeated, expected it once")));
            }
        }
        Ok(())
    }
}

impl<'de> Deserializer<'de> for Pairs {
    type Error = ParamError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        self.check(fields)?;
        visitor.visit_map(FieldsInOrder { left: fields.iter(), pairs: self.pairs, next: None })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ParamError> {
        Err(ParamError("parameters are read into a struct".to_owned()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The given parameters in the order of the struct's fields.
struct FieldsInOrder {
    left: std::slice::Iter<'static, &'static str>,
    pairs: Vec<(String, String)>,
    next: Option<(&'static str, String)>,
}

impl<'de> MapAccess<'de> for FieldsInOrder {
    type Error = ParamError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParamError> {
        for name in self.left.by_ref() {
            if let Some(at) = self.pairs.iter().position(|(present, _)| present == name) {
                self.next = Some((name, self.pairs.swap_remove(at).1));
                return seed.deserialize(ParamValue((*name).to_owned())).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ParamError> {
        let (name, text) = self.next.take().expect("a key comes before its value");
        let given = shown(&text);
        seed.deserialize(ParamValue(text))
            .map_err(|ParamError(expected)| ParamError(format!("{name} is {given:?}, expected {expected}")))
    }
}

/// One parameter's text.
struct ParamValue(String);

impl<'de> Deserializer<'de> for ParamValue {
    type Error = ParamError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        if !variants.contains(&self.0.as_str()) {
            return Err(ParamError(variants.join(" or ")));
        }
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Page {
        limit: Option<Limit>,
        cursor: Option<String>,
        unit: Option<Unit>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Unit {
        Bytes,
        Kib,
    }

    fn read(query: &str) -> Result<(Option<u64>, Option<String>), String> {
        let page = of_query::<Page>(query).map_err(|error| error.detail().to_owned())?;
        Ok((page.limit.map(|limit| limit.0), page.cursor))
    }

    #[test]
    fn parameters_are_known_once_and_in_range() {
        assert_eq!(read(""), Ok((None, None)));
        assert_eq!(read("cursor=a%20b&limit=500"), Ok((Some(500), Some("a b".to_owned()))));
        assert_eq!(of_query::<Page>("unit=kib").map(|page| page.unit).ok(), Some(Some(Unit::Kib)));
        for (query, detail) in [
            ("limit=501", "limit is \"501\", expected a whole number from 1 to 500"),
            ("limit=%2B1", "limit is \"+1\", expected a whole number from 1 to 500"),
            ("limit=", "limit is \"\", expected a whole number from 1 to 500"),
            ("limit=1&limit=2", "the parameter limit is repeated, expected it once"),
            ("offset=3", "the parameter \"offset\" is unknown, expected limit, cursor, unit"),
            ("limit=0&offset=3", "the parameter \"offset\" is unknown, expected limit, cursor, unit"),
            ("unit=mib", "unit is \"mib\", expected bytes or kib"),
            ("cursor=a&limit=0", "limit is \"0\", expected a whole number from 1 to 500"),
        ] {
            assert_eq!(read(query), Err(detail.to_owned()), "{query}");
        }
    }
}
