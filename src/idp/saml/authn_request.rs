//! The `AuthnRequest` (SAML Core 3.4.1).

use jiff::Timestamp;

use crate::config::SamlConfig;
use crate::keys::saml::{KeyError, SpKey};

/// What an `AuthnRequest` says.
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
    pub fn to_xml(&self, _key: Option<&SpKey>) -> Result<String, KeyError> {
        todo!()
    }
}
