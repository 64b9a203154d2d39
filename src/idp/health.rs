//! How an IdP does, by what is known without asking it.

use std::time::Duration;

use jiff::Timestamp;

use super::Idp;

/// What is known of an IdP.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// How long ago its metadata were read last; none: not yet.
    pub answered: Option<Duration>,
    /// What went wrong the last time, if it did.
    pub failure: Option<String>,
    /// Fingerprint and end of each certificate that it signs with (SAML).
    pub certificates: Vec<(String, Timestamp)>,
    /// Until when its metadata say that they hold (SAML).
    pub valid_until: Option<Timestamp>,
}

impl Idp {
    /// What is known without asking: nothing is sent.
    pub fn health(&self) -> Health {
        match self {
            Self::Oidc(idp) => idp.health(),
            Self::Saml(idp) => idp.metadata().health(),
        }
    }
}
