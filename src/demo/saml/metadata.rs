//! The metadata of a test IdP, written in canonical form.

use super::assertion::attribute;
use super::sign::{SignatureOptions, insert_first};
use super::{DS, ForgeError, TestKey, fresh_id};

/// What the metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestMetadata {
    /// `entityID`.
    pub entity_id: Option<String>,
    /// Single sign-on: short name of the binding (`HTTP-Redirect`, `HTTP-POST`) and location.
    pub sso: Vec<(String, String)>,
    /// Single logout, likewise.
    pub slo: Vec<(String, String)>,
    /// `KeyDescriptor`s: `use`, and the key.
    pub keys: Vec<(Option<String>, TestKey)>,
    /// `validUntil`.
    pub valid_until: Option<String>,
    /// `cacheDuration`.
    pub cache_duration: Option<String>,
    /// `WantAuthnRequestsSigned`.
    pub wants_signed_requests: Option<bool>,
    /// Canonical XML at the start of `EntityDescriptor`.
    pub raw: String,
    /// The signature, if it is signed.
    pub signature: Option<SignatureOptions>,
}

impl TestMetadata {
    /// That of an IdP that signs with [`TestKey::IDP`], single sign-on and logout below `url` by both bindings.
    pub fn new(entity_id: &str, url: &str) -> Self {
        let both = |path: &str| {
            let location = format!("{url}{path}");
            ["HTTP-Redirect", "HTTP-POST"]
                .map(|binding| (binding.to_owned(), location.clone()))
                .to_vec()
        };
        Self {
            entity_id: Some(entity_id.to_owned()),
            sso: both("/sso"),
            slo: both("/slo"),
            keys: vec![(Some("signing".to_owned()), TestKey::IDP)],
            valid_until: None,
            cache_duration: None,
            wants_signed_requests: Some(true),
            raw: String::new(),
            signature: None,
        }
    }

    /// The metadata as XML: an `EntityDescriptor`.
    ///
    /// # Errors
    /// The key does not fit the algorithm.
    pub fn to_xml(&self) -> Result<String, ForgeError> {
        let endpoint = |name: &str, (binding, location): &(String, String)| {
            let binding = format!("urn:oasis:names:tc:SAML:2.0:bindings:{binding}");
            format!(
                "<md:{name}{}{}></md:{name}>",
                attribute("Binding", Some(&binding)),
                attribute("Location", Some(location)),
            )
        };
        let slo = self
            .slo
            .iter()
            .map(|at| endpoint("SingleLogoutService", at));
        let sso = self
            .sso
            .iter()
            .map(|at| endpoint("SingleSignOnService", at));
        let wants = self.wants_signed_requests.map(|wants| wants.to_string());
        let id = fresh_id();
        let canonical = format!(
            "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\"{}{}{}{}>{}\
             <md:IDPSSODescriptor{} protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{}{}{}</md:IDPSSODescriptor></md:EntityDescriptor>",
            attribute("ID", Some(&id)),
            attribute("cacheDuration", self.cache_duration.as_deref()),
            attribute("entityID", self.entity_id.as_deref()),
            attribute("validUntil", self.valid_until.as_deref()),
            self.raw,
            attribute("WantAuthnRequestsSigned", wants.as_deref()),
            self.keys.iter().map(key_descriptor).collect::<String>(),
            slo.collect::<String>(),
            sso.collect::<String>(),
        );
        let Some(by) = &self.signature else {
            return Ok(canonical);
        };
        Ok(insert_first(&canonical, &by.sign(&id, &canonical)?))
    }
}

fn key_descriptor((usage, key): &(Option<String>, TestKey)) -> String {
    format!(
        "<md:KeyDescriptor{}><ds:KeyInfo xmlns:ds=\"{DS}\"><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
        attribute("use", usage.as_deref()),
        key.certificate_base64()
    )
}
