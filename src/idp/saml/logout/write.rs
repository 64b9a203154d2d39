//! Our own logout messages, in canonical form.

use jiff::{SignedDuration, Timestamp};

use super::{LogoutStatus, PARTIAL_LOGOUT};
use crate::idp::saml::SUCCESS;
use crate::idp::saml::assertion::NameId;
use crate::idp::saml::signature;
use crate::idp::saml::xml::write::Element;
use crate::idp::saml::xml::{ASSERTION, PROTOCOL, time};
use crate::keys::saml::{KeyError, SpKey};

/// How long our request may be on its way through the browser.
const VALID_FOR: SignedDuration = SignedDuration::from_mins(5);
const RESPONDER: &str = "urn:oasis:names:tc:SAML:2.0:status:Responder";

/// What our own `LogoutRequest` says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutRequest<'a> {
    /// `ID`.
    pub id: &'a str,
    /// Our entity ID.
    pub issuer: &'a str,
    /// `Destination`.
    pub destination: &'a str,
    /// `IssueInstant`; `NotOnOrAfter` is five minutes later.
    pub now: Timestamp,
    /// Who.
    pub name_id: &'a NameId,
    /// Which session of theirs; none: all.
    pub session_index: Option<&'a str>,
}

impl LogoutRequest<'_> {
    /// The XML in canonical form; with an enveloped signature where a key is given (POST binding).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(self, key: Option<&SpKey>) -> Result<String, KeyError> {
        signature::write(key, self.id, |signature| self.element(signature))
    }

    fn element(&self, signature: &str) -> Element {
        let not_on_or_after = self.now.saturating_add(VALID_FOR).unwrap_or(self.now);
        let root = root("samlp:LogoutRequest")
            .attribute("Destination", self.destination)
            .attribute("ID", self.id)
            .attribute("IssueInstant", &time::write(self.now))
            .attribute("NotOnOrAfter", &time::write(not_on_or_after))
            .attribute("Version", "2.0")
            .child(Element::of_assertion("saml:Issuer", self.issuer))
            .raw(signature)
            .child(name_id(self.name_id));
        match self.session_index {
            Some(index) => root.child(Element::new("samlp:SessionIndex").text(index)),
            None => root,
        }
    }
}

/// What our own `LogoutResponse` says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutResponse<'a> {
    /// `ID`.
    pub id: &'a str,
    /// Our entity ID.
    pub issuer: &'a str,
    /// `Destination`.
    pub destination: &'a str,
    /// `IssueInstant`.
    pub now: Timestamp,
    /// `ID` of the request.
    pub in_response_to: &'a str,
    /// How it went here.
    pub status: LogoutStatus,
}

impl LogoutResponse<'_> {
    /// The XML in canonical form; with an enveloped signature where a key is given (POST binding).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(self, key: Option<&SpKey>) -> Result<String, KeyError> {
        signature::write(key, self.id, |signature| self.element(signature))
    }

    fn element(&self, signature: &str) -> Element {
        root("samlp:LogoutResponse")
            .attribute("Destination", self.destination)
            .attribute("ID", self.id)
            .attribute("InResponseTo", self.in_response_to)
            .attribute("IssueInstant", &time::write(self.now))
            .attribute("Version", "2.0")
            .child(Element::of_assertion("saml:Issuer", self.issuer))
            .raw(signature)
            .child(Element::new("samlp:Status").child(status(self.status)))
    }
}

fn root(name: &'static str) -> Element {
    Element::new(name).attribute("xmlns:samlp", PROTOCOL)
}

/// Exactly as the IdP gave it: it finds its own session by all four parts.
fn name_id(name_id: &NameId) -> Element {
    let mut element = Element::new("saml:NameID")
        .attribute("xmlns:saml", ASSERTION)
        .attribute("Format", &name_id.format);
    if let Some(qualifier) = &name_id.name_qualifier {
        element = element.attribute("NameQualifier", qualifier);
    }
    if let Some(qualifier) = &name_id.sp_name_qualifier {
        element = element.attribute("SPNameQualifier", qualifier);
    }
    element.text(&name_id.value)
}

fn status(status: LogoutStatus) -> Element {
    let code = |value| Element::new("samlp:StatusCode").attribute("Value", value);
    match status {
        LogoutStatus::Success => code(SUCCESS),
        LogoutStatus::Partial => code(RESPONDER).child(code(PARTIAL_LOGOUT)),
    }
}
