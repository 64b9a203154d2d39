//! From SAML attributes to usher's own, by preset and by name; and who the subject is.

mod spellings;

use std::collections::HashSet;

use super::assertion::{NameId, VerifiedAssertion};
use super::check::{Check, Refused, shown};
use crate::config::{NameIdFormat, SamlAttributes, ScimConfig};
use crate::identity::{Attributes, IdpId, Protocol, Subject};
use spellings::Spellings;

/// Where Entra ID says that there are more groups than it sends (over 150), with a link to Microsoft Graph in its place.
const GROUPS_LEFT_OUT: &str = "http://schemas.microsoft.com/claims/groups.link";
/// Bytes of a name.
const NAME: usize = 512;
/// Bytes of an e-mail address (RFC 5321 section 4.5.3.1).
const EMAIL: usize = 254;
/// Bytes of a group's name.
const GROUP: usize = 1024;
/// Groups of a person.
const GROUPS: usize = 2_000;
/// Characters of a subject.
const SUBJECT: usize = 1024;

fn refused(detail: String) -> Refused {
    Refused::at(Check::Attributes, detail)
}

/// The attributes that the apps are told.
///
/// # Errors
/// At [`Check::Attributes`]: an e-mail address or username comes with several values that differ, groups were left out
/// (Entra's `groups.link`), or a value is longer than anything that usher passes on.
pub fn map(assertion: &VerifiedAssertion, names: &SamlAttributes) -> Result<Attributes, Refused> {
    if !values(assertion, GROUPS_LEFT_OUT).is_empty() || named(assertion, GROUPS_LEFT_OUT) {
        return Err(refused(format!("groups were left out: there is {GROUPS_LEFT_OUT}")).advising(
            "You are in more groups than Microsoft Entra ID sends (150). Its administrator must limit the group claim of this application to “Groups assigned to the application”, or filter it.",
        ));
    }
    let preset = Spellings::of(names.preset);
    let find = |name: &Option<String>, preset: &[&str]| match name {
        Some(name) => values(assertion, name),
        None => preset
            .iter()
            .map(|name| values(assertion, name))
            .find(|values| !values.is_empty())
            .unwrap_or_default(),
    };
    let email = sole("e-mail address", &find(&names.email, preset.email), EMAIL)?;
    let groups = find(&names.groups, preset.groups);
    let given_name = first("given name", &find(&names.given_name, preset.given_name))?;
    let family_name = first("family name", &find(&names.family_name, preset.family_name))?;
    Ok(Attributes {
        email: match email {
            Some(email) => Some(email),
            None => email_of(assertion.name_id())?,
        },
        email_verified: None,
        name: match first("name", &find(&names.name, preset.name))? {
            Some(name) => Some(name),
            None => joined(given_name.as_deref(), family_name.as_deref()),
        },
        given_name,
        family_name,
        username: sole("username", &find(&names.username, preset.username), NAME)?,
        groups: self::groups(&groups, names.groups_separator.as_deref())?,
        directory_key: None,
    })
}

/// Who signed in: the NameID, or the attribute that the config names.
///
/// # Errors
/// At [`Check::NameId`] for a transient NameID, which is another one each time; at [`Check::Attributes`] where the configured
/// attribute is missing or has several values.
pub fn subject(
    assertion: &VerifiedAssertion,
    names: &SamlAttributes,
    idp: &IdpId,
) -> Result<Subject, Refused> {
    let (format, value) = match &names.subject {
        Some(name) => (format!("attribute:{name}"), subject_value(assertion, name)?),
        None => {
            let NameId { format, value, .. } = assertion.name_id();
            if format == NameIdFormat::Transient.uri() {
                return Err(Refused::at(
                    Check::NameId,
                    "the NameID is transient, and no `saml.subject` is configured",
                )
                .advising(
                    "Your identity provider sends another Name ID each time (transient). Its administrator must send a persistent one, or the administrator of this site must name a lasting attribute as `saml.subject`.",
                ));
            }
            (format.clone(), value.clone())
        }
    };
    Ok(Subject {
        idp: idp.clone(),
        protocol: Protocol::Saml,
        issuer: assertion.issuer().to_owned(),
        format,
        value,
    })
}

