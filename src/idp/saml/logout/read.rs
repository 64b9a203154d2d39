//! Logout messages of the IdP: the signature first, then everything else, read from what was signed.

use jiff::{SignedDuration, Timestamp};

use super::{Arrived, Expected, LogoutStatus, VerifiedLogoutRequest};
use crate::idp::saml::assertion::NameId;
use crate::idp::saml::check::{Check, Refused};
use crate::idp::saml::encryption::{self, Integrity};
use crate::idp::saml::response::SKEW;
use crate::idp::saml::signature::{self, SignatureError};
use crate::idp::saml::xml::{self, ASSERTION, Limits, Node, PROTOCOL, XmlError, time};

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const PARTIAL_LOGOUT: &str = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";
/// Sessions that one request may name.
const SESSION_INDEXES: usize = 100;
/// How old a response may be: the browser brings it at once.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Verifies a `LogoutRequest`.
///
/// # Errors
/// The first check that fails.
pub fn verify_request(
    arrived: &Arrived<'_>,
    expected: &Expected<'_>,
) -> Result<VerifiedLogoutRequest, Refused> {
    let octets = signed_octets(arrived, "LogoutRequest", expected)?;
    let document = xml::parse(&octets, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    let id = frame(root, expected)?;
    let not_on_or_after = instant(root, "NotOnOrAfter")?;
    let valid_until = later(not_on_or_after, SignedDuration::from_secs(SKEW));
    if valid_until <= expected.now {
        let detail = format!(
            "NotOnOrAfter is {not_on_or_after}, and now is {}",
            expected.now
        );
        return Err(Refused::at(Check::Time, detail));
    }
    Ok(VerifiedLogoutRequest {
        id,
        name_id: subject(root, expected)?,
        session_indexes: session_indexes(root)?,
        valid_until,
    })
}

/// Verifies the `LogoutResponse` to our request `in_response_to`.
///
/// # Errors
/// The first check that fails.
pub fn verify_response(
    arrived: &Arrived<'_>,
    expected: &Expected<'_>,
    in_response_to: &str,
) -> Result<LogoutStatus, Refused> {
    let octets = signed_octets(arrived, "LogoutResponse", expected)?;
    let document = xml::parse(&octets, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    frame(root, expected)?;
    let issued = instant(root, "IssueInstant")?;
    if later(issued, ANSWERED_WITHIN) < expected.now {
        let detail = format!("IssueInstant is {issued}, and now is {}", expected.now);
        return Err(Refused::at(Check::Time, detail));
    }
    let answered = xml::attribute(root, "InResponseTo").map_err(at(Check::InResponseTo))?;
    if answered != in_response_to {
        let detail = "InResponseTo is not the ID of the request of this browser";
        return Err(Refused::at(Check::InResponseTo, detail));
    }
    status(root)
}

/// The octets that the signature of the binding covers. Nothing is read from anything else.
fn signed_octets(
    arrived: &Arrived<'_>,
    name: &str,
    expected: &Expected<'_>,
) -> Result<Vec<u8>, Refused> {
    let bytes: &[u8] = match arrived {
        Arrived::Post(bytes) => bytes,
        Arrived::Redirect(received) => &received.xml,
    };
    let document = xml::parse(bytes, &Limits::MESSAGE).map_err(not_xml)?;
    let root = document.root_element();
    if !xml::is(root, PROTOCOL, name) {
        let detail = format!("the root element is not samlp:{name}");
        return Err(Refused::at(Check::Shape, detail));
    }
    let enveloped = signature::of(root).map_err(bad_signature)?;
    let Expected {
        certificates, now, ..
    } = *expected;
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
fn frame(root: Node<'_, '_>, expected: &Expected<'_>) -> Result<String, Refused> {
    let version = xml::attribute(root, "Version").map_err(at(Check::Version))?;
    if version != "2.0" {
        return Err(Refused::at(Check::Version, "Version is not 2.0"));
    }
    let issuer = xml::sole(root, ASSERTION, "Issuer").map_err(at(Check::Issuer))?;
    let issuer = xml::text(issuer).map_err(at(Check::Issuer))?;
    if issuer.trim() != expected.idp {
        let detail = format!("the Issuer is not {}", expected.idp);
        return Err(Refused::at(Check::Issuer, detail));
    }
    let destination = xml::attribute(root, "Destination").map_err(at(Check::Destination))?;
    if destination != expected.slo {
        let detail = format!("the Destination is not {}", expected.slo);
        return Err(Refused::at(Check::Destination, detail));
    }
    let issued = instant(root, "IssueInstant")?;
    if issued > later(expected.now, SignedDuration::from_secs(SKEW)) {
        let detail = format!("IssueInstant is {issued}, and now is {}", expected.now);
        return Err(Refused::at(Check::Time, detail));
    }
    let id = xml::attribute(root, "ID").map_err(at(Check::Shape))?;
    if id.is_empty() || id.len() > 256 || id.chars().any(char::is_control) {
        return Err(Refused::at(Check::Shape, "the ID is not usable"));
    }
    Ok(id.to_owned())
}

/// The one `NameID`, or what its encrypted form holds.
fn subject(root: Node<'_, '_>, expected: &Expected<'_>) -> Result<NameId, Refused> {
    let plain = xml::one(root, ASSERTION, "NameID").map_err(at(Check::NameId))?;
    let encrypted = xml::one(root, ASSERTION, "EncryptedID").map_err(at(Check::NameId))?;
    match (plain, encrypted) {
        (Some(name_id), None) => NameId::read(name_id),
        (None, Some(encrypted)) => {
            let octets = encryption::decrypt(encrypted, expected.keys, Integrity::Signed)
                .map_err(|error| Refused::at(Check::Decryption, error.to_string()))?;
            let document = xml::parse(&octets, &Limits::MESSAGE)
                .map_err(|_| Refused::at(Check::Decryption, "it cannot be decrypted"))?;
            let name_id = xml::sole(document.root_element(), ASSERTION, "NameID")
                .map_err(at(Check::NameId))?;
            NameId::read(name_id)
        }
        (None, None) | (Some(_), Some(_)) => {
            let detail = "it must have one NameID or one EncryptedID";
            Err(Refused::at(Check::NameId, detail))
        }
    }
}

fn session_indexes(root: Node<'_, '_>) -> Result<Vec<String>, Refused> {
    let mut indexes = Vec::new();
    for child in xml::children(root).map_err(at(Check::Shape))? {
        if !xml::is(child, PROTOCOL, "SessionIndex") {
            continue;
        }
        let index = xml::text(child).map_err(at(Check::Shape))?.into_owned();
        if index.is_empty() || indexes.len() == SESSION_INDEXES {
            let detail = "a SessionIndex is empty, or there are more than 100";
            return Err(Refused::at(Check::Shape, detail));
        }
        indexes.push(index);
    }
    Ok(indexes)
}

/// Success counts only where no part of it says otherwise.
fn status(root: Node<'_, '_>) -> Result<LogoutStatus, Refused> {
    let status = xml::sole(root, PROTOCOL, "Status").map_err(at(Check::Status))?;
    let code = xml::sole(status, PROTOCOL, "StatusCode").map_err(at(Check::Status))?;
    let value = xml::attribute(code, "Value").map_err(at(Check::Status))?;
    let nested = xml::one(code, PROTOCOL, "StatusCode").map_err(at(Check::Status))?;
    let partial = match nested {
        Some(nested) => {
            xml::attribute(nested, "Value").map_err(at(Check::Status))? == PARTIAL_LOGOUT
        }
        None => false,
    };
    Ok(if value == SUCCESS && !partial {
        LogoutStatus::Success
    } else {
        LogoutStatus::Partial
    })
}

fn instant(root: Node<'_, '_>, name: &str) -> Result<Timestamp, Refused> {
    let text = xml::attribute(root, name).map_err(at(Check::Time))?;
    time::read(text).ok_or_else(|| Refused::at(Check::Time, format!("{name} is no UTC time")))
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn at(check: Check) -> impl Fn(XmlError) -> Refused {
    move |error| Refused::at(check, error.to_string())
}

fn not_xml(error: XmlError) -> Refused {
    Refused::at(Check::Xml, error.to_string())
}

fn bad_signature(error: SignatureError) -> Refused {
    let check = match &error {
        SignatureError::CertificateDates { .. } => Check::CertificateDates,
        SignatureError::Shape(_)
        | SignatureError::Algorithm(_)
        | SignatureError::Digest
        | SignatureError::Value(_) => Check::Signature,
    };
    Refused::at(check, error.to_string())
}
