//! Claims by type: what is not of the type that the specification gives it is refused, never read as absent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{OidcError, printable};
use crate::config::AttributePaths;
use crate::identity::Attributes;
use crate::idp::Received;

/// Bytes of a name.
const NAME: usize = 512;
/// Bytes of an e-mail address (RFC 5321 section 4.5.3.1).
const EMAIL: usize = 254;
/// Bytes of a group's name.
pub(super) const GROUP: usize = 1024;
/// Groups of a person.
pub(super) const GROUPS: usize = 10_000;

/// The claims of one token or of userinfo; no member stands twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JSON object.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| {
            // The error may quote a claim's value: its kind and place are enough.
            format!(
                "{:?} error at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            )
        })
    }

    /// A claim that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim by its literal name, or else by a dotted path into objects; null is absent.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        find(&self.0, path).filter(|value| !value.is_null())
    }

    /// A string that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, OidcError> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(wrong_type(name, "a string", other)),
            None => Err(OidcError::Invalid(format!("{name} is missing"))),
        }
    }

    /// A string, if it is there: at most `limit` bytes and without control characters.
    pub(super) fn text(&self, path: &str, limit: usize) -> Result<Option<String>, OidcError> {
        self.at(path)
            .map(|value| text_of(path, value, limit))
            .transpose()
    }

    /// Seconds since 1970 (RFC 7519 NumericDate), if there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, OidcError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| whole_seconds(value.as_f64()?));
        match seconds {
            Some(seconds) if (0..=MAX_SECONDS).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(wrong_type(name, "a time in seconds", value)),
        }
    }
}

/// Claims that belong to the protocol's own checks: they say nothing of the person.
const OF_THE_FLOW: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "jti"];

impl Claims {
    /// As they came, for an admin; what could be a token (as Azure AD B2C's `idp_access_token`) is not shown.
    pub(super) fn received(&self, source: &'static str) -> Vec<Received> {
        let shown = self
            .0
            .iter()
            .filter(|(name, _)| !OF_THE_FLOW.contains(&name.as_str()));
        shown
            .map(|(name, value)| Received {
                source,
                name: printable(name),
                also: None,
                values: if may_be_secret(name, value) {
                    vec!["(not shown)".to_owned()]
                } else {
                    texts(value)
                },
            })
            .collect()
    }
}

/// Whether a claim, or one within it, could be something that lets somebody in: by its name, or as it looks like a JWT.
fn may_be_secret(name: &str, value: &Value) -> bool {
    let name = name.to_ascii_lowercase();
    let named = ["token", "secret", "password", "assertion"];
    if named.iter().any(|word| name.contains(word)) {
        return true;
    }
    match value {
        Value::String(text) => text.starts_with("eyJ") && text.matches('.').count() >= 2,
        Value::Array(list) => list.iter().any(|value| may_be_secret("", value)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| may_be_secret(name, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A value as one or several texts.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => vec![text(other)],
    }
}

/// The end of the year 9999.
const MAX_SECONDS: i64 = 253_402_207_200;

/// NumericDate may have a fraction.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole_seconds(value: f64) -> Option<i64> {
    (0.0..=MAX_SECONDS as f64)
        .contains(&value)
        .then(|| value.floor() as i64)
}

fn find<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(at, _)| {
        let inner = map.get(&path[..at])?.as_object()?;
        find(inner, &path[at + 1..])
    })
}

