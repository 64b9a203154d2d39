//! usher's own metadata (SAML Metadata 2.4.4).

use crate::keys::saml::{KeyError, SpKeys};

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

impl SpMetadata<'_> {
    /// The XML in canonical form, signed.
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(&self) -> Result<String, KeyError> {
        todo!()
    }
}
