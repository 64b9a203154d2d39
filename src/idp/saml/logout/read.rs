//! Logout messages of the IdP: the signature first, then everything else, read from what was signed.

use jiff::SignedDuration;

use super::{Arrived, Expected, LogoutStatus, PARTIAL_LOGOUT, VerifiedLogoutRequest};
use crate::idp::saml::SUCCESS;
use crate::idp::saml::assertion::NameId;
use crate::idp::saml::check::{Check, Refused, shown};
use crate::idp::saml::encryption::{self, Integrity};
use crate::idp::saml::response::clock::{Clock, instant, later, required, with_skew};
use crate::idp::saml::response::shape::{self, MANY, Parts, at, closed};
use crate::idp::saml::response::{FRESH, envelope, statements};
use crate::idp::saml::signature::{self, SignatureError};
use crate::idp::saml::xml::{self, ASSERTION, DSIG, Limits, Node, PROTOCOL, XmlError};

/// Sessions that one request may name.
const SESSION_INDEXES: usize = 100;
/// How far ahead `NotOnOrAfter` may be: for so long the ID is remembered.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Verifies a `LogoutRequest`.
///
/// # Errors
/// The first check that fails.
pub fn verify_request(
    arrived: &Arrived,
    expected: &Expected<'_>,
) -> Result<VerifiedLogoutRequest, Refused> {
    let octets = signed_octets(arrived, "LogoutRequest", expected)?;
    let document = xml::parse(&octets, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    let parts = closed(
        root,
        &[
            (ASSERTION, "Issuer", 1),
            (DSIG, "Signature", 1),
            (ASSERTION, "NameID", 1),
            (ASSERTION, "EncryptedID", 1),
            (PROTOCOL, "SessionIndex", MANY),
        ],
    )?;
    let id = frame(root, &parts, expected)?;
    // It is optional (Core 3.7.1), and Keycloak sends none: the message holds as long as it is fresh then.
    let until = match instant(root, "NotOnOrAfter")? {
        Some(until) => until,
        None => later(required(root, "IssueInstant")?, FRESH),
    };
    Clock(expected.now).is_before("NotOnOrAfter of the LogoutRequest", until)?;
    if until.duration_since(expected.now) > AHEAD {
        let detail = format!("NotOnOrAfter is {until}, more than a day ahead");
        return Err(Refused::at(Check::Time, detail));
    }
    Ok(VerifiedLogoutRequest {
        id,
        name_id: subject(&parts, expected)?,
        session_indexes: session_indexes(&parts)?,
        valid_until: with_skew(until),
    })
}

/// Verifies the `LogoutResponse` to our request `in_response_to`.
///
/// # Errors
/// The first check that fails.
pub fn verify_response(
    arrived: &Arrived,
    expected: &Expected<'_>,
    in_response_to: &str,
) -> Result<LogoutStatus, Refused> {
    let octets = signed_octets(arrived, "LogoutResponse", expected)?;
    let document = xml::parse(&octets, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    let parts = closed(
        root,
        &[
            (ASSERTION, "Issuer", 1),
            (DSIG, "Signature", 1),
            (PROTOCOL, "Status", 1),
        ],
    )?;
    frame(root, &parts, expected)?;
    let answered = xml::optional_attribute(root, "InResponseTo").unwrap_or("none");
    if answered != in_response_to {
        let answered = shown(answered);
        let detail = format!("it answers the request {answered}, not {in_response_to:?}");
        return Err(Refused::at(Check::InResponseTo, detail));
    }
    status(&parts)
}

/// The octets that the signature of the binding covers. Nothing is read from anything else.
fn signed_octets(
    arrived: &Arrived,
    name: &str,
    expected: &Expected<'_>,
) -> Result<Vec<u8>, Refused> {
    let bytes = match arrived {
        Arrived::Post(bytes) => bytes,
        Arrived::Redirect(received) => &received.xml,
    };
    let document = xml::parse(bytes, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    if !xml::is(root, PROTOCOL, name) {
        let detail = format!("the message is no {name} of SAML 2.0");
        return Err(Refused::at(Check::Shape, detail));
    }
    shape::placed(root, Some(root), None)?;
    let enveloped = signature::of(root).map_err(bad_signature)?;
    let (certificates, now) = (expected.certificates, expected.now);
    match (arrived, enveloped) {
        (Arrived::Post(_), Some(enveloped)) => {
            signature::verify_enveloped(root, enveloped, certificates, now)
                .map(|octets| octets.as_bytes().to_vec())
                .map_err(bad_signature)
        }
        (Arrived::Post(_), None) => Err(Refused::at(Check::Signature, "it is not signed")),
        // The signature of a redirected message stands in the query (Bindings 3.4.4.1).
        (Arrived::Redirect(_), Some(_)) => {
            let detail = "a message in a query carries an XML signature too";
            Err(Refused::at(Check::Signature, detail))
        }
        (Arrived::Redirect(received), None) => {
            let Some(signed) = &received.signed else {
                return Err(Refused::at(Check::Signature, "the query is not signed"));
            };
            signature::verify_bytes(
                signed.algorithm,
                &signed.bytes,
                &signed.signature,
                certificates,
                now,
            )
            .map_err(bad_signature)?;
            Ok(received.xml.clone())
        }
    }
}

/// What both messages share: version, issuer, destination, time of issue. Gives the `ID`.
fn frame(
    root: Node<'_, '_>,
    parts: &Parts<'_, '_>,
    expected: &Expected<'_>,
) -> Result<String, Refused> {
    envelope::version(root)?;
    let name = root.tag_name().name();
    let issuer = parts
        .find(ASSERTION, "Issuer")
        .ok_or_else(|| Refused::at(Check::Issuer, format!("{name} has no Issuer")))?;
    envelope::issuer(issuer, "message", expected.idp)?;
    let destination = xml::optional_attribute(root, "Destination").unwrap_or("nobody");
    if destination != expected.slo {
        let destination = shown(destination);
        let detail = format!(
            "it is meant for {destination}, and arrived at {:?}",
            expected.slo
        );
        return Err(Refused::at(Check::Destination, detail));
    }
    let issued = required(root, "IssueInstant")?;
    Clock(expected.now).is_recent("IssueInstant", issued, FRESH)?;
    Ok(shape::id(root)?.to_owned())
}

/// The one `NameID`, or what its encrypted form holds.
fn subject(parts: &Parts<'_, '_>, expected: &Expected<'_>) -> Result<NameId, Refused> {
    let plain = parts.find(ASSERTION, "NameID");
    let encrypted = parts.find(ASSERTION, "EncryptedID");
    match (plain, encrypted) {
        (Some(name_id), None) => statements::name_id(name_id),
        (None, Some(encrypted)) => {
            let cannot = || Refused::at(Check::Decryption, "the EncryptedID does not decrypt");
            // Only signed octets get this far, so the ciphertext is signed too.
            let octets = encryption::decrypt(encrypted, expected.keys, Integrity::Signed)
                .map_err(|_| cannot())?;
            let document = xml::parse(&octets, &Limits::MESSAGE).map_err(|_| cannot())?;
            statements::name_id(shape::name_id(&document).map_err(|_| cannot())?)
        }
        (None, None) | (Some(_), Some(_)) => {
            let detail = "it must have one NameID or one EncryptedID";
            Err(Refused::at(Check::NameId, detail))
        }
    }
}

fn session_indexes(parts: &Parts<'_, '_>) -> Result<Vec<String>, Refused> {
    let mut indexes = Vec::new();
    for node in parts.all(PROTOCOL, "SessionIndex") {
        let index = xml::text(node).map_err(at(Check::Shape))?;
        if index.is_empty() || indexes.len() == SESSION_INDEXES {
            let detail = format!("a SessionIndex is empty, or there are over {SESSION_INDEXES}");
            return Err(Refused::at(Check::Shape, detail));
        }
        indexes.push(index.into_owned());
    }
    Ok(indexes)
}

/// Success counts only where no part of it says otherwise.
fn status(parts: &Parts<'_, '_>) -> Result<LogoutStatus, Refused> {
    let status = parts
        .find(PROTOCOL, "Status")
        .ok_or_else(|| Refused::at(Check::Status, "LogoutResponse has no Status"))?;
    let code = xml::sole(status, PROTOCOL, "StatusCode").map_err(at(Check::Status))?;
    let nested = xml::one(code, PROTOCOL, "StatusCode").map_err(at(Check::Status))?;
    let partial = nested
        .is_some_and(|nested| xml::optional_attribute(nested, "Value") == Some(PARTIAL_LOGOUT));
    Ok(
        if xml::optional_attribute(code, "Value") == Some(SUCCESS) && !partial {
            LogoutStatus::Success
        } else {
            LogoutStatus::Partial
        },
    )
}

fn not_xml(error: XmlError) -> Refused {
    Refused::at(Check::Xml, error.to_string())
}

fn bad_signature(error: SignatureError) -> Refused {
    Refused::at(error.check(), error.to_string())
}
