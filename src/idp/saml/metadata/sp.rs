//! usher's own metadata (SAML Metadata 2.4.4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::idp::saml::signature;
use crate::idp::saml::xml::write::Element;
use crate::idp::saml::xml::{DSIG, METADATA, PROTOCOL};
use crate::keys::saml::{KeyError, SpKey, SpKeys};

/// What the metadata says.
#[derive(Clone, Copy, Debug)]
pub struct SpMetadata<'a> {
    /// `entityID`.
    pub entity_id: &'a str,
    /// ACS URL of each site, the default first.
    pub acs: &'a [String],
    /// SLO URL of each site.
    pub slo: &'a [String],
    /// `AuthnRequestsSigned`.
    pub requests_signed: bool,
    /// Name-ID formats (URIs) that are asked for.
    pub name_id_formats: &'a [&'a str],
    /// All keys: each as signing and as encryption certificate.
    pub keys: &'a SpKeys,
}

/// Encryption that usher can open, what it likes best first (Metadata 2.4.1.1). CBC is not among it: an IdP should not choose it.
const ENCRYPTION_METHODS: [&str; 4] = [
    "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    "http://www.w3.org/2009/xmlenc11#aes128-gcm",
    "http://www.w3.org/2009/xmlenc11#rsa-oaep",
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
];
const HTTP_REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const HTTP_POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

impl SpMetadata<'_> {
    /// The XML in canonical form, signed. The same until keys or config change, since IdPs compare what they fetch: its `ID` is
    /// fixed, and it has no `validUntil` (an IdP that cannot reach usher for a while must not forget it).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(self) -> Result<String, KeyError> {
        let signer = self.keys.signer();
        signature::write(Some(signer), ID, |signature| self.element(signature))
    }

    /// The signature is the first child, unlike in messages (Metadata 3.1).
    fn element(&self, signature: &str) -> Element {
        Element::new("md:EntityDescriptor")
            .attribute("xmlns:md", METADATA)
            .attribute("ID", ID)
            .attribute("entityID", self.entity_id)
            .raw(signature)
            .child(self.role())
    }

    /// `WantAssertionsSigned` makes IdPs that read metadata sign the assertion itself, also where they would sign nothing. usher
    /// takes a signature of the response alone as well, from those that do not read it.
    fn role(&self) -> Element {
        let requests_signed = if self.requests_signed {
            "true"
        } else {
            "false"
        };
        let mut role = Element::new("md:SPSSODescriptor")
            .attribute("AuthnRequestsSigned", requests_signed)
            .attribute("WantAssertionsSigned", "true")
            .attribute("protocolSupportEnumeration", PROTOCOL);
        for key in self.keys.all() {
            role = role.child(descriptor("signing", key));
        }
        for key in self.keys.all() {
            role = role.child(descriptor("encryption", key));
        }
        for location in self.slo {
            for binding in [HTTP_REDIRECT, HTTP_POST] {
                let service = endpoint("md:SingleLogoutService", binding, location);
                role = role.child(service);
            }
        }
        for format in self.name_id_formats {
            role = role.child(Element::new("md:NameIDFormat").text(format));
        }
        for (index, location) in self.acs.iter().enumerate() {
            let mut service = endpoint("md:AssertionConsumerService", HTTP_POST, location)
                .attribute("index", &index.to_string());
            if index == 0 {
                service = service.attribute("isDefault", "true");
            }
            role = role.child(service);
        }
        role
    }
}

/// The `ID` of the document.
const ID: &str = "_usher";

/// One key with one use. Each use has an element of its own: some IdPs know none for both.
fn descriptor(usage: &str, key: &SpKey) -> Element {
    let certificate =
        Element::new("ds:X509Certificate").text(&STANDARD.encode(key.certificate().der()));
    let info = Element::new("ds:KeyInfo")
        .attribute("xmlns:ds", DSIG)
        .child(Element::new("ds:X509Data").child(certificate));
    let descriptor = Element::new("md:KeyDescriptor")
        .attribute("use", usage)
        .child(info);
    if usage == "signing" {
        return descriptor;
    }
    ENCRYPTION_METHODS.iter().fold(descriptor, |all, method| {
        all.child(Element::new("md:EncryptionMethod").attribute("Algorithm", method))
    })
}

fn endpoint(name: &'static str, binding: &str, location: &str) -> Element {
    Element::new(name)
        .attribute("Binding", binding)
        .attribute("Location", location)
}

#[cfg(test)]
mod tests;
