//! The IdP's metadata, read strictly.

use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::certificate::Certificate;
use crate::config::SamlBinding;

/// How a message reaches an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// HTTP Redirect.
    Redirect,
    /// HTTP POST.
    Post,
}

/// An endpoint of the IdP: https, or http on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its binding.
    pub binding: Binding,
    /// `Location`.
    pub location: Url,
    /// `ResponseLocation`, else `location`.
    pub response_location: Url,
}

/// What usher needs of an IdP.
#[derive(Clone, Debug)]
pub struct IdpMetadata {
    /// `entityID`.
    pub entity_id: String,
    /// `SingleSignOnService` with a binding that usher speaks; never empty.
    pub sso: Vec<Endpoint>,
    /// `SingleLogoutService`.
    pub slo: Vec<Endpoint>,
    /// Signing certificates (`use="signing"` or without `use`); never empty.
    pub certificates: Vec<Certificate>,
    /// `WantAuthnRequestsSigned`.
    pub wants_signed_requests: bool,
    /// The earliest `validUntil` on the way to the entity.
    pub valid_until: Option<Timestamp>,
    /// The shortest `cacheDuration` on the way to the entity.
    pub cache_for: Option<Duration>,
    /// What stands in the document and is not used, with the reason: for the log and `usher check`.
    pub skipped: Vec<String>,
}

impl IdpMetadata {
    /// The SSO endpoint with that binding, else one with the other.
    pub fn sso(&self, wanted: Binding) -> Option<&Endpoint> {
        endpoint(&self.sso, wanted)
    }

    /// The SLO endpoint with that binding, else one with the other; none: the IdP has no single logout.
    pub fn slo(&self, wanted: Binding) -> Option<&Endpoint> {
        endpoint(&self.slo, wanted)
    }
}

fn endpoint(endpoints: &[Endpoint], wanted: Binding) -> Option<&Endpoint> {
    endpoints
        .iter()
        .find(|endpoint| endpoint.binding == wanted)
        .or(endpoints.first())
}

impl From<SamlBinding> for Binding {
    fn from(binding: SamlBinding) -> Self {
        match binding {
            SamlBinding::Redirect => Self::Redirect,
            SamlBinding::Post => Self::Post,
        }
    }
}

/// What a metadata document must be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which entity; none: the only IdP in it.
    pub entity_id: Option<&'a str>,
    /// If not empty, the root must be signed by one of these.
    pub signed_by: &'a [Certificate],
    /// Now, for `validUntil`.
    pub now: Timestamp,
}

/// Reads a metadata document.
///
/// # Errors
/// A sentence for the log and `usher check`: what is wrong with it and what to do.
pub fn read(_xml: &[u8], _wanted: &Wanted<'_>) -> Result<IdpMetadata, String> {
    todo!()
}
