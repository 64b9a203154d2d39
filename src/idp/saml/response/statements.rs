//! The checks of the assertion itself (SAML Core 2, Profiles 4.1.4.2 and 4.1.4.3). The node comes from verified octets.

use jiff::Timestamp;

use super::super::assertion::{NameId, VerifiedAssertion};
use super::super::check::{Check, Refused, Steps, shown};
use super::super::encryption::{self, Integrity, UNIFORM};
use super::super::xml::{ASSERTION, DSIG, Node, is, optional_attribute, text};
use super::clock::{Clock, instant, later, required, with_skew};
use super::shape::{MANY, Parts, at, closed};
use super::{Expected, FRESH, attributes, cannot_decrypt, envelope, shape};

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
/// Characters of a NameID and of what stands beside it.
const TEXT: usize = 1024;

/// Every check of an assertion.
pub(super) fn read(
    assertion: Node<'_, '_>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<VerifiedAssertion, Refused> {
    let clock = Clock(expected.now);
    let parts = closed(
        assertion,
        &[
            (ASSERTION, "Issuer", 1),
            (DSIG, "Signature", 1),
            (ASSERTION, "Subject", 1),
            (ASSERTION, "Conditions", 1),
            (ASSERTION, "AuthnStatement", 1),
            (ASSERTION, "AttributeStatement", MANY),
        ],
    )?;
    let part = |name: &str, check: Check| {
        parts
            .find(ASSERTION, name)
            .ok_or_else(|| Refused::at(check, format!("the assertion has no {name}")))
    };
    let id = shape::id(assertion)?;
    envelope::version(assertion)?;
    envelope::issuer(part("Issuer", Check::Issuer)?, "assertion", expected.idp)?;
    steps.passed(Check::Issuer, format!("assertion: {}", expected.idp));
    let issued = required(assertion, "IssueInstant")?;
    clock.is_recent("IssueInstant of the assertion", issued, FRESH)?;
    steps.passed(Check::Time, format!("assertion issued at {issued}"));
    let subject = subject(part("Subject", Check::NameId)?, expected, steps)?;
    let conditions = conditions(part("Conditions", Check::Conditions)?, expected, steps)?;
    let authn = authn(part("AuthnStatement", Check::Authn)?, expected, steps)?;
    let statements: Vec<_> = parts.all(ASSERTION, "AttributeStatement").collect();
    let attributes = attributes::read(&statements)?;
    let names = format!("{} attributes", attributes.len());
    steps.passed(Check::Attributes, names);
    let ends = [conditions, authn.session_ends_at];
    let last = ends
        .into_iter()
        .flatten()
        .chain([subject.confirmed_until, later(issued, FRESH)])
        .min()
        .unwrap_or(subject.confirmed_until);
    Ok(VerifiedAssertion {
        id: id.to_owned(),
        issuer: expected.idp.to_owned(),
        name_id: subject.name_id,
        session_index: authn.session_index,
        authenticated_at: authn.at,
        authn_context: authn.context,
        session_ends_at: authn.session_ends_at,
        valid_until: with_skew(last),
        attributes,
    })
}

struct Subject {
    name_id: NameId,
    confirmed_until: Timestamp,
}

/// `Subject`: one name, and one bearer confirmation that is ours. Confirmations of other methods are for others and count for nothing.
fn subject(
    node: Node<'_, '_>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<Subject, Refused> {
    let parts = closed(
        node,
        &[
            (ASSERTION, "NameID", MANY),
            (ASSERTION, "EncryptedID", MANY),
            (ASSERTION, "SubjectConfirmation", MANY),
        ],
    )?;
    let name_id = sole_name(&parts, expected, steps)?;
    let seen = format!("{} ({})", shown(&name_id.value), shown(&name_id.format));
    steps.passed(Check::NameId, seen);
    let bearers: Vec<_> = parts
        .all(ASSERTION, "SubjectConfirmation")
        .filter(|node| optional_attribute(*node, "Method") == Some(BEARER))
        .collect();
    let [bearer] = bearers.as_slice() else {
        return Err(Refused::at(
            Check::Recipient,
            format!(
                "the subject has {} bearer confirmations, not one",
                bearers.len()
            ),
        ));
    };
    let confirmed_until = bearer_confirmation(*bearer, expected)?;
    steps.passed(
        Check::InResponseTo,
        format!("confirmation: {}", expected.origin),
    );
    steps.passed(Check::Recipient, expected.acs);
    steps.passed(Check::Time, format!("confirmation until {confirmed_until}"));
    Ok(Subject {
        name_id,
        confirmed_until,
    })
}

/// A bearer `SubjectConfirmation` (Profiles 4.1.4.2); says until when it holds.
fn bearer_confirmation(node: Node<'_, '_>, expected: &Expected<'_>) -> Result<Timestamp, Refused> {
    let parts = closed(node, &[(ASSERTION, "SubjectConfirmationData", 1)])?;
    let data = parts
        .find(ASSERTION, "SubjectConfirmationData")
        .ok_or_else(|| Refused::at(Check::Recipient, "the confirmation has no data"))?;
    closed(data, &[])?;
    match optional_attribute(data, "Recipient") {
        Some(found) if found == expected.acs => {}
        found => {
            let found = shown(found.unwrap_or("nobody"));
            return Err(Refused::at(
                Check::Recipient,
                format!(
                    "the assertion is meant for {found}, and arrived at {:?}",
                    expected.acs
                ),
            ));
        }
    }
    envelope::in_response_to(data, expected)?;
    if optional_attribute(data, "NotBefore").is_some() {
        return Err(Refused::at(
            Check::Time,
            "the bearer confirmation has a NotBefore, which it must not",
        ));
    }
    let until = required(data, "NotOnOrAfter")?;
    Clock(expected.now).is_before("NotOnOrAfter of SubjectConfirmationData", until)?;
    Ok(until)
}

/// The one name of the subject, in clear or encrypted.
fn sole_name(
    parts: &Parts<'_, '_>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<NameId, Refused> {
    let names: Vec<_> = parts
        .nodes()
        .iter()
        .filter(|node| !is(**node, ASSERTION, "SubjectConfirmation"))
        .collect();
    let [name] = names.as_slice() else {
        return Err(Refused::at(
            Check::NameId,
            format!("the subject has {} names, not one", names.len()),
        ));
    };
    if is(**name, ASSERTION, "NameID") {
        return name_id(**name);
    }
    // Only signed octets get this far, so the ciphertext is signed too.
    let plaintext = encryption::decrypt(**name, expected.keys, Integrity::Signed)
        .map_err(|error| cannot_decrypt(&error))?;
    let document = super::decrypted(&plaintext)?;
    let node = shape::name_id(&document).map_err(|_| cannot_decrypt(&UNIFORM))?;
    steps.passed(Check::Decryption, "EncryptedID");
    name_id(node)
}

/// A `NameID` (SAML Core 2.2.3), whole as it stands.
pub(in crate::idp::saml) fn name_id(node: Node<'_, '_>) -> Result<NameId, Refused> {
    let value = text(node).map_err(at(Check::NameId))?;
    if value.trim().is_empty() {
        return Err(Refused::at(Check::NameId, "the NameID is empty"));
    }
    let of = |name: &str| {
        optional_attribute(node, name)
            .map(|text| line(Check::NameId, name, text))
            .transpose()
    };
    Ok(NameId {
        format: of("Format")?.unwrap_or_else(|| UNSPECIFIED.to_owned()),
        value: line(Check::NameId, "NameID", &value)?,
        name_qualifier: of("NameQualifier")?,
        sp_name_qualifier: of("SPNameQualifier")?,
    })
}

/// A text that is compared and stored: 1 to 1024 characters, none of them a control character.
fn line(check: Check, what: &str, text: &str) -> Result<String, Refused> {
    let controls = text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    if text.is_empty() || controls || text.chars().nth(TEXT).is_some() {
        let text = shown(text);
        return Err(Refused::at(
            check,
            format!(
                "{what} is {text}: it must be 1 to {TEXT} characters without control characters"
            ),
        ));
    }
    Ok(text.to_owned())
}

/// `Conditions` (SAML Core 2.5.1): their window, every audience, nothing unknown. Says until when they hold.
fn conditions(
    node: Node<'_, '_>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<Option<Timestamp>, Refused> {
    let clock = Clock(expected.now);
    let from = instant(node, "NotBefore")?;
    let until = instant(node, "NotOnOrAfter")?;
    if let Some(from) = from {
        clock.has_come("NotBefore of Conditions", from)?;
    }
    if let Some(until) = until {
        clock.is_before("NotOnOrAfter of Conditions", until)?;
        if from.is_some_and(|from| from >= until) {
            return Err(Refused::at(Check::Time, "Conditions end before they begin"));
        }
        steps.passed(Check::Time, format!("conditions until {until}"));
    }
    let parts = closed(
        node,
        &[
            (ASSERTION, "AudienceRestriction", MANY),
            // Every assertion is used once here, and none is passed on: both hold anyway.
            (ASSERTION, "OneTimeUse", 1),
            (ASSERTION, "ProxyRestriction", 1),
        ],
    )
    .map_err(|refused| Refused {
        check: Check::Conditions,
        ..refused
    })?;
    let restrictions: Vec<_> = parts.all(ASSERTION, "AudienceRestriction").collect();
    if restrictions.is_empty() {
        return Err(Refused::at(
            Check::Audience,
            format!(
                "the assertion names no audience, {:?} was expected",
                expected.sp
            ),
        ));
    }
    for restriction in restrictions {
        audience(restriction, expected)?;
    }
    steps.passed(Check::Audience, expected.sp);
    steps.passed(Check::Conditions, "all known");
    Ok(until)
}

/// One `AudienceRestriction` (SAML Core 2.5.1.4): we must be among those that it names.
fn audience(node: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), Refused> {
    let parts = closed(node, &[(ASSERTION, "Audience", MANY)])?;
    let named = parts
        .nodes()
        .iter()
        .map(|node| text(*node).map_err(at(Check::Audience)))
        .collect::<Result<Vec<_>, _>>()?;
    if named.iter().any(|audience| audience == expected.sp) {
        return Ok(());
    }
    let named: Vec<_> = named
        .iter()
        .take(4)
        .map(|audience| shown(audience))
        .collect();
    Err(Refused::at(
        Check::Audience,
        format!(
            "the assertion is for {}, not for {:?}",
            if named.is_empty() {
                "nobody".to_owned()
            } else {
                named.join(", ")
            },
            expected.sp
        ),
    ))
}

struct Authn {
    at: Timestamp,
    context: Option<String>,
    session_index: Option<String>,
    session_ends_at: Option<Timestamp>,
}

/// `AuthnStatement` (SAML Core 2.7.2).
fn authn(node: Node<'_, '_>, expected: &Expected<'_>, steps: &mut Steps) -> Result<Authn, Refused> {
    let clock = Clock(expected.now);
    let parts = closed(
        node,
        &[
            // Where the browser was, as the IdP saw it: behind NAT and proxies that says nothing.
            (ASSERTION, "SubjectLocality", 1),
            (ASSERTION, "AuthnContext", 1),
        ],
    )?;
    let at = required(node, "AuthnInstant")?;
    clock
        .is_recent("AuthnInstant", at, expected.authenticated_within)
        .map_err(|refused| refused.advising(
            "You signed in at your identity provider too long ago. Sign out there and start again; the administrator of this site can allow a longer `max_age` for that identity provider, or set `force_authn: true`, so that it always asks again.",
        ))?;
    steps.passed(Check::Time, format!("signed in there at {at}"));
    let session_ends_at = instant(node, "SessionNotOnOrAfter")?;
    if let Some(ends) = session_ends_at {
        clock.is_before("SessionNotOnOrAfter", ends)?;
        steps.passed(Check::Time, format!("session there until {ends}"));
    }
    let session_index = optional_attribute(node, "SessionIndex")
        .map(|index| line(Check::Authn, "SessionIndex", index))
        .transpose()?;
    let context = parts
        .find(ASSERTION, "AuthnContext")
        .ok_or_else(|| Refused::at(Check::Authn, "AuthnStatement has no AuthnContext"))?;
    let context = context_class(context)?;
    asked_for(context.as_deref(), expected)?;
    let seen = context.as_deref().map_or("no class".to_owned(), shown);
    steps.passed(Check::Authn, seen);
    Ok(Authn {
        at,
        context,
        session_index,
        session_ends_at,
    })
}

/// Whoever carries the request could take `RequestedAuthnContext` out of it: the answer must have what was asked for.
fn asked_for(context: Option<&str>, expected: &Expected<'_>) -> Result<(), Refused> {
    let asked = expected.authn_context;
    if asked.is_empty() || context.is_some_and(|context| asked.iter().any(|one| one == context)) {
        return Ok(());
    }
    Err(Refused::at(
        Check::Authn,
        format!(
            "the person signed in by {}, and {} was asked for",
            shown(context.unwrap_or("nothing that is named")),
            asked.join(" or ")
        ),
    )
    .advising(
        "You did not sign in at your identity provider in the way that this site asks for, such as with a second factor. Sign out there and start again; if it happens again, the administrator of this site must compare `authn_context` with what the identity provider sends.",
    ))
}

/// `AuthnContextClassRef`; declarations and the authorities behind the IdP are nothing to us.
fn context_class(node: Node<'_, '_>) -> Result<Option<String>, Refused> {
    let parts = closed(
        node,
        &[
            (ASSERTION, "AuthnContextClassRef", 1),
            (ASSERTION, "AuthnContextDecl", 1),
            (ASSERTION, "AuthnContextDeclRef", 1),
            (ASSERTION, "AuthenticatingAuthority", MANY),
        ],
    )?;
    let Some(class) = parts.find(ASSERTION, "AuthnContextClassRef") else {
        return Ok(None);
    };
    let class = text(class).map_err(at(Check::Authn))?;
    line(Check::Authn, "AuthnContextClassRef", &class).map(Some)
}
