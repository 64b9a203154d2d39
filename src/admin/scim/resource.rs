//! Documents: from what a client sent to what is kept, and what the directory is told of it.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::{ScimError, ScimType};
use super::json::member;
use super::schema::{Attribute, Kind, Mutability, ResourceKind, Returned};
use crate::config::{Idp, ScimMatch};
use crate::directory::scim::UserData;
use crate::identity::{Attributes, folded};

/// Bytes of a whole document.
const DOCUMENT: usize = 64 * 1024;
/// Bytes of a text.
const TEXT: usize = 4096;
/// Bytes of a certificate, or of a URL that holds what it points to.
const BINARY: usize = 32 * 1024;
/// Bytes of a name that the apps are told.
const NAME: usize = 512;
/// Bytes of an e-mail address (RFC 5321 section 4.5.3.1).
const EMAIL: usize = 254;
/// Bytes of a group's name, as in a token.
const GROUP: usize = 1024;
/// Values of one attribute, but for the members of a group.
const VALUES: usize = 500;

/// Reads a whole resource (POST, PUT). What is read-only or unknown is left out (RFC 7644 section 3.3), and so is the password.
///
/// # Errors
/// 400 where a value is not of its attribute's type, or `schemas` is of another kind of resource.
pub(super) fn read(
    kind: ResourceKind,
    sent: &Map<String, Value>,
) -> Result<Map<String, Value>, ScimError> {
    check_schemas(kind, sent)?;
    let mut kept = Map::new();
    if let Some(value) = member(sent, "externalId") {
        let attribute = &super::schema::EXTERNAL_ID;
        put(&mut kept, attribute, coerce(attribute, value)?);
    }
    for attribute in kind.core().attributes.iter().filter(|one| is_kept(one)) {
        if let Some(value) = member(sent, attribute.name) {
            put(&mut kept, attribute, coerce(attribute, value)?);
        }
    }
    for extension in kind.extensions() {
        let Some(sent) = member(sent, extension.urn).and_then(Value::as_object) else {
            continue;
        };
        let mut part = Map::new();
        for attribute in extension.attributes.iter().filter(|one| is_kept(one)) {
            if let Some(value) = member(sent, attribute.name) {
                put(&mut part, attribute, coerce(attribute, value)?);
            }
        }
        if !part.is_empty() {
            kept.insert(extension.urn.to_owned(), Value::Object(part));
        }
    }
    Ok(kept)
}

fn check_schemas(kind: ResourceKind, sent: &Map<String, Value>) -> Result<(), ScimError> {
    let Some(schemas) = member(sent, "schemas") else {
        return Ok(());
    };
    let core = kind.core().urn;
    let named = schemas.as_array().is_some_and(|list| {
        list.iter()
            .filter_map(Value::as_str)
            .any(|urn| urn.eq_ignore_ascii_case(core))
    });
    if named {
        return Ok(());
    }
    Err(ScimError::bad(
        ScimType::InvalidSyntax,
        format!("`schemas` must name {core}"),
    ))
}

/// Whether what a client says of it is kept.
pub(super) fn is_kept(attribute: &Attribute) -> bool {
    attribute.mutability != Mutability::ReadOnly && attribute.returned != Returned::Never
}

/// Sets an attribute, or takes it away where it has no value (RFC 7643 section 2.5).
pub(super) fn put(into: &mut Map<String, Value>, attribute: &Attribute, value: Option<Value>) {
    match value {
        Some(value) => into.insert(attribute.name.to_owned(), value),
        None => into.remove(attribute.name),
    };
}

