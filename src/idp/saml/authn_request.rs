//! The `AuthnRequest` (SAML Core 3.4.1).

use jiff::Timestamp;

use super::signature;
use super::xml::write::Element;
use super::xml::{PROTOCOL, time};
use crate::config::{NameIdFormat, SamlConfig};
use crate::keys::saml::{KeyError, SpKey};

/// The binding that answers come by (Bindings 3.5).
const HTTP_POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// What an `AuthnRequest` says.
///
/// It has no `Subject`: Entra ID answers that with an error (see [`super::binding::with_login_hint`]). It has no `NameIDPolicy`
/// unless a format is configured: then every IdP sends what its own admin page says (Entra ID, Okta, Google, Keycloak,
/// SimpleSAMLphp) or its claim rules make (AD FS), while a format that the IdP does not issue for us ends in `InvalidNameIDPolicy`.
#[derive(Clone, Copy, Debug)]
pub struct AuthnRequest<'a> {
    /// `ID`.
    pub id: &'a str,
    /// Our entity ID.
    pub issuer: &'a str,
    /// `Destination`: where it is sent.
    pub destination: &'a str,
    /// `AssertionConsumerServiceURL`.
    pub acs: &'a str,
    /// `IssueInstant`.
    pub now: Timestamp,
    /// `ForceAuthn` in any case: the person asked for another account.
    pub force_authn: bool,
    /// Name-ID policy, context, `ForceAuthn`, `IsPassive`.
    pub config: &'a SamlConfig,
}

impl AuthnRequest<'_> {
    /// The XML in canonical form; with an enveloped signature where a key is given (POST binding).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(self, key: Option<&SpKey>) -> Result<String, KeyError> {
        signature::write(key, self.id, |signature| self.element(signature))
    }

    /// Attributes by name and children in the order of the schema: the signature right after `Issuer`.
    fn element(&self, signature: &str) -> Element {
        let mut request = Element::new("samlp:AuthnRequest")
            .attribute("xmlns:samlp", PROTOCOL)
            .attribute("AssertionConsumerServiceURL", self.acs)
            .attribute("Destination", self.destination);
        if self.force_authn || self.config.force_authn {
            request = request.attribute("ForceAuthn", "true");
        }
        request = request.attribute("ID", self.id);
        if self.config.is_passive {
            request = request.attribute("IsPassive", "true");
        }
        request = request
            .attribute("IssueInstant", &time::write(self.now))
            .attribute("ProtocolBinding", HTTP_POST)
            .attribute("Version", "2.0")
            .child(Element::of_assertion("saml:Issuer", self.issuer))
            .raw(signature);
        if let Some(format) = self.config.name_id_format {
            request = request.child(name_id_policy(format));
        }
        if !self.config.authn_context.is_empty() {
            request = request.child(requested_context(&self.config.authn_context));
        }
        request
    }
}

/// `AllowCreate` lets the IdP make an identifier for somebody who comes for the first time; without it, Keycloak and
/// SimpleSAMLphp may refuse them. With transient ones it must not be there (Core 3.4.1.1, E14 of the errata).
fn name_id_policy(format: NameIdFormat) -> Element {
    let mut policy = Element::new("samlp:NameIDPolicy");
    match format {
        NameIdFormat::Persistent | NameIdFormat::Email | NameIdFormat::Unspecified => {
            policy = policy.attribute("AllowCreate", "true");
        }
        NameIdFormat::Transient => {}
    }
    policy.attribute("Format", format.uri())
}

fn requested_context(classes: &[String]) -> Element {
    let context = Element::new("samlp:RequestedAuthnContext").attribute("Comparison", "exact");
    classes.iter().fold(context, |context, class| {
        context.child(Element::of_assertion("saml:AuthnContextClassRef", class))
    })
}

#[cfg(test)]
mod tests;
