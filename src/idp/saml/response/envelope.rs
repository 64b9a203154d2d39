//! The checks of the `samlp:Response` itself (SAML Core 3.2.2, Profiles 4.1.4.3).

use super::super::SUCCESS;
use super::super::check::{Check, Refused, Steps, shown};
use super::super::xml::{ASSERTION, Node, PROTOCOL, attribute, optional_attribute, text};
use super::clock::{Clock, required};
use super::shape::{Envelope, at, closed};
use super::{Expected, FRESH, Origin};

const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
/// What all status codes begin with.
const STATUS: &str = "urn:oasis:names:tc:SAML:2.0:status:";
/// Status codes within each other that are shown.
const CODES: usize = 4;

/// What stands above the assertion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Above {
    /// A verified signature.
    Signed,
    /// Nothing that counts: it may only refuse.
    Unsigned,
}

/// `Version` (SAML Core 1.2, 2.3.3).
pub(in crate::idp::saml) fn version(node: Node<'_, '_>) -> Result<(), Refused> {
    match optional_attribute(node, "Version") {
        Some("2.0") => Ok(()),
        other => Err(Refused::at(
            Check::Version,
            format!(
                "{} has the version {}, not 2.0",
                node.tag_name().name(),
                shown(other.unwrap_or("none"))
            ),
        )),
    }
}

/// `Status` (SAML Core 3.2.2.2): only a top-level `Success` is one.
pub(super) fn status(status: Node<'_, '_>) -> Result<(), Refused> {
    let parts = closed(
        status,
        &[
            (PROTOCOL, "StatusCode", 1),
            (PROTOCOL, "StatusMessage", 1),
            (PROTOCOL, "StatusDetail", 1),
        ],
    )?;
    let code = parts
        .find(PROTOCOL, "StatusCode")
        .ok_or_else(|| Refused::at(Check::Status, "Status has no StatusCode"))?;
    let value = attribute(code, "Value").map_err(at(Check::Status))?;
    if value == SUCCESS {
        return Ok(());
    }
    let codes: Vec<_> = code
        .descendants()
        .filter(|node| super::super::xml::is(*node, PROTOCOL, "StatusCode"))
        .filter_map(|node| optional_attribute(node, "Value"))
        .map(|value| shown(value.strip_prefix(STATUS).unwrap_or(value)))
        .take(CODES)
        .collect();
    let message = parts
        .find(PROTOCOL, "StatusMessage")
        .and_then(|node| text(node).ok())
        .map(|message| format!(": {}", shown(message.trim())));
    Err(Refused::at(
        Check::Status,
        format!(
            "the identity provider answers {}{}",
            codes.join(" / "),
            message.unwrap_or_default()
        ),
    ))
}

/// An `Issuer` that must be the IdP (SAML Core 2.2.5).
pub(in crate::idp::saml) fn issuer(node: Node<'_, '_>, of: &str, idp: &str) -> Result<(), Refused> {
    let refused = |detail| Err(Refused::at(Check::Issuer, detail));
    if let Some(format) = optional_attribute(node, "Format").filter(|format| *format != ENTITY) {
        return refused(format!(
            "the issuer of the {of} has the format {}",
            shown(format)
        ));
    }
    let found = text(node).map_err(at(Check::Issuer))?;
    if found == idp {
        return Ok(());
    }
    refused(format!(
        "the issuer of the {of} is {}, not {idp:?}",
        shown(&found)
    ))
}

/// All checks of the response, below which the assertion stands `encrypted` or not.
pub(super) fn check(
    envelope: &Envelope<'_, '_>,
    above: Above,
    encrypted: bool,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<(), Refused> {
    let root = envelope.root;
    version(root)?;
    steps.passed(Check::Version, "2.0");
    status(envelope.status)?;
    steps.passed(Check::Status, "Success");
    match envelope.issuer {
        Some(node) => issuer(node, "response", expected.idp)?,
        // Profiles 4.1.4.2: it may be left out elsewhere.
        None if above == Above::Signed || encrypted => {
            return Err(Refused::at(Check::Issuer, "the response has no issuer"));
        }
        None => {}
    }
    steps.passed(Check::Issuer, format!("response: {}", expected.idp));
    destination(root, above, expected)?;
    steps.passed(
        Check::Destination,
        optional_attribute(root, "Destination").unwrap_or("none"),
    );
    in_response_to(root, expected)?;
    steps.passed(
        Check::InResponseTo,
        format!("response: {}", expected.origin),
    );
    let issued = required(root, "IssueInstant")?;
    Clock(expected.now).is_recent("IssueInstant of the response", issued, FRESH)?;
    steps.passed(Check::Time, format!("response issued at {issued}"));
    Ok(())
}

/// `Destination` (SAML Bindings 3.5.5.2): must be there under a signature; where it stands, it must be the ACS.
fn destination(root: Node<'_, '_>, above: Above, expected: &Expected<'_>) -> Result<(), Refused> {
    match (optional_attribute(root, "Destination"), above) {
        (Some(found), _) if found == expected.acs => Ok(()),
        (Some(found), _) => Err(Refused::at(
            Check::Destination,
            format!(
                "the response is meant for {}, and arrived at {:?}",
                shown(found),
                expected.acs
            ),
        )),
        (None, Above::Signed) => Err(Refused::at(
            Check::Destination,
            "the response is signed but names no Destination",
        )),
        (None, Above::Unsigned) => Ok(()),
    }
}

/// `InResponseTo` of the response or of a confirmation (Profiles 4.1.4.3, 4.1.5).
pub(super) fn in_response_to(node: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), Refused> {
    let of = node.tag_name().name();
    let detail = match (optional_attribute(node, "InResponseTo"), expected.origin) {
        (Some(found), Origin::Requested(id)) if found == id => return Ok(()),
        (None, Origin::Unsolicited) => return Ok(()),
        (Some(found), Origin::Requested(id)) => {
            format!("{of} answers the request {}, not {id:?}", shown(found))
        }
        (None, Origin::Requested(id)) => {
            format!("{of} answers no request; {id:?} was asked")
        }
        (Some(found), Origin::Unsolicited) => {
            format!(
                "{of} answers the request {}, but nobody asked",
                shown(found)
            )
        }
    };
    Err(Refused::at(Check::InResponseTo, detail))
}

/// The `Issuer` that a node names, as a log shows it: for what failed before the issuer was looked at.
pub(super) fn claimed_issuer(node: Node<'_, '_>) -> Option<String> {
    node.children()
        .find(|child| super::super::xml::is(*child, ASSERTION, "Issuer"))
        .and_then(|issuer| text(issuer).ok())
        .map(|issuer| issuer.into_owned())
}