/// Makes a value one of its attribute's type: names in their canonical case, `"True"` a boolean, one value a list where there
/// may be several, a text the `value` of a complex attribute. `None`: no value.
///
/// # Errors
/// 400 `invalidValue`.
pub(super) fn coerce(attribute: &Attribute, value: &Value) -> Result<Option<Value>, ScimError> {
    if !attribute.multi {
        return coerce_one(attribute, value, attribute.name == "addresses");
    }
    let list = match value {
        Value::Array(list) => list.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let mut kept = Vec::new();
    for one in list {
        if let Some(one) = coerce_one(attribute, one, attribute.name == "addresses")? {
            kept.push(one);
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

fn wrong(attribute: &Attribute, wanted: &str) -> ScimError {
    ScimError::value(format!("`{}` must be {wanted}", attribute.name))
}

/// One value; `lines`: a text may have several.
pub(super) fn coerce_one(
    attribute: &Attribute,
    value: &Value,
    lines: bool,
) -> Result<Option<Value>, ScimError> {
    if value.is_null() {
        return Ok(None);
    }
    let text = || match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong(attribute, "a text"))
        }
    };
    match attribute.kind {
        Kind::Text => {
            let text = text()?;
            check_text(attribute, &text, TEXT, lines)?;
            Ok((!text.is_empty()).then_some(Value::String(text)))
        }
        Kind::Reference | Kind::Binary => {
            let text = text()?;
            check_text(attribute, &text, BINARY, false)?;
            Ok((!text.is_empty()).then_some(Value::String(text)))
        }
        Kind::Boolean => match value {
            Value::Bool(_) => Ok(Some(value.clone())),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => Err(wrong(attribute, "true or false")),
        },
        Kind::DateTime => {
            let text = text()?;
            match text.parse::<Timestamp>() {
                Ok(_) => Ok(Some(Value::String(text))),
                Err(_) => Err(wrong(attribute, "a time (RFC 3339)")),
            }
        }
        Kind::Complex => coerce_complex(attribute, value, lines),
    }
}

fn coerce_complex(
    attribute: &Attribute,
    value: &Value,
    lines: bool,
) -> Result<Option<Value>, ScimError> {
    let Value::Object(sent) = value else {
        // Entra writes the manager as a text.
        let Some(sub) = attribute.default_sub().filter(|_| value.is_string()) else {
            return Err(wrong(attribute, "an object"));
        };
        let value = coerce_one(sub, value, lines)?;
        return Ok(value.map(|value| Value::Object(Map::from_iter([(sub.name.to_owned(), value)]))));
    };
    let mut kept = Map::new();
    for sub in attribute.sub.iter().filter(|sub| is_kept(sub)) {
        if let Some(value) = member(sent, sub.name) {
            put(&mut kept, sub, coerce_one(sub, value, lines)?);
        }
    }
    Ok((!kept.is_empty()).then_some(Value::Object(kept)))
}

/// At most `limit` bytes, and nothing that could end a header line or a log line.
fn check_text(
    attribute: &Attribute,
    text: &str,
    limit: usize,
    lines: bool,
) -> Result<(), ScimError> {
    if text.len() > limit {
        return Err(wrong(attribute, &format!("at most {limit} bytes long")));
    }
    let bad = |c: char| {
        (c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t')))
            || matches!(c, '\u{2028}' | '\u{2029}')
    };
    if text.contains(bad) {
        return Err(wrong(attribute, "free of control characters"));
    }
    Ok(())
}

/// What must hold of a whole resource, however it came about.
///
/// # Errors
/// 400 for a missing required attribute, several primary values, too many values; 413 for too large a document.
pub(super) fn check(kind: ResourceKind, document: &Map<String, Value>) -> Result<(), ScimError> {
    for attribute in kind.core().attributes {
        let value = document.get(attribute.name);
        if attribute.required && text_of(value).is_none_or(|text| text.trim().is_empty()) {
            return Err(ScimError::value(format!(
                "`{}` is required",
                attribute.name
            )));
        }
        let Some(Value::Array(list)) = value else {
            continue;
        };
        if list.len() > VALUES {
            return Err(wrong(attribute, &format!("at most {VALUES} values")));
        }
        let primary = list.iter().filter(|one| one["primary"] == true).count();
        if primary > 1 {
            return Err(ScimError::value(format!(
                "`{}` has several primary values",
                attribute.name
            )));
        }
    }
    let size = serde_json::to_string(document).map_or(usize::MAX, |text| text.len());
    if size > DOCUMENT {
        return Err(ScimError::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a resource has at most {DOCUMENT} bytes"),
        ));
    }
    Ok(())
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// The text of a top-level attribute.
pub(super) fn text<'a>(document: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    text_of(document.get(name))
}

/// The name of a group: what roles are mapped from.
///
/// # Errors
/// 400 for one that no token could carry.
pub(super) fn group_name(document: &Map<String, Value>) -> Result<String, ScimError> {
    let name = text(document, "displayName").unwrap_or_default();
    if name.len() > GROUP {
        return Err(ScimError::value(format!(
            "`displayName` must be at most {GROUP} bytes long"
        )));
    }
    Ok(name.to_owned())
}

/// What the directory keeps of a user beside the document.
///
/// # Errors
/// 400 where the address is none, or of a domain that this IdP may not assert; where a name is longer than apps are told.
pub(super) fn user_data(document: Map<String, Value>, idp: &Idp) -> Result<UserData, ScimError> {
    let Some(scim) = &idp.scim else {
        return Err(ScimError::not_found());
    };
    let user_name = text(&document, "userName").unwrap_or_default().to_owned();
    let external_id = text(&document, "externalId").map(str::to_owned);
    let email = email(&document).map(str::to_owned);
    if let Some(email) = &email {
        check_email(email, idp)?;
    }
    let part = |name: &str| {
        let value = document.get("name").and_then(|parts| parts.get(name));
        text_of(value).map(str::to_owned)
    };
    let (given_name, family_name) = (part("givenName"), part("familyName"));
    let joined: Vec<&str> = [&given_name, &family_name]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let name = text(&document, "displayName")
        .map(str::to_owned)
        .or_else(|| part("formatted"))
        .or_else(|| (!joined.is_empty()).then(|| joined.join(" ")));
    for (what, value) in [
        ("userName", Some(&user_name)),
        ("externalId", external_id.as_ref()),
        ("displayName", name.as_ref()),
        ("name.givenName", given_name.as_ref()),
        ("name.familyName", family_name.as_ref()),
    ] {
        if value.is_some_and(|value| value.len() > NAME) {
            return Err(ScimError::value(format!(
                "`{what}` must be at most {NAME} bytes long"
            )));
        }
    }
    let match_value = match scim.match_on {
        ScimMatch::ExternalId => external_id.clone(),
        ScimMatch::UserName => Some(folded(&user_name)),
        ScimMatch::Email => email.as_deref().map(folded),
    };
    Ok(UserData {
        active: document.get("active") != Some(&Value::Bool(false)),
        attributes: Attributes {
            email,
            email_verified: None,
            name,
            given_name,
            family_name,
            username: Some(user_name.clone()),
            groups: Vec::new(),
            directory_key: None,
        },
        user_name,
        external_id,
        match_value,
        by_subject: scim.match_attribute.is_none(),
        document,
    })
}

/// The primary address; without one that of `work`, else the first.
fn email(document: &Map<String, Value>) -> Option<&str> {
    let list = document.get("emails")?.as_array()?;
    let find = |wanted: &dyn Fn(&Value) -> bool| list.iter().find(|one| wanted(one));
    let chosen = find(&|one| one["primary"] == true)
        .or_else(|| {
            find(&|one| {
                text_of(one.get("type")).is_some_and(|kind| kind.eq_ignore_ascii_case("work"))
            })
        })
        .or_else(|| list.first())?;
    text_of(chosen.get("value")).map(str::trim)
}

/// One plain address, of a domain that the IdP may assert: what holds of a sign-in holds of SCIM too.
fn check_email(email: &str, idp: &Idp) -> Result<(), ScimError> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || "@,;:<>()[]\\\"".contains(c))
    };
    let domain = match email.rsplit_once('@') {
        Some((local, domain)) if plain(local) && plain(domain) && email.len() <= EMAIL => domain,
        _ => return Err(ScimError::value("`emails`: not a plain e-mail address")),
    };
    if idp.email_domains.is_empty() || idp.email_domains.contains(&domain.to_lowercase()) {
        return Ok(());
    }
    Err(ScimError::value(format!(
        "`emails`: this identity provider may assert only addresses of {}",
        idp.email_domains.join(", ")
    )))
}

#[cfg(test)]
mod tests;