/// What finds the person in the IdP's SCIM: the configured attribute, or else the subject's own value.
///
/// # Errors
/// At [`Check::Attributes`] where it has several values that differ, or one that is too long.
pub fn directory_key(
    assertion: &VerifiedAssertion,
    scim: Option<&ScimConfig>,
    subject: &Subject,
) -> Result<Option<String>, Refused> {
    let Some(scim) = scim else {
        return Ok(None);
    };
    let value = match &scim.match_attribute {
        Some(name) => sole("directory key", &values(assertion, name), NAME)?,
        None => Some(subject.value.clone()),
    };
    Ok(value
        .filter(|value| !value.is_empty())
        .map(|value| scim.compared(&value)))
}

fn subject_value(assertion: &VerifiedAssertion, name: &str) -> Result<String, Refused> {
    let found = values(assertion, name);
    let [value] = found.as_slice() else {
        return Err(refused(format!(
            "the subject attribute {} has {} values, not one",
            shown(name),
            found.len()
        ))
        .advising(
            "Your identity provider must send exactly one value of the attribute by which this site knows people (`saml.subject`). Its administrator must add that attribute.",
        ));
    };
    if value.chars().nth(SUBJECT).is_some() {
        return Err(too_long("the subject", SUBJECT));
    }
    line("the subject", value, usize::MAX)
}

/// Whether an attribute of that name is there, with values or without.
fn named(assertion: &VerifiedAssertion, name: &str) -> bool {
    assertion
        .attributes()
        .iter()
        .any(|attribute| attribute.name == name)
}

/// All values of all attributes whose `Name` or `FriendlyName` is exactly that.
fn values<'a>(assertion: &'a VerifiedAssertion, name: &str) -> Vec<&'a str> {
    assertion
        .attributes()
        .iter()
        .filter(|attribute| {
            attribute.name == name || attribute.friendly_name.as_deref() == Some(name)
        })
        .flat_map(|attribute| attribute.values.iter().map(String::as_str))
        .collect()
}

fn too_long(what: &str, limit: usize) -> Refused {
    refused(format!("{what} is longer than {limit}"))
}

/// One line of text, at most so many bytes long.
fn line(what: &str, text: &str, limit: usize) -> Result<String, Refused> {
    if text.len() > limit {
        return Err(too_long(what, limit));
    }
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        let text = shown(text);
        return Err(refused(format!("{what} has a control character: {text}")));
    }
    Ok(text.to_owned())
}

/// What must not be guessed, since apps know people by it: one value, or the same several times.
fn sole(what: &str, found: &[&str], limit: usize) -> Result<Option<String>, Refused> {
    let Some((first, others)) = found.split_first() else {
        return Ok(None);
    };
    if let Some(other) = others.iter().find(|other| *other != first) {
        return Err(refused(format!(
            "there are several values of the {what}, such as {} and {}",
            shown(first),
            shown(other)
        ))
        .advising(
            "Your identity provider sends several e-mail addresses or usernames for you. Its administrator must send one of each.",
        ));
    }
    line(&format!("the {what}"), first, limit).map(Some)
}

/// What is only shown: the first of several.
fn first(what: &str, found: &[&str]) -> Result<Option<String>, Refused> {
    found
        .first()
        .map(|value| line(&format!("the {what}"), value, NAME))
        .transpose()
}

/// The full name of somebody whose IdP sends its parts alone, as Keycloak does.
fn joined(given: Option<&str>, family: Option<&str>) -> Option<String> {
    let parts: Vec<_> = given.into_iter().chain(family).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// An emailAddress NameID is an e-mail address too.
fn email_of(name_id: &NameId) -> Result<Option<String>, Refused> {
    if name_id.format != NameIdFormat::Email.uri() {
        return Ok(None);
    }
    line("the e-mail address", &name_id.value, EMAIL).map(Some)
}

/// Groups in their order, each once.
fn groups(found: &[&str], separator: Option<&str>) -> Result<Vec<String>, Refused> {
    let mut seen = HashSet::new();
    let mut groups = Vec::new();
    let parts = found.iter().flat_map(|value| match separator {
        Some(separator) if !separator.is_empty() => {
            let parts = value.split(separator).map(str::trim);
            parts.filter(|part| !part.is_empty()).collect()
        }
        Some(_) | None => vec![*value],
    });
    for group in parts {
        if !seen.insert(group) {
            continue;
        }
        if groups.len() == GROUPS {
            return Err(refused(format!("there are more than {GROUPS} groups")));
        }
        groups.push(line("a group", group, GROUP)?);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests;
