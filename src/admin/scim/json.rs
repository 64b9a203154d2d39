//! Request bodies: JSON that has one reading only.

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{ScimError, ScimType};

/// The body of a request as an object. No content type counts as JSON: some clients send none.
///
/// # Errors
/// 415 for another media type, character set or content coding; 400 for what is no JSON object, or has a member twice.
pub(super) fn body(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    check_media_type(headers)?;
    let syntax = |detail: &str| ScimError::bad(ScimType::InvalidSyntax, detail);
    let parsed: Strict = serde_json::from_slice(body).map_err(|error| {
        // The error's own text could quote a value.
        syntax(&format!(
            "the body is no JSON object that this server reads (line {} column {})",
            error.line(),
            error.column()
        ))
    })?;
    match parsed.0 {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(syntax("the body is not a JSON object"))
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ScimError> {
    let unsupported =
        |detail: &str| Err(ScimError::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    let coded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(coded) {
        return unsupported("a content coding is not supported");
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(CONTENT_TYPE) {
            true => unsupported("there are several content types"),
            false => Ok(()),
        };
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !matches!(media_type, "application/scim+json" | "application/json") {
        return unsupported("the body must be application/scim+json");
    }
    for parameter in parts {
        let charset = parameter.strip_prefix("charset=");
        if charset.is_some_and(|name| !matches!(name.trim_matches('"'), "utf-8" | "utf8")) {
            return unsupported("the body must be UTF-8");
        }
    }
    Ok(())
}

/// A value in which no object has a member twice: two readers could differ on it. How deep it may be is serde_json's own limit (128).
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Strict)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        // Attribute names are compared without case (RFC 7643 2.1), so members are too.
        let mut names = std::collections::HashSet::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom("a member stands twice"));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// The member of that name in any case.
pub(super) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(content_type: &str, text: &str) -> Result<Map<String, Value>, u16> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        body(&headers, text.as_bytes()).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn reads_an_object_of_either_media_type() {
        for content_type in [
            "application/scim+json",
            "application/json; charset=UTF-8",
            "",
        ] {
            let map = read(content_type, r#"{"a":[1,-2,0.5,true,null,"x",{"b":1}]}"#).unwrap();
            assert_eq!(Value::Object(map)["a"][6]["b"], 1);
        }
    }

    #[test]
    fn refuses_what_has_two_readings() {
        for text in [
            r#"{"userName":"a","userName":"b"}"#,
            r#"{"userName":"a","username":"b"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            "\u{feff}{}",
            "{} {}",
            "[]",
            "",
            &"[".repeat(100_000),
            &r#"{"a":"#.repeat(100_000),
        ] {
            assert_eq!(read("application/scim+json", text), Err(400), "{text:.40}");
        }
    }

    #[test]
    fn refuses_other_media_types_character_sets_and_codings() {
        for content_type in [
            "text/html",
            "application/json; charset=utf-16",
            "application/json5",
        ] {
            assert_eq!(read(content_type, "{}"), Err(415), "{content_type}");
        }
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        }
        assert_eq!(body(&headers, b"{}").unwrap_err().status.as_u16(), 415);
        headers.clear();
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(body(&headers, b"{}").unwrap_err().status.as_u16(), 415);
    }
}