/// An object without repeated members: RFC 7519 section 4 lets us refuse them, and two readers could differ on them.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Claims;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Claims, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Claims(map))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Claims in the order in which they count: the first that has an attribute gives it.
pub(super) struct Sources<'a>(pub(super) &'a [&'a Claims]);

impl Sources<'_> {
    /// Whether any has it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|claims| claims.at(path).is_some())
    }

    /// A string of the first that has it; an empty one is absent.
    pub(super) fn text(&self, path: &str, limit: usize) -> Result<Option<String>, OidcError> {
        match self.0.iter().find(|claims| claims.at(path).is_some()) {
            Some(claims) => Ok(claims.text(path, limit)?.filter(|text| !text.is_empty())),
            None => Ok(None),
        }
    }

    /// The attributes in usher's names. `email_verified` must speak of the very address that is taken.
    pub(super) fn attributes(
        &self,
        paths: &AttributePaths,
        accept_verified_as_text: bool,
    ) -> Result<Attributes, OidcError> {
        let email = self.text(&paths.email, EMAIL)?;
        if let Some(email) = &email {
            check_email(email)?;
        }
        let mut email_verified = None;
        for claims in self.0 {
            if email.is_none() || claims.text(&paths.email, EMAIL)? == email {
                email_verified = email_verified.or(verified(claims, accept_verified_as_text)?);
            }
        }
        Ok(Attributes {
            email,
            email_verified,
            name: self.text(&paths.name, NAME)?,
            given_name: self.text(&paths.given_name, NAME)?,
            family_name: self.text(&paths.family_name, NAME)?,
            username: self.text(&paths.username, NAME)?,
            groups: self.groups(&paths.groups)?,
            directory_key: None,
        })
    }

    fn groups(&self, path: &str) -> Result<Vec<String>, OidcError> {
        let Some(value) = self.0.iter().find_map(|claims| claims.at(path)) else {
            return Ok(Vec::new());
        };
        let list = match (value.as_array(), value.is_string()) {
            (Some(list), _) => list.as_slice(),
            (None, true) => std::slice::from_ref(value),
            (None, false) => return Err(wrong_type(path, "a list of strings", value)),
        };
        if list.len() > GROUPS {
            return Err(OidcError::Invalid(format!(
                "{path} has {} entries, the limit is {GROUPS}",
                list.len()
            )));
        }
        let groups = list.iter().map(|group| text_of(path, group, GROUP));
        let groups: Vec<String> = groups.collect::<Result<_, _>>()?;
        Ok(groups
            .into_iter()
            .filter(|group| !group.is_empty())
            .collect())
    }
}

/// A boolean (OIDC Core 5.1). Some IdPs send it as text: that counts only where the config lets unverified addresses in.
fn verified(claims: &Claims, accept_as_text: bool) -> Result<Option<bool>, OidcError> {
    match claims.get("email_verified") {
        None => Ok(None),
        Some(Value::Bool(verified)) => Ok(Some(*verified)),
        Some(Value::String(text)) if accept_as_text && text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if accept_as_text && text == "false" => Ok(Some(false)),
        Some(other) => Err(wrong_type("email_verified", "true or false", other)),
    }
}

/// One address without display name, comment, quoting or a second address.
fn check_email(email: &str) -> Result<(), OidcError> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || "@,;:<>()[]\\\"".contains(c))
    };
    match email.rsplit_once('@') {
        Some((local, domain)) if plain(local) && plain(domain) => Ok(()),
        _ => Err(OidcError::Invalid(
            "email is not one plain address".to_owned(),
        )),
    }
}

pub(super) fn text_of(name: &str, value: &Value, limit: usize) -> Result<String, OidcError> {
    let Value::String(text) = value else {
        return Err(wrong_type(name, "a string", value));
    };
    check_text(name, text, limit)?;
    Ok(text.clone())
}

/// At most `limit` bytes, and nothing that could end a header line or a log line.
pub(super) fn check_text(name: &str, text: &str, limit: usize) -> Result<(), OidcError> {
    if text.len() > limit {
        return Err(OidcError::Invalid(format!(
            "{} is longer than {limit} bytes",
            printable(name)
        )));
    }
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(OidcError::Invalid(format!(
            "{} has a control character",
            printable(name)
        )));
    }
    Ok(())
}

pub(super) fn wrong_type(name: &str, wanted: &str, found: &Value) -> OidcError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    OidcError::Invalid(format!("{} is {found}, not {wanted}", printable(name)))
}
